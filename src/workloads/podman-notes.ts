/**
 * What Podman has noted on disk of a container that it is starting. Its API answers only when the container has been started,
 * as it waits for the same lock; its storage knows name and image before, and without any service. Labels aren't there.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { z } from 'zod';
import { parentOf, readText } from './container-process.ts';
import { boundedName, type ContainerFacts } from './runtime-client.ts';

const storedContainers = z.array(
  z.object({
    id: z.string(),
    names: z.array(z.string()).nullish(),
    metadata: z.string().nullish(),
  }),
);
const metadata = z.object({ 'image-name': z.string() });

/** The init's parent is conmon; while runc is at work, runc is in between. */
const mostParents = 3;
const maxFileBytes = 16 * 1024 * 1024;
const files = ['containers.json', 'volatile-containers.json'];

/** Undefined where Podman's monitor isn't there, or its storage says nothing (`podman run --rootfs`). */
export function podmanNotes(containerId: string, initPid: number): ContainerFacts | undefined {
  const folder = storageFolder(containerId, initPid);
  if (folder === undefined) return undefined;
  for (const file of files) {
    const stored = storedContainers.safeParse(readJson(`${folder}/${file}`)).data;
    const found = stored?.find((each) => each.id === containerId);
    if (found === undefined) continue;
    const image = boundedName(
      metadata.safeParse(parsed(found.metadata ?? '')).data?.['image-name'],
    );
    const name = boundedName(found.names?.[0]);
    return {
      runtime: 'podman',
      ...(name !== undefined && { name }),
      ...(image !== undefined && { image }),
    };
  }
  return undefined;
}

/** Two folders above the bundle that conmon was given: `STORAGE/overlay-containers/ID/userdata`. */
function storageFolder(containerId: string, initPid: number): string | undefined {
  let pid = initPid;
  for (let level = 0; level < mostParents; level++) {
    pid = parentOf(pid) ?? 0;
    if (pid <= 1) return undefined;
    const args = readText(`/proc/${pid}/cmdline`).split('\0');
    if (basename(args[0] ?? '') !== 'conmon' || optionOf(args, '-c') !== containerId) continue;
    const bundle = /^(\/.+-containers)\/([^/]+)\/userdata$/.exec(optionOf(args, '-b') ?? '');
    // Through its own root: a user's Podman has mounts of its own.
    return bundle?.[2] === containerId ? `/proc/${pid}/root${bundle[1]}` : undefined;
  }
  return undefined;
}

function optionOf(args: readonly string[], option: string): string | undefined {
  const index = args.indexOf(option);
  return index < 0 ? undefined : args[index + 1];
}

/** Undefined for what is no regular file or too long: whoever started the container named the folder. */
function readJson(path: string): unknown {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined;
  }
  try {
    const stat = fstatSync(file);
    return stat.isFile() && stat.size <= maxFileBytes
      ? parsed(readFileSync(file, 'utf8'))
      : undefined;
  } finally {
    closeSync(file);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

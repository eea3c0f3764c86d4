/**
 * A container that is a chroot only: a cgroup named like a container's in every hierarchy, the host's mount namespace,
 * and a root directory of its own. What older schedulers and some build services make.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Podman } from './podman.ts';
import { type Output, WaitingShell } from './waiting-shell.ts';

export class ChrootContainer {
  readonly id: string;
  readonly pid: number;
  /** Its root directory in the host's namespace. */
  readonly root: string;
  readonly #shell: WaitingShell;

  private constructor(id: string, pid: number, root: string, shell: WaitingShell) {
    this.id = id;
    this.pid = pid;
    this.root = root;
    this.#shell = shell;
  }

  /** `root` must hold a /bin/sh. Its cgroup goes with `podman.remove()`. */
  static async start(podman: Podman, root: string): Promise<ChrootContainer> {
    const id = randomBytes(32).toString('hex');
    const lists = processLists(podman, `docker-${id}.scope`);
    const join =
      'root=$1; shift; for list; do echo $$ > "$list"; done; exec chroot "$root" /bin/sh';
    const shell = await WaitingShell.start(['sh', '-c', join, 'sh', root, ...lists]);
    const pid = Number(readFileSync(lists[0] ?? '', 'utf8'));
    return new ChrootContainer(id, pid, root, shell);
  }

  shell(script: string, timeoutMs?: number): Promise<Output> {
    return this.#shell.run(script, timeoutMs);
  }

  close(): Promise<void> {
    return this.#shell.close();
  }
}

/** Moves a process into cgroups of that name in every hierarchy, and makes them. */
export function joinCgroups(podman: Podman, name: string, pid: number): void {
  for (const list of processLists(podman, name)) writeFileSync(list, String(pid));
}

function processLists(podman: Podman, name: string): string[] {
  return podman.cgroups(name).map((folder) => {
    mkdirSync(folder, { recursive: true });
    fillCpuset(folder);
    return path.join(folder, 'cgroup.procs');
  });
}

/** A new cgroup of the v1 cpuset controller takes no process before it has processors and memory. */
function fillCpuset(folder: string): void {
  const parts = folder.split('/');
  for (let depth = 5; depth <= parts.length; depth++) {
    const cgroup = parts.slice(0, depth).join('/');
    for (const name of ['cpuset.cpus', 'cpuset.mems']) {
      const file = path.join(cgroup, name);
      try {
        if (readFileSync(file, 'utf8').trim() !== '') continue;
        writeFileSync(file, readFileSync(path.join(path.dirname(cgroup), name), 'utf8').trim());
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }
}

/**
 * SHA-256 of files, in the background: few at once, and what would wait too long or is too big gets none. A hash is only
 * given for the very file and state that was asked for; that it is none says nothing. Remembers the last hash of files,
 * so that the next change can say what was there before.
 */
import { hostWorkload } from '../native/event-layout.ts';
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { type FileStatus, identityOf, type PathName } from './kernel-event.ts';

export interface HashSubject {
  readonly workload: number;
  /** Paths by which the file may be reachable in its workload, best first. */
  readonly paths: readonly PathName[];
  readonly dev: bigint;
  readonly ino: bigint;
  readonly status: FileStatus;
}

interface Known {
  readonly identity: string;
  readonly sha256: string;
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

const AT_ONCE = 4;
const MOST_WAITING = 2000;
const MOST_KNOWN = 20_000;
const SLICE_BYTES = 256 * 1024;
const EMPTY = createHash('sha256').digest('hex');
const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
// O_NONBLOCK: what became a FIFO meanwhile must not hold us; O_NOATIME: looking must leave no trace.
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOATIME;

/** A file of a container by its path there; never follows a link at its end or out of the container. */
export type OpenInContainer = (
  workload: number,
  path: Buffer,
  flags: number,
) => Promise<FileHandle>;

export class FileHashes {
  readonly #maxBytes: () => number;
  readonly #openInContainer: OpenInContainer;
  readonly #byIdentity = new Map<string, Known>();
  readonly #byPath = new Map<string, Known>();
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(maxBytes: () => number, openInContainer: OpenInContainer = onHostOnly) {
    this.#maxBytes = maxBytes;
    this.#openInContainer = openInContainer;
  }

  /** Of the file in exactly this state, else undefined; undefined soon after the signal. */
  async of(subject: HashSubject, signal?: AbortSignal): Promise<string | undefined> {
    const sha256 = await this.#hash(subject, signal);
    const { workload, dev, ino, paths } = subject;
    if (sha256 === undefined) this.forget(identityOf(workload, dev, ino), workload, paths);
    else this.#remember(subject, sha256);
    return sha256;
  }

  /** What others know of the host's files; it is not newer than what is remembered. */
  learn(paths: readonly PathName[], known: Known): void {
    if (!this.#byIdentity.has(known.identity)) put(this.#byIdentity, known.identity, known);
    for (const path of paths) {
      const name = nameOf(hostWorkload, path);
      if (!this.#byPath.has(name)) put(this.#byPath, name, known);
    }
  }

  /** The last hash of this file, if it had that content in `before`; without `before`, whatever was last known. */
  before(identity: string, before: FileStatus | undefined): string | undefined {
    const known = this.#byIdentity.get(identity);
    if (known === undefined) return undefined;
    if (before && (known.size !== before.size || known.mtimeNs !== before.mtimeNs))
      return undefined;
    return known.sha256;
  }

  /** The last hash of what had one of these names, other than this file. */
  beforeAt(workload: number, paths: readonly PathName[], identity: string): string | undefined {
    return paths
      .map((path) => this.#byPath.get(nameOf(workload, path)))
      .find((known) => known !== undefined && known.identity !== identity)?.sha256;
  }

  /** What is remembered is no longer what is there. */
  forget(identity: string, workload: number, paths: readonly PathName[]): void {
    this.#byIdentity.delete(identity);
    for (const path of paths) this.#byPath.delete(nameOf(workload, path));
  }

  async #hash(subject: HashSubject, signal?: AbortSignal): Promise<string | undefined> {
    const { paths, status } = subject;
    if ((status.mode & S_IFMT) !== S_IFREG) return undefined;
    if (status.size === 0n) return EMPTY;
    if (status.size > BigInt(this.#maxBytes()) || !(await this.#turn())) return undefined;
    try {
      for (const path of paths) {
        if (signal?.aborted) return undefined;
        const sha256 = await hashFile(() => this.#open(path, subject), subject, signal);
        if (sha256 !== undefined) return sha256;
      }
      return undefined;
    } finally {
      this.#running -= 1;
      this.#queue.shift()?.();
    }
  }

  #open(path: PathName, { workload }: HashSubject): Promise<FileHandle> {
    const name = path.bytes ?? Buffer.from(path.text);
    return quietly((flags) =>
      workload === hostWorkload
        ? open(name, flags | constants.O_NOFOLLOW)
        : this.#openInContainer(workload, name, flags),
    );
  }

  /** Resolves to true when it may run, to false when too many wait. */
  #turn(): Promise<boolean> | boolean {
    if (this.#running < AT_ONCE) {
      this.#running += 1;
      return true;
    }
    if (this.#queue.length >= MOST_WAITING) return false;
    return new Promise((resolve) => {
      this.#queue.push(() => {
        this.#running += 1;
        resolve(true);
      });
    });
  }

  #remember({ workload, paths, dev, ino, status }: HashSubject, sha256: string): void {
    const identity = identityOf(workload, dev, ino);
    const known = { identity, sha256, size: status.size, mtimeNs: status.mtimeNs };
    put(this.#byIdentity, identity, known);
    for (const path of paths) put(this.#byPath, nameOf(workload, path), known);
  }
}

async function hashFile(
  openFile: () => Promise<FileHandle>,
  subject: HashSubject,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await openFile();
    if (!(await isStill(file, subject))) return undefined;
    const hash = createHash('sha256');
    const slice = Buffer.allocUnsafe(Math.min(SLICE_BYTES, Number(subject.status.size) + 1));
    for (;;) {
      const { bytesRead } = await file.read(slice, 0, slice.length, null);
      if (signal?.aborted) return undefined;
      if (bytesRead === 0) break;
      hash.update(slice.subarray(0, bytesRead));
    }
    // Written meanwhile: what was read is neither the old nor the new content.
    return (await isStill(file, subject)) ? hash.digest('hex') : undefined;
  } catch {
    return undefined;
  } finally {
    await file?.close().catch(() => undefined);
  }
}

async function quietly(openWith: (flags: number) => Promise<FileHandle>): Promise<FileHandle> {
  try {
    return await openWith(READ_FLAGS);
  } catch (error) {
    // O_NOATIME takes the owner or CAP_FOWNER.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
    return openWith(READ_FLAGS & ~constants.O_NOATIME);
  }
}

async function isStill(file: FileHandle, { dev, ino, status }: HashSubject): Promise<boolean> {
  const now = await file.stat({ bigint: true });
  return (
    now.ino === ino && now.dev === dev && now.size === status.size && now.mtimeNs === status.mtimeNs
  );
}

function nameOf(workload: number, path: PathName): string {
  return `${workload} ${path.bytes?.toString('latin1') ?? path.text}`;
}

function onHostOnly(): Promise<never> {
  return Promise.reject(new Error('no containers here'));
}

/** Least recently put goes first. */
function put(map: Map<string, Known>, key: string, known: Known): void {
  map.delete(key);
  map.set(key, known);
  if (map.size <= MOST_KNOWN) return;
  const oldest = map.keys().next();
  if (!oldest.done) map.delete(oldest.value);
}

import { hostWorkload } from '../native/event-layout.ts';
import type { Configuration } from '../policy/document.ts';
import type { Change } from './changes.ts';
import { oldestOf } from './clock.ts';
import { FileHashes, type OpenInContainer } from './hash.ts';
import { addKeys, type FileStatus, hasFlag, type PathName, pathName } from './kernel-event.ts';
import type { HashedFile } from './known-files-messages.ts';
import type { RecordOperation } from './names.ts';

export interface Hashes {
  readonly sha256?: string;
  readonly sha256Before?: string;
}

/** Operations after which the content at the covered name is news. */
const HASHED: readonly RecordOperation[] = ['create', 'write', 'truncate', 'rename'];

/** A record waits no longer for its hash: a file on a dead network file system would hold it back for ever. */
const LONGEST_WAIT_MS = 5000;
/** Hashes that nobody has taken. */
const MOST_FRESH = 10_000;

/** Puts hashes to changes, those of one file one after the other so that its records keep their order. */
export class ChangeHasher {
  readonly #settings: () => Configuration['records']['hash'] | undefined;
  readonly #hashes: FileHashes;
  readonly #inOrder = new Map<string, Promise<void>>();
  readonly #waiting = new Set<AbortController>();
  #hurried = false;
  readonly #changes = new Set<Change>();
  readonly #fresh: HashedFile[] = [];

  constructor(
    settings: () => Configuration['records']['hash'] | undefined,
    openInContainer: OpenInContainer,
  ) {
    this.#settings = settings;
    this.#hashes = new FileHashes(() => settings()?.maxSizeBytes ?? 0, openInContainer);
  }

  /** Kernel events of the changes that wait. */
  get waiting(): number {
    let events = 0;
    for (const change of this.#changes) events += change.events;
    return events;
  }

  oldestWaitingNs(): bigint | undefined {
    return oldestOf(Array.from(this.#changes, ({ fact }) => fact.timeNs));
  }

  /** Calls `done` once: at once when there is nothing to wait for. */
  add(change: Change, wanted: boolean, done: (hashes: Hashes) => void): void {
    const { fact } = change;
    const hashing = wanted && this.#settings()?.enabled === true;
    const after = hashing && HASHED.includes(change.operation) && fact.change !== 'directory_moved';
    const order = this.#inOrder.get(fact.identity);
    const sha256Before = hashing && !order ? this.#before(change) : undefined;
    if (!after && !order) {
      done(sha256Before === undefined ? {} : { sha256Before });
      return;
    }

    const finish = async (): Promise<void> => {
      const before = order && hashing ? this.#before(change) : sha256Before;
      const sha256 = after ? await this.#after(change) : undefined;
      this.#changes.delete(change);
      done({
        ...(sha256 !== undefined && { sha256 }),
        ...(before !== undefined && { sha256Before: before }),
      });
    };
    this.#changes.add(change);
    const turn = (order ? order.then(finish) : finish()).finally(() => {
      if (this.#inOrder.get(fact.identity) === turn) this.#inOrder.delete(fact.identity);
    });
    this.#inOrder.set(fact.identity, turn);
  }

  /** After a change that is not told. */
  forget({ fact }: Change): void {
    this.#hashes.forget(fact.identity, fact.workload, pathsNow(fact));
  }

  /** Hashes of the host's files as they are now; what is known of later states stays. */
  learn(files: readonly HashedFile[]): void {
    for (const { path, dev, ino, size, mtimeNs, sha256 } of files) {
      this.#hashes.learn([pathName(Buffer.from(path))], {
        identity: `${dev}:${ino}`,
        size,
        mtimeNs,
        sha256,
      });
    }
  }

  /** What was hashed since the last call, on the host. */
  takeHashes(): HashedFile[] {
    return this.#fresh.splice(0);
  }

  /** What waits for its turn or its hash. */
  addWaiting(keys: Set<string>): void {
    for (const { fact } of this.#changes) addKeys(keys, fact);
  }

  /** Resolves when every change is told; those that still wait after `timeoutMs` go without their hash. */
  async finish(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => {
      this.#hurried = true;
      for (const waiting of this.#waiting) waiting.abort();
    }, timeoutMs);
    while (this.#inOrder.size > 0) await Promise.all(this.#inOrder.values());
    clearTimeout(timer);
    this.#hurried = false;
  }

  async #after({ fact }: Change): Promise<string | undefined> {
    const { workload, dev, ino, status } = fact;
    if (!status || ino === 0n || this.#hurried) return undefined;
    const waiting = new AbortController();
    const { signal } = waiting;
    const timer = setTimeout(() => waiting.abort(), LONGEST_WAIT_MS).unref();
    this.#waiting.add(waiting);
    try {
      return await new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve(undefined), { once: true });
        void this.#hashes
          .of({ workload, paths: pathsNow(fact), dev, ino, status }, signal)
          .then((sha256) => {
            if (sha256 !== undefined) this.#keep(fact, status, sha256);
            resolve(sha256);
          });
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(waiting);
    }
  }

  #keep(fact: Change['fact'], { size, mtimeNs }: FileStatus, sha256: string): void {
    const { workload, dev, ino } = fact;
    if (workload !== hostWorkload) return;
    for (const path of pathsNow(fact)) {
      const bytes = path.bytes ?? Buffer.from(path.text);
      this.#fresh.push({ path: bytes, dev, ino, size, mtimeNs, sha256 });
    }
    this.#fresh.splice(0, this.#fresh.length - MOST_FRESH);
  }

  #before(change: Change): string | undefined {
    const { fact, operation, before } = change;
    if (operation === 'create' || operation === 'attributes') return undefined;
    if (operation !== 'rename') return this.#hashes.before(fact.identity, before);
    return hasFlag(fact, 'replaced')
      ? this.#hashes.beforeAt(fact.workload, pathsNow(fact), fact.identity)
      : undefined;
  }
}

/** By which a file may be reached after a fact; each is checked to be that file. */
function pathsNow({ path, newPath, protectedPath }: Change['fact']): PathName[] {
  return [newPath, path, protectedPath].filter((each) => each !== undefined);
}

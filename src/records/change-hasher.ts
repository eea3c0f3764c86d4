import { stat } from 'node:fs/promises';
import type { Configuration } from '../policy/document.ts';
import type { Change } from './changes.ts';
import { FileHashes } from './hash.ts';
import { hasFlag, type PathName } from './kernel-event.ts';
import type { RecordOperation } from './names.ts';

export interface Hashes {
  readonly sha256?: string;
  readonly sha256Before?: string;
}

/** Operations after which the content at the covered name is news. */
const HASHED: readonly RecordOperation[] = ['create', 'write', 'truncate', 'rename'];

/** A record waits no longer for its hash: a file on a dead network file system would hold it back for ever. */
const LONGEST_WAIT_MS = 5000;

/** Puts hashes to changes, those of one file one after the other so that its records keep their order. */
export class ChangeHasher {
  readonly #settings: () => Configuration['records']['hash'] | undefined;
  readonly #hashes: FileHashes;
  readonly #inOrder = new Map<string, Promise<void>>();
  readonly #waiting = new Set<AbortController>();
  #hurried = false;

  constructor(settings: () => Configuration['records']['hash'] | undefined) {
    this.#settings = settings;
    this.#hashes = new FileHashes(() => settings()?.maxSizeBytes ?? 0);
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
      done({
        ...(sha256 !== undefined && { sha256 }),
        ...(before !== undefined && { sha256Before: before }),
      });
    };
    const turn = (order ? order.then(finish) : finish()).finally(() => {
      if (this.#inOrder.get(fact.identity) === turn) this.#inOrder.delete(fact.identity);
    });
    this.#inOrder.set(fact.identity, turn);
  }

  /** After a change that is not told. */
  forget({ fact }: Change): void {
    this.#hashes.forget(fact.identity, pathsNow(fact));
  }

  async baseline(paths: readonly string[]): Promise<void> {
    if (this.#settings()?.enabled !== true) return;
    for (const path of paths) {
      try {
        const { dev, ino, size, mtimeNs, mode, uid, gid } = await stat(path, { bigint: true });
        const status = { size, mtimeNs, mode: Number(mode), uid: Number(uid), gid: Number(gid) };
        await this.#hashes.of({ paths: [{ text: path }], dev, ino, status });
      } catch {
        // Gone meanwhile: it has no content to compare with.
      }
    }
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
    const { dev, ino, status } = fact;
    if (!status || ino === 0n || this.#hurried) return undefined;
    const waiting = new AbortController();
    const { signal } = waiting;
    const timer = setTimeout(() => waiting.abort(), LONGEST_WAIT_MS).unref();
    this.#waiting.add(waiting);
    try {
      return await new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve(undefined), { once: true });
        void this.#hashes.of({ paths: pathsNow(fact), dev, ino, status }, signal).then(resolve);
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(waiting);
    }
  }

  #before(change: Change): string | undefined {
    const { fact, operation, before } = change;
    if (operation === 'create' || operation === 'attributes') return undefined;
    if (operation !== 'rename') return this.#hashes.before(fact.identity, before);
    return hasFlag(fact, 'replaced')
      ? this.#hashes.beforeAt(pathsNow(fact), fact.identity)
      : undefined;
  }
}

/** By which a file may be reached after a fact; each is checked to be that file. */
function pathsNow({ path, newPath, protectedPath }: Change['fact']): PathName[] {
  return [newPath, path, protectedPath].filter((each) => each !== undefined);
}

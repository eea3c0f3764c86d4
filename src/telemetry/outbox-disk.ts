/**
 * The store as long as the disk bears it. Owns the `OutboxStore`; after an error it writes nothing (but reads on from a
 * full disk), and opens it anew after 1 s to 10 s; sets a corrupt file aside and begins a new one. Runs on the outbox
 * worker; only the holding calls it.
 */
import {
  type Contents,
  type Change,
  isCorrupt,
  OutboxStore,
  setFileAside,
  type StoredChunk,
} from './outbox-store.ts';
import type { Lane } from './chunk.ts';

export interface OutboxDiskOptions {
  readonly file: string;
  /** Nothing is written from now on, and why. */
  readonly onFailed: (problem: string) => void;
  /** At the start, or again after a failure: it may be written now. */
  readonly onOpened: (contents: Contents) => void;
  /** What was on disk is gone; a new file follows. */
  readonly onCorrupt: () => void;
}

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 10_000;

export class OutboxDisk {
  readonly #options: OutboxDiskOptions;
  #store: OutboxStore | undefined;
  #timer: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #problem = '';
  #writable = false;
  /** Of what was surely written; undefined before the first look. */
  #lastId: number | undefined;

  constructor(options: OutboxDiskOptions) {
    this.#options = options;
  }

  /** Why nothing can be written, '' when it can. */
  get problem(): string {
    return this.#problem;
  }

  open(): void {
    const contents = this.#try(() => {
      // What is closed leaves a shorter file; on a full disk that may be the room that it takes.
      this.#closeStore();
      const store = new OutboxStore(this.#options.file);
      this.#store = store;
      // A transaction that failed may be there all the same, after a crash of the disk; it is written anew.
      if (this.#lastId !== undefined) store.forgetAfter(this.#lastId);
      return store.contents();
    });
    if (contents === undefined) return;
    this.#lastId ??= contents.lastId;
    this.#writable = true;
    this.#options.onOpened(contents);
  }

  /** False when nothing of it was written. */
  write(change: Change): boolean {
    if (!this.#writable || this.#store === undefined) return false;
    try {
      this.#store.write(change);
    } catch (error) {
      this.#fail(error);
      return false;
    }
    this.#lastId = change.insert.at(-1)?.id ?? this.#lastId;
    this.#problem = '';
    this.#retryMs = FIRST_RETRY_MS;
    return true;
  }

  /** Undefined when it can't be read now. */
  read(lane: Lane, afterId: number, bytes: number): StoredChunk[] | undefined {
    return this.#try(() => this.#store?.read(lane, afterId, bytes));
  }

  shrink(): void {
    this.#try(() => this.#store?.shrink());
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#closeStore();
  }

  #try<T>(use: () => T): T | undefined {
    try {
      return use();
    } catch (error) {
      this.#fail(error);
      this.#closeStore();
      return undefined;
    }
  }

  #fail(error: unknown): void {
    this.#problem = (error as Error).message;
    this.#writable = false;
    if (isCorrupt(error)) this.#setAside();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.open(), this.#retryMs).unref();
    this.#retryMs = Math.min(Math.max(this.#retryMs * 2, FIRST_RETRY_MS), LONGEST_RETRY_MS);
    this.#options.onFailed(this.#problem);
  }

  #setAside(): void {
    try {
      this.#closeStore();
      setFileAside(this.#options.file);
      this.#retryMs = 0;
      this.#options.onCorrupt();
    } catch {
      // It has failed already; the next try says if it still does.
    }
  }

  #closeStore(): void {
    const store = this.#store;
    this.#store = undefined;
    try {
      store?.close();
    } catch {
      // Its file may be gone; nothing is kept by it any more.
    }
  }
}

/**
 * Keeps the book of what was learned on disk: `learned.db`, read once at the start on this thread, written from then on
 * by the worker of learned-worker.ts, so that a slow disk holds up nobody. Owns the worker and the timer. A new pair is
 * handed over within a second, what was seen again every ten. What can't be written stays in the book and is tried again.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { LearnedBook } from './learned-book.ts';
import type { Learned } from './learned-pair.ts';
import { isCorrupt, LearnedStore, setFileAside, type LearnedUpdate } from './learned-store.ts';

/** Of the worker to an update. */
export type Reply =
  | { readonly written: true }
  /** The file is damaged and was set aside: all is to be written again. */
  | { readonly damaged: string }
  | { readonly problem: string };

export interface LearnedKeeperOptions {
  readonly file: string;
  /** Why what the file holds could not be read: it is set aside as soon as that can be done. */
  readonly unread?: string | undefined;
  readonly book: LearnedBook;
  /** Why nothing can be kept now; undefined: it can again. Said once for each. */
  readonly onProblem: (problem: string | undefined) => void;
  readonly onDamaged: (error: string) => void;
}

const INTERVAL_MS = 1000;
const SEEN_AGAIN_EVERY = 10;
/** At the end, what a disk gets. */
const END_MS = 1000;

/** What was learned before; a damaged file is set aside and told. @throws Error when it can't be used. */
export function readLearned(file: string, onDamaged: (error: string) => void): Learned {
  try {
    return readStore(file);
  } catch (error) {
    if (!isCorrupt(error)) throw error;
    setFileAside(file);
    onDamaged(String(error));
    return { rules: [], pairs: [], refusals: [] };
  }
}

/** @throws Error when it can't be read; see `isCorrupt` and `isBusy`. */
export function readStore(file: string): Learned {
  const store = new LearnedStore(file);
  try {
    return store.read();
  } finally {
    store.close();
  }
}

export class LearnedKeeper {
  readonly #options: LearnedKeeperOptions;
  readonly #timer: NodeJS.Timeout;
  #worker: Worker | undefined;
  #writing: Promise<boolean> | undefined;
  #answer: ((reply: Reply) => void) | undefined;
  #problem: string | undefined;
  #ticks = 0;
  #unread: boolean;

  constructor(options: LearnedKeeperOptions) {
    this.#options = options;
    this.#problem = options.unread;
    this.#unread = options.unread !== undefined;
    if (this.#unread) options.book.forgetWritten();
    this.#timer = setInterval(() => this.#tick(), INTERVAL_MS).unref();
  }

  /** Writes what is not written yet, if that can be done soon, and ends the worker. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, END_MS);
    });
    await Promise.race([this.#finish(), timeout]);
    clearTimeout(timer);
  }

  async #finish(): Promise<void> {
    await this.#writing;
    while (await this.#write(true));
    await this.#worker?.terminate();
  }

  #tick(): void {
    this.#ticks += 1;
    if (this.#writing !== undefined) return;
    const all = this.#ticks % SEEN_AGAIN_EVERY === 0;
    // After a failure everything waits, and no faster than that.
    if (!all && this.#problem !== undefined) return;
    this.#writing = this.#write(all).finally(() => {
      this.#writing = undefined;
    });
  }

  /** True when something was written. */
  async #write(seenAgain: boolean): Promise<boolean> {
    const update = this.#options.book.takeUpdate(seenAgain);
    if (update === undefined) return false;
    const reply = await this.#ask(update);
    if ('written' in reply) {
      this.#unread = false;
      this.#tell(undefined);
      return true;
    }
    this.#options.book.giveBack(update);
    if ('damaged' in reply) {
      this.#options.onDamaged(reply.damaged);
      this.#options.book.forgetWritten();
    } else {
      this.#tell(reply.problem);
    }
    return false;
  }

  #tell(problem: string | undefined): void {
    if ((problem === undefined) === (this.#problem === undefined)) return;
    this.#problem = problem;
    this.#options.onProblem(problem);
  }

  #ask(update: LearnedUpdate): Promise<Reply> {
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#worker ??= this.#start();
      this.#worker.postMessage(update);
    });
  }

  #start(): Worker {
    // dist/ holds .js, the sources .ts: the neighbour has the extension of this file.
    const script = new URL(`./learned-worker${extname(import.meta.url)}`, import.meta.url);
    const worker = new Worker(script, {
      workerData: { file: this.#options.file, unread: this.#unread },
      name: 'learned',
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    worker.unref();
    worker.on('message', (reply: Reply) => this.#answer?.(reply));
    const ended = (why: string): void => {
      this.#worker = undefined;
      this.#answer?.({ problem: why });
    };
    worker.on('error', (error) => ended(String(error)));
    worker.on('exit', () => ended('the worker of learned.db has ended'));
    return worker;
  }
}

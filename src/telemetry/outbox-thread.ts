/**
 * The worker thread as the main thread sees it: starts it, starts it again should it ever fail, and keeps the count of
 * what was handed to it. Owns the `Worker`; what it holds is the worker's own.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Chunk } from './chunk.ts';
import type {
  FromWorker,
  LostRecords,
  OutboxSettings,
  Report,
  ToWorker,
  WorkerData,
} from './outbox-messages.ts';

export interface OutboxThreadOptions {
  readonly file: string;
  readonly scope: Uint8Array;
  readonly settings: OutboxSettings;
  readonly onLost: (lost: LostRecords) => void;
  readonly onReachable: (problem: string | undefined) => void;
  readonly onDisk: (problem: string | undefined) => void;
}

export interface ThreadStats {
  readonly recovered: number;
  readonly exported: number;
  readonly records: number;
  readonly bytes: number;
  readonly onDisk: number;
  readonly refused: number;
  readonly retries: number;
  readonly problem: string;
  readonly diskProblem: string;
}

type Question = Extract<ToWorker, { readonly id: number }>['kind'];

const RESTART_MS = 1000;
const NOTHING: Report = {
  kind: 'report',
  lastChunk: 0,
  recovered: 0,
  exported: 0,
  held: { records: 0, bytes: 0, onDisk: 0 },
  refused: 0,
  retries: 0,
  problem: '',
  diskProblem: '',
  lost: [],
};

export class OutboxThread {
  readonly #options: OutboxThreadOptions;
  #settings: OutboxSettings;
  #worker: Worker | undefined;
  #report = NOTHING;
  /** Handed over and not in the report yet. */
  #handed: { readonly number: number; readonly records: number; readonly bytes: number }[] = [];
  /** Handed over while there was no thread. */
  #unsent: ToWorker[] = [];
  #lastNumber = 0;
  #handedBytes = 0;
  #taken = new BigUint64Array(new SharedArrayBuffer(8));
  readonly #questions = new Map<number, { readonly kind: Question; readonly done: () => void }>();
  #lastQuestion = 0;
  /** Counts of threads that failed. */
  #before = { recovered: 0, exported: 0, retries: 0 };
  /** What a thread held that failed, until the next one has looked at the disk. */
  #missing: number | undefined;
  #ended = false;

  constructor(options: OutboxThreadOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#start();
  }

  /** Its body is the thread's from now on. */
  hand(chunk: Chunk & { readonly body: Uint8Array<ArrayBuffer> }): void {
    const { records, body } = chunk;
    this.#lastNumber += 1;
    this.#handedBytes += body.length;
    this.#handed.push({ number: this.#lastNumber, records, bytes: body.length });
    const message: ToWorker = { kind: 'chunk', number: this.#lastNumber, chunk };
    if (this.#worker) this.#worker.postMessage(message, [body.buffer]);
    else this.#unsent.push(message);
  }

  /** Bytes that the thread hasn't begun to look at. */
  bytesInTransit(): number {
    return this.#handedBytes - Number(Atomics.load(this.#taken, 0));
  }

  configure(settings: OutboxSettings): void {
    this.#settings = settings;
    this.#post({ kind: 'configure', settings });
  }

  /** Resolves when the thread has done it, or after `timeoutMs`. The process stays for that long. */
  async ask(kind: Question, timeoutMs?: number): Promise<void> {
    if (this.#ended) return;
    const id = ++this.#lastQuestion;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#questions.set(id, { kind, done: resolve });
    this.#worker?.ref();
    this.#post({ kind, id });
    const timer = timeoutMs === undefined ? undefined : setTimeout(resolve, timeoutMs);
    await promise;
    clearTimeout(timer);
    this.#questions.delete(id);
    if (this.#questions.size === 0) this.#worker?.unref();
  }

  /** The last: writes what there is, closes the file and waits for the thread, for `timeoutMs` at most. */
  async close(timeoutMs: number): Promise<void> {
    await this.ask('close', timeoutMs);
    this.#ended = true;
    for (const { done } of this.#questions.values()) done();
    await this.#worker?.terminate();
  }

  stats(): ThreadStats {
    const { held, recovered, exported, retries, refused, problem, diskProblem } = this.#report;
    const sum = (of: 'records' | 'bytes') => this.#handed.reduce((sum, each) => sum + each[of], 0);
    return {
      recovered: this.#before.recovered + recovered,
      exported: this.#before.exported + exported,
      records: (this.#missing ?? 0) + held.records + sum('records'),
      bytes: held.bytes + sum('bytes'),
      onDisk: held.onDisk,
      refused,
      retries: this.#before.retries + retries,
      problem,
      diskProblem,
    };
  }

  #post(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  #start(): void {
    const data: WorkerData = {
      file: this.#options.file,
      scope: this.#options.scope,
      settings: this.#settings,
      taken: this.#taken.buffer as SharedArrayBuffer,
    };
    // dist/ holds .js, the sources .ts: the neighbour has the extension of this file.
    const script = new URL(`./outbox-worker${extname(import.meta.url)}`, import.meta.url);
    // Node 22 warns of node:sqlite, which is not for users.
    const execArgv = ['--disable-warning=ExperimentalWarning'];
    const worker = new Worker(script, { workerData: data, execArgv, name: 'outbox' });
    this.#worker = worker;
    let error: Error | undefined;
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'report') this.#take(message);
      else this.#questions.get(message.id)?.done();
    });
    worker.on('error', (thrown: Error) => {
      error = thrown;
    });
    worker.on('exit', (code) => {
      if (!this.#ended) this.#failed(error?.message ?? `it left with ${code}`);
    });
    worker.unref();
    for (const message of this.#unsent.splice(0)) this.#post(message);
    for (const [id, { kind }] of this.#questions) {
      worker.ref();
      this.#post({ kind, id });
    }
  }

  #take(report: Report): void {
    const { problem, diskProblem } = this.#report;
    this.#report = report;
    const firstLeft = this.#handed.findIndex(({ number }) => number > report.lastChunk);
    this.#handed.splice(0, firstLeft < 0 ? this.#handed.length : firstLeft);
    if (this.#missing !== undefined && report.diskProblem === '') this.#found(report.recovered);
    if ((report.problem === '') !== (problem === '')) {
      this.#options.onReachable(report.problem || undefined);
    }
    if ((report.diskProblem === '') !== (diskProblem === '')) {
      this.#options.onDisk(report.diskProblem || undefined);
    }
    for (const lost of report.lost) this.#options.onLost(lost);
  }

  #failed(why: string): void {
    const { recovered, exported, records, retries } = this.stats();
    this.#before = { recovered, exported, retries };
    this.#missing = records;
    this.#handed = [];
    this.#unsent = [];
    this.#handedBytes = 0;
    this.#taken = new BigUint64Array(new SharedArrayBuffer(8));
    this.#worker = undefined;
    const diskProblem = `its thread failed: ${why}`;
    this.#report = { ...NOTHING, lastChunk: this.#lastNumber, diskProblem };
    this.#options.onDisk(diskProblem);
    setTimeout(() => {
      if (!this.#ended) this.#start();
    }, RESTART_MS).unref();
  }

  /** A thread that failed had told its last change or not; the disk knows. */
  #found(onDisk: number): void {
    const missing = this.#missing ?? 0;
    this.#missing = undefined;
    this.#before.recovered -= Math.min(missing, onDisk);
    if (missing <= onDisk) return;
    const reason = 'outbox_write_failed';
    this.#options.onLost({ reason, stage: 'outbox', count: missing - onDisk, aboutLoss: 0 });
  }
}

/**
 * Sends records to the collector: batches bounded by number and bytes, one in flight, retried until it is taken or
 * refused for good. Owns the queue and its one loop. Whatever doesn't arrive is counted and told to `onLost`.
 */
import type { InstrumentationScope } from '@opentelemetry/core';
import { ProtobufLogsSerializer } from '@opentelemetry/otlp-transformer';
import { timeSpan } from '../records/clock.ts';
import type { Loss } from '../records/loss.ts';
import type { FilewardRecord } from '../records/record.ts';
import { LogQueue, type Queued } from './log-queue.ts';
import { hrTimeOf, toLogRecord } from './log-record.ts';
import { backoffMs, type SendResult, type Transport } from './transport.ts';

export interface LogExporterOptions {
  readonly transport: Transport;
  readonly scope: InstrumentationScope;
  readonly maxQueueBytes: number;
  readonly onLost: (loss: Loss) => void;
  /** The collector can't be reached (why), or is back (undefined). */
  readonly onReachable: (problem: string | undefined) => void;
}

export type LogExportStats = {
  readonly queued: number;
  readonly queuedBytes: number;
  readonly exported: number;
  readonly lost: number;
  readonly retries: number;
  /** Why the last request failed, '' when it didn't. */
  readonly problem: string;
};

const BATCH_RECORDS = 1024;
/** Half of what a collector takes by default over gRPC. */
const BATCH_BYTES = 2 * 1024 * 1024;
/** How long the first record of a batch waits for company. */
const DELAY_MS = 200;

export class LogExporter {
  readonly #options: LogExporterOptions;
  readonly #queue: LogQueue;
  #timer: NodeJS.Timeout | undefined;
  #loop: Promise<void> | undefined;
  #wakeUp: (() => void) | undefined;
  #exported = 0;
  #lost = 0;
  #retries = 0;
  #problem = '';
  #closed = false;

  constructor(options: LogExporterOptions) {
    this.#options = options;
    this.#queue = new LogQueue(options.maxQueueBytes, (record) =>
      this.#lose([record], 'outbox_full'),
    );
  }

  emit(record: FilewardRecord): void {
    if (this.#closed) {
      this.#lose([record], 'shutdown');
      return;
    }
    this.#queue.push(record);
    if (this.#loop !== undefined) return;
    if (this.#queue.waiting >= BATCH_RECORDS) this.#start();
    else this.#timer ??= setTimeout(() => this.#start(), DELAY_MS).unref();
  }

  /** Sends what is there, at once even if it waits for a retry; false when it took too long. */
  async flush(timeoutMs: number): Promise<boolean> {
    this.#start();
    this.#wakeUp?.();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([this.#loop, timeout]);
    clearTimeout(timer);
    return this.#queue.records === 0;
  }

  /** Flushes, then counts what is left as lost. */
  async shutdown(timeoutMs: number): Promise<void> {
    await this.flush(timeoutMs);
    this.#closed = true;
    this.#wakeUp?.();
    this.#giveUp(this.#queue.take(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY), 'shutdown');
    this.#options.transport.close();
    await this.#loop;
  }

  stats(): LogExportStats {
    return {
      queued: this.#queue.records,
      queuedBytes: this.#queue.bytes,
      exported: this.#exported,
      lost: this.#lost,
      retries: this.#retries,
      problem: this.#problem,
    };
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#loop ??= this.#sendAll().finally(() => {
      this.#loop = undefined;
    });
  }

  async #sendAll(): Promise<void> {
    while (!this.#closed && this.#queue.waiting > 0) {
      await this.#deliver(this.#queue.take(BATCH_RECORDS, BATCH_BYTES));
    }
  }

  async #deliver(batch: readonly Queued[]): Promise<void> {
    const request = this.#serialize(batch);
    for (let attempt = 0; ; attempt += 1) {
      const result = await this.#options.transport.send(request);
      this.#noteReachable(result);
      if (result.kind === 'success') this.#acknowledged(batch, result.response);
      if (result.kind === 'refused') await this.#refused(batch, result.tooLarge);
      if (result.kind !== 'retryable') return;
      this.#retries += 1;
      if (!this.#closed) await this.#sleep(result.afterMs ?? backoffMs(attempt));
      if (this.#closed) break;
    }
    this.#giveUp(batch, 'shutdown');
  }

  #serialize(batch: readonly Queued[]): Uint8Array {
    const observed = hrTimeOf(BigInt(Date.now()) * 1_000_000n);
    const records = batch.map(({ record }) => toLogRecord(record, this.#options.scope, observed));
    const request = ProtobufLogsSerializer.serializeRequest(records);
    // By its own code it always gives one; its type says otherwise.
    if (request === undefined) throw new TypeError('log records were not serialized');
    return request;
  }

  #acknowledged(batch: readonly Queued[], response: Uint8Array): void {
    const { partialSuccess } = ProtobufLogsSerializer.deserializeResponse(response);
    const rejected = Math.min(Number(partialSuccess?.rejectedLogRecords ?? 0), batch.length);
    this.#exported += batch.length - rejected;
    this.#queue.done(batch);
    if (rejected === 0) return;
    // Which ones the collector doesn't say.
    this.#lost += rejected;
    this.#options.onLost({
      ...spanOf(batch.map(({ record }) => record)),
      reason: 'export_rejected',
      stage: 'export',
      count: rejected,
    });
  }

  async #refused(batch: readonly Queued[], tooLarge: boolean): Promise<void> {
    if (!tooLarge || batch.length === 1) {
      this.#giveUp(batch, 'export_rejected');
      return;
    }
    const half = Math.ceil(batch.length / 2);
    await this.#deliver(batch.slice(0, half));
    await this.#deliver(batch.slice(half));
  }

  #giveUp(batch: readonly Queued[], reason: string): void {
    if (batch.length === 0) return;
    this.#queue.done(batch);
    this.#lose(
      batch.map(({ record }) => record),
      reason,
    );
  }

  #lose(records: readonly FilewardRecord[], reason: string): void {
    this.#lost += records.length;
    this.#options.onLost({ ...spanOf(records), reason, stage: 'export', count: records.length });
  }

  #noteReachable(result: SendResult): void {
    const problem = result.kind === 'success' ? '' : result.reason;
    if ((problem === '') !== (this.#problem === '')) {
      this.#options.onReachable(problem === '' ? undefined : problem);
    }
    this.#problem = problem;
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms).unref();
      const self = this;
      function done(): void {
        clearTimeout(timer);
        self.#wakeUp = undefined;
        resolve();
      }
      this.#wakeUp = done;
    });
  }
}

function spanOf(records: readonly FilewardRecord[]): { fromNs: bigint; toNs: bigint } {
  const [first = 0n, ...others] = records.map(({ time }) => time);
  return timeSpan([first, ...others]);
}

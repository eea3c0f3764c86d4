/**
 * Sends what one lane holds, as far as the collector takes it. Owns the requests in flight and what is to be sent again,
 * its transport and its pause; what waits for its first time is the holding's. A retry of evidence has the bytes of the
 * first time. Nobody's fault but a record's own takes a record away: a collector that refuses everything, or answers that it is
 * not one, is asked again later.
 */
import { halve, type Lane, recordsIn } from './chunk.ts';
import type { Holding } from './holding.ts';
import type { HeldSlice } from './lane-queue.ts';
import { encodeRequest, type ResourceRecords } from './log-record.ts';
import { embedded, varintOf } from './protobuf.ts';
import { backoffMs, type SendResult, type Transport } from './transport.ts';

export interface LaneSenderOptions {
  readonly lane: Lane;
  readonly holding: Holding;
  /** The `scope` field of a `ScopeLogs`. */
  readonly scope: Uint8Array;
  readonly transport: Transport;
  /** Shared by the senders to one collector. */
  readonly collector: CollectorMood;
  /** Something about reaching the collector is different. */
  readonly onChange: () => void;
}

/** Single records refused since the collector last took anything, whoever sent it. */
export interface CollectorMood {
  refusedInARow: number;
}

interface Batch {
  readonly slices: readonly HeldSlice[];
  readonly request: Uint8Array;
}

const BATCH_RECORDS = 2048;
/** Half of what a collector takes by default over gRPC. */
const BATCH_BYTES = 2 * 1024 * 1024;
const SMALLEST_BATCH_BYTES = 64 * 1024;
/** Room for resources and scope in a request. */
const FRAMING_BYTES = 16 * 1024;
const MOST_IN_FLIGHT = 4;
/** A collector that refuses more single records than that, one after the other, is taken to refuse anything. */
const MOST_REFUSED_IN_A_ROW = 3;
/** Until somebody has corrected what is wrong with the collector. */
const SLOW_WAIT_MS = 5000;
/** Whatever a server says. */
const SHORTEST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 300_000;

export class LaneSender {
  readonly #options: LaneSenderOptions;
  #transport: Transport;
  #mostBytes = BATCH_BYTES;
  readonly #again: Batch[] = [];
  /** Suspected of being at fault: after everything else. */
  readonly #suspects: Batch[] = [];
  readonly #inFlight = new Set<Batch>();
  #attempt = 0;
  #pause: NodeJS.Timeout | undefined;
  #retries = 0;
  #problem = '';
  #stopped = false;

  constructor(options: LaneSenderOptions) {
    this.#options = options;
    this.#transport = options.transport;
  }

  get retries(): number {
    return this.#retries;
  }

  /** Why the last request failed, '' when it didn't. */
  get problem(): string {
    return this.#problem;
  }

  /** There is something to send. */
  wake(): void {
    if (this.#pause !== undefined) return;
    // After a failure one request finds out whether it works again.
    const most = this.#attempt === 0 ? MOST_IN_FLIGHT : 1;
    while (!this.#stopped && this.#inFlight.size < most) {
      const batch = this.#again.shift() ?? this.#next() ?? this.#suspects.shift();
      if (batch === undefined) return;
      this.#inFlight.add(batch);
      void this.#send(batch, this.#transport);
    }
  }

  /** Tries now what waits for a retry. */
  hurry(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
    this.wake();
  }

  /** Other settings: what is in flight is cut off and goes again, this other way. */
  use(transport: Transport): void {
    this.#transport.close();
    this.#transport = transport;
    this.#attempt = 0;
    this.#mostBytes = BATCH_BYTES;
    this.hurry();
  }

  /** Ends for good. @returns what it had taken and not delivered */
  stop(): HeldSlice[] {
    this.#stopped = true;
    clearTimeout(this.#pause);
    this.#transport.close();
    const batches = [...this.#inFlight, ...this.#again, ...this.#suspects];
    return batches.flatMap(({ slices }) => slices);
  }

  #next(): Batch | undefined {
    const { holding, lane } = this.#options;
    const slices = holding.take(lane, BATCH_RECORDS, this.#mostBytes - FRAMING_BYTES);
    return slices.length === 0 ? undefined : this.#batch(slices);
  }

  #batch(slices: readonly HeldSlice[]): Batch {
    return { slices, request: encodeRequest(this.#options.scope, byResource(slices)) };
  }

  async #send(batch: Batch, transport: Transport): Promise<void> {
    const result = await transport.send(batch.request);
    this.#inFlight.delete(batch);
    if (this.#stopped) return;
    if (transport !== this.#transport) {
      // Cut off by other settings, which says nothing about the new ones.
      if (result.kind === 'success') this.#taken(batch, result.response);
      else this.#keep(batch);
    } else {
      this.#handle(batch, result);
    }
    this.wake();
  }

  /** @param problem - why the collector takes nothing now, '' when it does */
  #note(problem: string): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#options.onChange();
  }

  #handle(batch: Batch, result: SendResult): void {
    switch (result.kind) {
      case 'success':
        this.#attempt = 0;
        this.#note('');
        this.#taken(batch, result.response);
        return;
      case 'later':
        this.#keep(batch);
        this.#wait(result.reason, result.afterMs ?? backoffMs(this.#attempt));
        return;
      case 'misconfigured':
        this.#keep(batch);
        this.#wait(result.reason, Math.max(SLOW_WAIT_MS, backoffMs(this.#attempt)));
        return;
      case 'too_large':
        this.#tooLarge(batch, result.certain, result.reason);
        return;
      case 'refused':
        if (!this.#split(batch)) this.#refused(batch, result.reason);
    }
  }

  /** For the next attempt. */
  #keep(batch: Batch): void {
    const kept = this.#options.holding.putBack(batch.slices);
    if (kept.length === batch.slices.length) this.#again.unshift(batch);
    else if (kept.length > 0) this.#again.unshift(this.#batch(kept));
  }

  #taken(batch: Batch, response: Uint8Array): void {
    this.#options.collector.refusedInARow = 0;
    this.#again.push(...this.#suspects.splice(0));
    const records = recordsIn(batch.slices);
    this.#options.holding.acknowledged(batch.slices, Math.min(rejectedIn(response), records));
  }

  #tooLarge(batch: Batch, certain: boolean, reason: string): void {
    this.#mostBytes = Math.max(
      Math.min(this.#mostBytes, batch.request.length / 2),
      SMALLEST_BATCH_BYTES,
    );
    // A quota is over with time only, not with smaller requests.
    if (!certain) this.#wait(reason, backoffMs(this.#attempt));
    if (this.#split(batch)) return;
    if (certain || batch.request.length > SMALLEST_BATCH_BYTES) this.#refused(batch, reason);
    else this.#again.unshift(batch);
  }

  /** In halves, one of which has the record that is refused. False for a single record. */
  #split(batch: Batch): boolean {
    if (recordsIn(batch.slices) === 1) return false;
    const [first, second] = halve(batch.slices);
    this.#again.unshift(this.#batch(first), this.#batch(second));
    return true;
  }

  #refused(batch: Batch, reason: string): void {
    const { collector, holding } = this.#options;
    const [slice] = batch.slices;
    collector.refusedInARow += 1;
    if (slice !== undefined && collector.refusedInARow <= MOST_REFUSED_IN_A_ROW) {
      holding.setAside(slice, reason);
      return;
    }
    this.#suspects.push(batch);
    this.#wait(reason, backoffMs(this.#attempt));
  }

  /** Failures of requests that were sent at the same time are one. */
  #wait(problem: string, ms: number): void {
    this.#retries += 1;
    this.#note(problem);
    this.#options.onChange();
    if (this.#pause !== undefined) return;
    this.#attempt += 1;
    const wait = Math.min(Math.max(ms, SHORTEST_WAIT_MS), LONGEST_WAIT_MS);
    this.#pause = setTimeout(() => this.hurry(), wait).unref();
  }
}

/** Those of the same resource together. */
function byResource(slices: readonly HeldSlice[]): ResourceRecords[] {
  const groups = new Map<string, { resource: Uint8Array; records: Uint8Array[] }>();
  for (const { chunk, body } of slices) {
    const { resource } = chunk;
    const key = Buffer.from(resource.buffer, resource.byteOffset, resource.length).toString(
      'latin1',
    );
    const known = groups.get(key);
    if (known) known.records.push(body);
    else groups.set(key, { resource, records: [body] });
  }
  return [...groups.values()];
}

/** Of an `ExportLogsServiceResponse`; an answer that can't be read rejects nothing. */
function rejectedIn(response: Uint8Array): number {
  try {
    // partial_success = 1; in it rejected_log_records = 1.
    const [partial] = embedded(response, 1);
    return varintOf(partial, 1);
  } catch {
    return 0;
  }
}

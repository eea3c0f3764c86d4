/**
 * Records on their way to the collector, bounded by bytes. Two lanes: when there is no room, what was `accessed` goes
 * before anything that is evidence. Owns the records from `push` until `done`, those in flight included.
 */
import { FILE_EVENT, RECORD_LOST } from '../records/names.ts';
import type { FilewardRecord } from '../records/record.ts';
import { estimatedBytes } from './log-record.ts';

export interface Queued {
  readonly record: FilewardRecord;
  readonly bytes: number;
}

/** Room beyond the limit for saying what was lost: such records are few, each stands for many. */
const RESERVE_BYTES = 256 * 1024;

export class LogQueue {
  readonly #maxBytes: number;
  readonly #onDrop: (record: FilewardRecord) => void;
  readonly #evidence = new Lane();
  readonly #accessed = new Lane();
  #bytes = 0;
  #records = 0;

  constructor(maxBytes: number, onDrop: (record: FilewardRecord) => void) {
    this.#maxBytes = maxBytes;
    this.#onDrop = onDrop;
  }

  /** In both lanes and in flight. */
  get records(): number {
    return this.#records;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Neither in flight. */
  get waiting(): number {
    return this.#evidence.length + this.#accessed.length;
  }

  push(record: FilewardRecord): void {
    const bytes = estimatedBytes(record);
    const isEvidence = record.event !== FILE_EVENT.accessed;
    const room = this.#maxBytes + (record.event === RECORD_LOST ? RESERVE_BYTES : 0) - bytes;
    while (isEvidence && this.#bytes > room) {
      const victim = this.#accessed.shift();
      if (victim === undefined) break;
      this.done([victim]);
      this.#onDrop(victim.record);
    }
    if (this.#bytes > room) {
      this.#onDrop(record);
      return;
    }
    this.#bytes += bytes;
    this.#records += 1;
    (isEvidence ? this.#evidence : this.#accessed).push({ record, bytes });
  }

  /** The next to send, evidence first; at least one if there is any. They still count until `done`. */
  take(mostRecords: number, mostBytes: number): Queued[] {
    const batch: Queued[] = [];
    let bytes = 0;
    for (const lane of [this.#evidence, this.#accessed]) {
      for (let next = lane.first; next !== undefined; next = lane.first) {
        const fits = batch.length < mostRecords && bytes + next.bytes <= mostBytes;
        if (!fits && batch.length > 0) return batch;
        lane.shift();
        batch.push(next);
        bytes += next.bytes;
      }
    }
    return batch;
  }

  /** Acknowledged, refused or given up. */
  done(batch: readonly Queued[]): void {
    for (const { bytes } of batch) this.#bytes -= bytes;
    this.#records -= batch.length;
  }
}

/** First in, first out; the space in front is given back when it is more than half. */
class Lane {
  #items: (Queued | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  get first(): Queued | undefined {
    return this.#items[this.#head];
  }

  push(item: Queued): void {
    this.#items.push(item);
  }

  shift(): Queued | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head] = undefined;
    this.#head += 1;
    if (this.#head * 2 > this.#items.length && this.#head > 64) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}

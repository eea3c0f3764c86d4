/**
 * All that waits in the worker: evidence on its way to the disk, evidence on disk, accessed in memory, what senders have
 * taken. Owns the disk, the limit and the count of every record from `add` until it is acknowledged or lost. Hands
 * chunks to the lane senders; runs on the outbox worker's thread.
 */
import type { LostReason } from '../records/names.ts';
import { type Chunk, LANES, type Lane, recordsIn, sizeOf } from './chunk.ts';
import { firstOf, type HeldChunk, type HeldSlice, LaneQueue, sliceOf } from './lane-queue.ts';
import { OutboxAccount } from './outbox-account.ts';
import { OutboxDisk } from './outbox-disk.ts';
import type { Report } from './outbox-messages.ts';
import type { Contents, RefusedRecord } from './outbox-store.ts';

export interface HoldingOptions {
  readonly file: string;
  /** Of all that waits. */
  readonly limitBytes: number;
  /** There is something to send. */
  readonly onReady: (lane: Lane) => void;
  /** Some count is another. */
  readonly onChange: () => void;
}

/** Longest and most that waits to be written together. */
const COMMIT_MS = 50;
const COMMIT_BYTES = 1024 * 1024;
/** Small enough that little room on a disk is used as far as it goes. */
const TRANSACTION_BYTES = 4 * 1024 * 1024;
/** Of accessed records, and of evidence that can't be written, each. */
const MEMORY_BYTES = 32 * 1024 * 1024;
/** Room beyond the limit for saying what was lost: such records are few, each stands for many. */
const RESERVE_BYTES = 256 * 1024;

export class Holding {
  readonly #options: HoldingOptions;
  readonly #disk: OutboxDisk;
  readonly #account = new OutboxAccount();
  readonly #lanes: Readonly<Record<Lane, LaneQueue>> = {
    alert: new LaneQueue('alert'),
    evidence: new LaneQueue('evidence'),
    accessed: new LaneQueue('accessed'),
  };
  #limitBytes: number;
  /** Evidence that is not on disk, in order. */
  #pending = new Set<HeldChunk>();
  #pendingBytes = 0;
  #accessedBytes = 0;
  /** Evidence that is in memory and on disk. */
  readonly #live = new Set<HeldChunk>();
  /** Rows of what is done with. */
  #removable: number[] = [];
  #setAside: RefusedRecord[] = [];
  #commitTimer: NodeJS.Timeout | undefined;
  #commitNow: NodeJS.Immediate | undefined;
  /** Of the last row written; undefined until the file was seen. */
  #lastId: number | undefined;
  #lastChunk = 0;

  constructor(options: HoldingOptions) {
    this.#options = options;
    this.#limitBytes = options.limitBytes;
    this.#disk = new OutboxDisk({
      file: options.file,
      onOpened: (contents) => this.#diskOpened(contents),
      onFailed: () => this.#diskFailed(),
      onCorrupt: () => this.#diskCorrupt(),
    });
  }

  set limitBytes(bytes: number) {
    this.#limitBytes = bytes;
  }

  /** Number of the last chunk that came. */
  get lastChunk(): number {
    return this.#lastChunk;
  }

  get isEmpty(): boolean {
    return this.#account.held.records === 0;
  }

  /** All evidence up to this chunk is on disk, acknowledged or lost. */
  isSettled(number: number): boolean {
    const [oldest] = this.#pending;
    return oldest === undefined || oldest.number > number;
  }

  /** What was lost is told once. */
  report(): Omit<Report, 'kind' | 'retries' | 'problem'> {
    return {
      ...this.#account.report(),
      lastChunk: this.#lastChunk,
      diskProblem: this.#disk.problem,
    };
  }

  /** Looks for what an earlier process left. */
  open(): void {
    this.#disk.open();
  }

  add(number: number, given: Chunk): void {
    const chunk: HeldChunk = {
      ...given,
      number,
      id: undefined,
      left: given.records,
      queued: false,
    };
    this.#lastChunk = number;
    this.#account.taken(chunk);
    if (chunk.lane === 'accessed') this.#accessedBytes += sizeOf(chunk);
    else this.#pendingBytes += sizeOf(chunk);
    this.#options.onChange();
    if (!this.#makeRoom(chunk)) return;
    const fails = this.#disk.problem !== '';
    if (chunk.lane === 'accessed' || fails) this.#queue(chunk);
    if (chunk.lane === 'accessed') return;
    this.#pending.add(chunk);
    if (!fails) this.#commitSoon();
  }

  /** The next to send of a lane, one chunk at least if there is any. */
  take(lane: Lane, mostRecords: number, mostBytes: number): HeldSlice[] {
    const queue = this.#lanes[lane];
    const slices: HeldSlice[] = [];
    for (let records = 0, bytes = 0; ; ) {
      const chunk = queue.first(this.#disk, (read) => this.#live.add(read));
      if (chunk === undefined) return slices;
      records += chunk.records;
      bytes += sizeOf(chunk);
      if (slices.length > 0 && (records > mostRecords || bytes > mostBytes)) return slices;
      queue.shift();
      slices.push({ chunk, records: chunk.records, body: chunk.body });
    }
  }

  /**
   * What could not be sent now. Accessed records wait where they can give way to others.
   * @returns what the sender keeps
   */
  putBack(slices: readonly HeldSlice[]): HeldSlice[] {
    const canGiveWay = ({ chunk, records }: HeldSlice) =>
      chunk.lane === 'accessed' && records === chunk.records;
    this.#lanes.accessed.putBack(slices.filter(canGiveWay).map(({ chunk }) => chunk));
    return slices.filter((slice) => !canGiveWay(slice));
  }

  /** @param rejected - so many of them the collector did not take; it doesn't say which */
  acknowledged(slices: readonly HeldSlice[], rejected: number): void {
    this.#account.exported(recordsIn(slices) - rejected);
    this.#account.lost(slices, rejected, 'export_rejected');
    for (const slice of slices) this.#release(slice);
  }

  /** A record that will never be taken. */
  setAside(slice: HeldSlice, reason: string): void {
    this.#setAside.push({ reason, resource: slice.chunk.resource, body: slice.body });
    this.#lose([slice], 'export_rejected');
    this.#commitSoon();
  }

  /** Writes now what waits for it. */
  commit(): void {
    clearTimeout(this.#commitTimer);
    clearImmediate(this.#commitNow);
    this.#commitTimer = undefined;
    this.#commitNow = undefined;
    const isDue = () => this.#pending.size + this.#removable.length + this.#setAside.length > 0;
    while (isDue() && this.#write(firstOf(this.#pending, TRANSACTION_BYTES)));
  }

  /** The end: nothing is sent any more, so what isn't for the disk has nowhere to wait. */
  dropAccessed(chunks: readonly HeldSlice[]): void {
    const queue = this.#lanes.accessed;
    this.#lose(chunks, 'shutdown');
    for (let chunk = queue.shift(); chunk !== undefined; chunk = queue.shift()) {
      this.#lose([sliceOf(chunk)], 'shutdown');
    }
  }

  /** Writes what it can; what can't be written is lost. */
  close(): void {
    this.dropAccessed([]);
    this.commit();
    for (const chunk of this.#pending) this.#lose([sliceOf(chunk)], 'outbox_write_failed');
    this.#disk.close();
  }

  /** Accessed go first, the oldest of them; then what is new is not taken. */
  #makeRoom(chunk: HeldChunk): boolean {
    const reserve = chunk.aboutLoss ? RESERVE_BYTES : 0;
    const limit = this.#limitBytes + reserve;
    const accessed = this.#lanes.accessed;
    while (this.#account.held.bytes > limit || this.#accessedBytes > MEMORY_BYTES) {
      const victim = accessed.shift();
      this.#lose([sliceOf(victim ?? chunk)], 'outbox_full');
      if (victim === undefined) return false;
    }
    if (this.#disk.problem !== '' && this.#pendingBytes > MEMORY_BYTES + reserve) {
      this.#lose([sliceOf(chunk)], 'outbox_write_failed');
      return false;
    }
    return true;
  }

  /** One transaction. False when it failed. */
  #write(chunks: readonly HeldChunk[]): boolean {
    const before = this.#lastId;
    if (before === undefined) return false;
    const [remove, refused] = [this.#removable, this.#setAside];
    const insert = chunks.map((chunk, index) => ({ ...chunk, id: before + 1 + index }));
    if (!this.#disk.write({ insert, remove, refused })) return false;
    this.#removable = [];
    this.#setAside = [];
    this.#account.refused(refused.length);
    this.#lastId = before + chunks.length;
    for (const [index, chunk] of chunks.entries()) this.#written(chunk, before + 1 + index);
    if (this.#account.held.onDisk === 0) this.#disk.shrink();
    this.#options.onChange();
    for (const lane of LANES) this.#options.onReady(lane);
    return true;
  }

  #queue(chunk: HeldChunk): void {
    this.#lanes[chunk.lane].push(chunk);
    this.#options.onReady(chunk.lane);
  }

  #written(chunk: HeldChunk, id: number): void {
    chunk.id = id;
    this.#pending.delete(chunk);
    this.#pendingBytes -= sizeOf(chunk);
    this.#account.written(chunk.left);
    if (this.#lanes[chunk.lane].written(chunk, id)) this.#live.add(chunk);
  }

  #commitSoon(): void {
    if (this.#pendingBytes >= COMMIT_BYTES) this.#commitNow ??= setImmediate(() => this.commit());
    else this.#commitTimer ??= setTimeout(() => this.commit(), COMMIT_MS);
  }

  #lose(slices: readonly HeldSlice[], reason: LostReason): void {
    this.#account.lost(slices, recordsIn(slices), reason);
    for (const slice of slices) this.#release(slice);
  }

  /** Acknowledged or lost. */
  #release(slice: HeldSlice): void {
    const { chunk } = slice;
    this.#options.onChange();
    chunk.left -= slice.records;
    this.#account.released(slice, chunk.id !== undefined, chunk.left === 0);
    if (chunk.left > 0) return;
    if (chunk.lane === 'accessed') this.#accessedBytes -= sizeOf(chunk);
    else if (chunk.id === undefined) {
      this.#pendingBytes -= sizeOf(chunk);
      this.#pending.delete(chunk);
    } else {
      this.#removable.push(chunk.id);
      this.#live.delete(chunk);
      this.#commitSoon();
    }
  }

  #diskOpened(contents: Contents): void {
    if (this.#lastId === undefined) {
      this.#lastId = contents.lastId;
      this.#account.recovered(contents);
      for (const lane of LANES) if (contents.lanes.has(lane)) this.#lanes[lane].recovered();
    }
    this.#options.onChange();
    for (const lane of LANES) this.#options.onReady(lane);
    // What is done with first: it gives room. And a write is what shows that it works again.
    if (this.#write([])) this.commit();
  }

  /** What isn't on disk is sent from memory. */
  #diskFailed(): void {
    this.#options.onChange();
    for (const chunk of this.#pending) if (!chunk.queued) this.#queue(chunk);
  }

  /** What is in memory too will be written anew. */
  #diskCorrupt(): void {
    const kept = [...this.#live].sort((a, b) => (a.id ?? 0) - (b.id ?? 0));
    this.#pendingBytes += kept.reduce((sum, chunk) => sum + sizeOf(chunk), 0);
    const records = kept.reduce((sum, { left }) => sum + left, 0);
    const bytes = this.#pendingBytes + this.#accessedBytes;
    this.#account.diskLost({ records, bytes }, this.#lastId === undefined);
    for (const chunk of kept) chunk.id = undefined;
    for (const lane of LANES) this.#lanes[lane].diskLost();
    this.#live.clear();
    this.#removable = [];
    this.#pending = new Set([...kept, ...this.#pending]);
  }
}

/** Chunks of one lane that are ready to send: those in memory, and what is on disk behind them. */
import { type Chunk, type Lane, type Slice, sizeOf } from './chunk.ts';
import type { OutboxDisk } from './outbox-disk.ts';

/** A chunk in memory. */
export interface HeldChunk extends Chunk {
  /** As the main thread numbered it; 0 when it came from the disk. */
  readonly number: number;
  /** Of its row, when it has one. */
  id: number | undefined;
  /** Records that are neither acknowledged nor lost. */
  left: number;
  /** Ready to send, or taken by a sender. */
  queued: boolean;
}

export type HeldSlice = Slice<HeldChunk>;

/** Of evidence in memory beside the disk, so that it needn't be read back; the rest is on disk only. */
const READY_BYTES = 8 * 1024 * 1024;

export class LaneQueue {
  readonly #lane: Lane;
  #ready: HeldChunk[] = [];
  #readyBytes = 0;
  /** What is on disk up to this id was ready once. */
  #cursor = 0;
  /** There may be more on disk behind the cursor. */
  #behind = false;
  /** Rows behind the cursor that were ready before they were written, while the disk failed. */
  readonly #ahead = new Set<number>();

  constructor(lane: Lane) {
    this.#lane = lane;
  }

  push(chunk: HeldChunk): void {
    chunk.queued = true;
    this.#ready.push(chunk);
    this.#readyBytes += chunk.body.length;
  }

  /** A sender has no use for them now; they are the oldest. */
  putBack(chunks: readonly HeldChunk[]): void {
    this.#ready.unshift(...chunks);
    for (const { body } of chunks) this.#readyBytes += body.length;
  }

  /** The oldest that no sender has. */
  shift(): HeldChunk | undefined {
    const chunk = this.#ready.shift();
    this.#readyBytes -= chunk?.body.length ?? 0;
    return chunk;
  }

  /** The same without taking it. @param onRead - told of each chunk that comes into memory again */
  first(disk: OutboxDisk, onRead: (chunk: HeldChunk) => void): HeldChunk | undefined {
    while (this.#ready.length === 0 && this.#behind) {
      if (!this.#readOn(disk, onRead)) break;
    }
    return this.#ready[0];
  }

  /** An earlier process left something. */
  recovered(): void {
    this.#behind = true;
  }

  /** It is on disk now. @returns whether it stays in memory too */
  written(chunk: HeldChunk, id: number): boolean {
    if (chunk.queued) {
      if (this.#behind) this.#ahead.add(id);
      else this.#cursor = id;
      return true;
    }
    if (this.#behind || this.#readyBytes >= READY_BYTES) {
      this.#behind = true;
      return false;
    }
    this.#cursor = id;
    this.push(chunk);
    return true;
  }

  /** What was on disk only is gone. */
  diskLost(): void {
    this.#behind = false;
    this.#ahead.clear();
  }

  #readOn(disk: OutboxDisk, onRead: (chunk: HeldChunk) => void): boolean {
    const chunks = disk.read(this.#lane, this.#cursor, READY_BYTES);
    if (chunks === undefined) return false;
    this.#behind = chunks.length > 0;
    for (const chunk of chunks) {
      this.#cursor = chunk.id;
      if (this.#ahead.delete(chunk.id)) continue;
      const held: HeldChunk = { ...chunk, number: 0, left: chunk.records, queued: true };
      this.push(held);
      onRead(held);
    }
    return true;
  }
}

/** All that is left of it. */
export function sliceOf(chunk: HeldChunk): HeldSlice {
  return { chunk, records: chunk.left, body: chunk.body };
}

/** @param bytes - at least one, then as many as fit */
export function firstOf(chunks: Iterable<HeldChunk>, bytes: number): HeldChunk[] {
  const first: HeldChunk[] = [];
  let room = bytes;
  for (const chunk of chunks) {
    first.push(chunk);
    room -= sizeOf(chunk);
    if (room <= 0) break;
  }
  return first;
}

/** What the outbox keeps and sends: records of one lane and one resource, as the bytes that go to the collector. */
import { fieldsOf } from './protobuf.ts';

/**
 * Each has a sender of its own, so that none waits for another. `alert`: evidence from WARN on. `evidence`: the rest of
 * it. `accessed`: best effort, never on disk.
 */
export const LANES = ['alert', 'evidence', 'accessed'] as const;
export type Lane = (typeof LANES)[number];

export interface Chunk {
  readonly lane: Lane;
  /** Its records tell losses: losing them is counted, and no reason for another one. */
  readonly aboutLoss: boolean;
  readonly records: number;
  readonly fromNs: bigint;
  readonly toNs: bigint;
  /** The `resource` field of a `ResourceLogs`. */
  readonly resource: Uint8Array;
  /** `log_records` fields of a `ScopeLogs`, never changed again: each retry has the same bytes. */
  readonly body: Uint8Array;
}

/** What a row takes beside its bytes. */
const OVERHEAD_BYTES = 64;

export function sizeOf({ resource, body }: Chunk): number {
  return resource.length + body.length + OVERHEAD_BYTES;
}

/** Successive records of a chunk. */
export interface Slice<C extends Chunk = Chunk> {
  readonly chunk: C;
  readonly records: number;
  readonly body: Uint8Array;
}

/** Two parts with half of the records each. @param slices - with two records at least */
export function halve<C extends Chunk>(slices: readonly Slice<C>[]): [Slice<C>[], Slice<C>[]] {
  const first: Slice<C>[] = [];
  const second: Slice<C>[] = [];
  let room = Math.floor(recordsIn(slices) / 2);
  for (const slice of slices) {
    const taken = Math.min(room, slice.records);
    room -= taken;
    if (taken === slice.records) first.push(slice);
    else if (taken === 0) second.push(slice);
    else {
      const { chunk, body, records } = slice;
      const at = endOfRecord(body, taken);
      first.push({ chunk, records: taken, body: body.subarray(0, at) });
      second.push({ chunk, records: records - taken, body: body.subarray(at) });
    }
  }
  return [first, second];
}

export function recordsIn(slices: readonly Slice[]): number {
  return slices.reduce((sum, { records }) => sum + records, 0);
}

/** Of bytes that a disk has damaged, their end. */
function endOfRecord(body: Uint8Array, number: number): number {
  let seen = 0;
  try {
    for (const { end } of fieldsOf(body)) {
      seen += 1;
      if (seen === number) return end;
    }
  } catch {
    // Cut off.
  }
  return body.length;
}

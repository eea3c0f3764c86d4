/** Both clocks that records need, in one place so that tests can turn them. */
export interface Clock {
  /** Monotonic milliseconds: for windows and waits. */
  nowMs(): number;
  /** Nanoseconds since the epoch: for records. */
  nowNs(): bigint;
}

export function oldestOf(times: Iterable<bigint | undefined>): bigint | undefined {
  let oldest: bigint | undefined;
  for (const time of times) {
    if (time !== undefined && (oldest === undefined || time < oldest)) oldest = time;
  }
  return oldest;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  // hrtime starts anywhere; Date has milliseconds only. A record about the agent itself needs no more.
  nowNs: () => BigInt(Date.now()) * 1_000_000n,
};

/** ISO 8601 with nine digits behind the second. */
export function isoNanoseconds(timeNs: bigint): string {
  const seconds = timeNs / 1_000_000_000n;
  const rest = (timeNs % 1_000_000_000n).toString().padStart(9, '0');
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${rest}Z`;
}

/** Nanoseconds as bigint, which Math.min can't take. */
export function timeSpan(times: readonly [bigint, ...bigint[]]): { fromNs: bigint; toNs: bigint } {
  let [fromNs] = times;
  let toNs = fromNs;
  for (const time of times) {
    if (time < fromNs) fromNs = time;
    if (time > toNs) toNs = time;
  }
  return { fromNs, toNs };
}

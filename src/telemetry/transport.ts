/** One request to a collector, over gRPC or HTTP; retrying is not its business. */
export interface Transport {
  /** Never rejects. */
  send(request: Uint8Array): Promise<SendResult>;
  close(): void;
}

export type SendResult =
  | { readonly kind: 'success'; readonly response: Uint8Array }
  /** May be sent again; `afterMs`: the server said when. */
  | { readonly kind: 'retryable'; readonly reason: string; readonly afterMs?: number }
  /** The request as it is will never be taken; `tooLarge`: perhaps in pieces. */
  | { readonly kind: 'refused'; readonly reason: string; readonly tooLarge: boolean };

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const GROWTH = 1.6;

/** Exponential, with jitter of a fifth so that a fleet doesn't come back as one. `attempt` counts from 0. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const wait = Math.min(FIRST_WAIT_MS * GROWTH ** attempt, LONGEST_WAIT_MS);
  return wait * (0.8 + 0.4 * random());
}

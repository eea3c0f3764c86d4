/** One request to a collector, over gRPC or HTTP; retrying is not its business. */
export interface Transport {
  /** Never rejects. */
  send(request: Uint8Array): Promise<SendResult>;
  close(): void;
}

export type SendResult =
  | { readonly kind: 'success'; readonly response: Uint8Array }
  /** `later`: busy or not reached. `misconfigured`: whoever answers isn't meant to take these, or not from us. */
  | {
      readonly kind: 'later' | 'misconfigured';
      readonly reason: string;
      /** The server said when. */
      readonly afterMs?: number;
    }
  /** Perhaps in pieces. `certain`: by its size; else a quota may be meant. */
  | { readonly kind: 'too_large'; readonly reason: string; readonly certain: boolean }
  /** The request as it is will never be taken. */
  | { readonly kind: 'refused'; readonly reason: string };

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const GROWTH = 1.6;

/** Exponential, with jitter of a fifth so that a fleet doesn't come back as one. `attempt` counts from 0. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const wait = Math.min(FIRST_WAIT_MS * GROWTH ** attempt, LONGEST_WAIT_MS);
  return wait * (0.8 + 0.4 * random());
}

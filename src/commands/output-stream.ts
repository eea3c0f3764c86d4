/**
 * Lines to a descriptor of ours, never in the way of the agent: nothing blocks, what a reader that stalls doesn't take
 * is dropped beyond a bound and counted, and a reader that goes away ends the printing, not the agent.
 * (process.stdout blocks on pipes and terminals; pino's own destination retries a stalled one for ever at its end.)
 */
import { write } from 'node:fs';
import { codeOf } from '../control/failure.ts';

/** Between two tries of a descriptor that takes nothing now. */
const RETRY_MS = 50;
/** What a stalled reader gets to take the rest at the end. */
const END_MS = 500;

export class OutputStream {
  readonly #fd: 1 | 2;
  readonly #maxWaitingBytes: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #state: 'idle' | 'writing' | 'closed' = 'idle';
  #onIdle: () => void = () => undefined;

  constructor(fd: 1 | 2, maxWaitingBytes: number) {
    this.#fd = fd;
    this.#maxWaitingBytes = maxWaitingBytes;
  }

  /** Writes that were dropped. */
  get dropped(): number {
    return this.#dropped;
  }

  /** `text` ends with its newline. */
  write(text: string): void {
    if (this.#state === 'closed') return;
    const bytes = Buffer.from(text);
    if (this.#waitingBytes + bytes.length > this.#maxWaitingBytes) {
      this.#dropped++;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#state === 'idle') this.#next();
  }

  /** Resolves when all is written, or the reader has gone or goes on stalling. Takes nothing more. */
  async end(): Promise<void> {
    if (this.#state === 'writing') {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, END_MS);
        this.#onIdle = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#close();
  }

  #next(): void {
    if (this.#waiting.length === 0) {
      this.#state = 'idle';
      this.#onIdle();
      return;
    }
    this.#state = 'writing';
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#write(bytes);
  }

  #write(bytes: Buffer): void {
    write(this.#fd, bytes, (error, written) => {
      if (this.#state === 'closed') return;
      if (error && codeOf(error) !== 'EAGAIN') {
        this.#close();
        return;
      }
      this.#waitingBytes -= written ?? 0;
      const rest = bytes.subarray(written ?? 0);
      if (rest.length === 0) this.#next();
      else setTimeout(() => this.#write(rest), error ? RETRY_MS : 0).unref();
    });
  }

  #close(): void {
    this.#state = 'closed';
    this.#waiting = [];
    this.#onIdle();
  }
}

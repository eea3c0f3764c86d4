/**
 * Holds back a record whose user's name is being read from a container's passwd, a moment at most: `adduser` and the
 * new user's first deed may be that close. What waits is counted; order among what waits for one container is kept.
 */
import { oldestOf } from './clock.ts';

/** Reading may last as long as a container likes. */
const LONGEST_WAIT_MS = 250;
/** Beyond it nothing more is held back. */
const MOST_WAITING = 1000;

interface Waiting {
  readonly events: number;
  readonly timeNs: bigint;
  readonly tell: () => void;
}

export class AwaitNames {
  readonly #waiting = new Set<Waiting>();

  /** Calls `tell` once: at once without `settled`. */
  add(settled: Promise<void> | undefined, events: number, timeNs: bigint, tell: () => void): void {
    if (settled === undefined || this.#waiting.size >= MOST_WAITING) {
      tell();
      return;
    }
    const waiting = { events, timeNs, tell };
    const timer = setTimeout(() => this.#end(waiting), LONGEST_WAIT_MS);
    this.#waiting.add(waiting);
    void settled.then(() => {
      clearTimeout(timer);
      this.#end(waiting);
    });
  }

  /** Kernel events of the records that wait. */
  get waiting(): number {
    let sum = 0;
    for (const { events } of this.#waiting) sum += events;
    return sum;
  }

  oldestWaitingNs(): bigint | undefined {
    return oldestOf(Array.from(this.#waiting, ({ timeNs }) => timeNs));
  }

  /** Without the names that are not there. */
  flush(): void {
    for (const waiting of this.#waiting) this.#end(waiting);
  }

  #end(waiting: Waiting): void {
    if (this.#waiting.delete(waiting)) waiting.tell();
  }
}

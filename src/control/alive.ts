/**
 * The file `alive` in the state directory: its time says until when everything is told, and moves on every second while
 * an agent runs; removed when it ends in order. So the next one knows of a crash, and since when something may be missing.
 */
import { rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const INTERVAL_MS = 1000;

export class AliveFile {
  /** Until when the agent before this one had told everything, if it ended without a word; ns since the epoch. */
  readonly crashedNs: bigint | undefined;
  readonly #file: string;
  #timer: NodeJS.Timeout | undefined;
  #touching = false;
  #ended = false;
  readonly #beganMs = Date.now();

  /** @param directory - the state directory, whose lock is held */
  constructor(directory: string) {
    this.#file = join(directory, 'alive');
    this.crashedNs = statSync(this.#file, { bigint: true, throwIfNoEntry: false })?.mtimeNs;
  }

  /**
   * From now on it speaks of this agent: only after the crash before it is told for certain.
   * @param toldUntil - before which everything is on disk or told; ns since the epoch, undefined: not known now
   */
  begin(toldUntil: () => Promise<bigint | undefined>): void {
    if (this.#ended) return;
    this.#touch(this.#beganMs);
    this.#timer = setInterval(() => void this.#moveOn(toldUntil), INTERVAL_MS).unref();
  }

  /**
   * Removes it if it speaks of this agent.
   * @param allIsTold - else the next agent tells the gap, as after a crash
   */
  end(allIsTold: boolean): void {
    this.#ended = true;
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (allIsTold) rmSync(this.#file, { force: true });
  }

  async #moveOn(toldUntil: () => Promise<bigint | undefined>): Promise<void> {
    if (this.#touching) return;
    this.#touching = true;
    const until = await toldUntil();
    this.#touching = false;
    if (until !== undefined && !this.#ended) this.#touch(Number(until / 1_000_000n));
  }

  /** A full disk must not end the agent: then the gap told after a crash begins too early. */
  #touch(ms: number): void {
    try {
      const time = new Date(ms);
      utimesSync(this.#file, time, time);
    } catch {
      try {
        writeFileSync(this.#file, `${process.pid}\n`, { mode: 0o600 });
      } catch {
        // Told by others that write there.
      }
    }
  }
}

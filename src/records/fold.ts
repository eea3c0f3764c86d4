/**
 * Folds equal occurrences: the first goes out at once, those that follow within the window as one more at its end. A
 * changed hash, owner or mode is never folded away. Memory is bounded by the number of different ones in a window; beyond it the oldest
 * window ends early, so nothing is lost.
 */
import { type Clock, oldestOf } from './clock.ts';
import { addKeys } from './kernel-event.ts';
import type { Folded, Occurrence } from './occurrence.ts';

export interface FoldOptions {
  readonly clock: Clock;
  readonly windowMs: () => number;
  readonly emit: (folded: Folded) => void;
}

export const MOST_WINDOWS = 20_000;

interface Window {
  readonly endsMs: number;
  /** Of what went out or waits last; undefined: no hash. */
  sha256: string | undefined;
  count: number;
  events: number;
  firstNs: bigint;
  last: Occurrence;
}

export class Fold {
  readonly #options: FoldOptions;
  readonly #windows = new Map<string, Window>();

  constructor(options: FoldOptions) {
    this.#options = options;
  }

  add(occurrence: Occurrence): void {
    const key = keyOf(occurrence);
    const window = this.#windows.get(key);
    if (window === undefined) {
      this.#open(key, occurrence);
      this.#emitOne(occurrence);
      return;
    }
    const { sha256 } = occurrence;
    if (sha256 !== undefined && sha256 !== window.sha256) {
      this.#emitRest(window);
      window.sha256 = sha256;
      this.#emitOne(occurrence);
      return;
    }
    if (window.count === 0) window.firstNs = occurrence.timeNs;
    window.count += 1;
    window.events += occurrence.events;
    window.last = occurrence;
  }

  tick(): void {
    const now = this.#options.clock.nowMs();
    // Windows are in order of their end unless their length was reconfigured; then some end late by the old length.
    for (const [key, window] of this.#windows) {
      if (window.endsMs > now) return;
      this.#windows.delete(key);
      this.#emitRest(window);
    }
  }

  /** Kernel events whose record waits for the end of a window. */
  get waiting(): number {
    let events = 0;
    for (const window of this.#windows.values()) events += window.events;
    return events;
  }

  addWaiting(keys: Set<string>): void {
    for (const { count, last } of this.#windows.values()) {
      if (count > 0) addKeys(keys, { ...last, ino: BigInt(last.inode ?? 0) });
    }
  }

  oldestWaitingNs(): bigint | undefined {
    const waiting = Array.from(this.#windows.values()).filter(({ count }) => count > 0);
    return oldestOf(waiting.map(({ firstNs }) => firstNs));
  }

  flush(): void {
    for (const window of this.#windows.values()) this.#emitRest(window);
    this.#windows.clear();
  }

  #open(key: string, occurrence: Occurrence): void {
    const [oldest] = this.#windows;
    if (this.#windows.size >= MOST_WINDOWS && oldest !== undefined) {
      this.#windows.delete(oldest[0]);
      this.#emitRest(oldest[1]);
    }
    this.#windows.set(key, {
      endsMs: this.#options.clock.nowMs() + this.#options.windowMs(),
      sha256: occurrence.sha256,
      count: 0,
      events: 0,
      firstNs: occurrence.timeNs,
      last: occurrence,
    });
  }

  #emitRest(window: Window): void {
    if (window.count === 0) return;
    const { last: occurrence, count, events, firstNs } = window;
    window.count = 0;
    window.events = 0;
    this.#options.emit({ occurrence, count, events, firstNs, lastNs: occurrence.timeNs });
  }

  #emitOne(occurrence: Occurrence): void {
    const { timeNs, events } = occurrence;
    this.#options.emit({ occurrence, count: 1, events, firstNs: timeNs, lastNs: timeNs });
  }
}

/** Contract section 5: same group, rule, workload, mode, reason, path, new path, app, user, operation, verdict. */
function keyOf(occurrence: Occurrence): string {
  const { rule, path, newPath, actor } = occurrence;
  return [
    occurrence.event,
    occurrence.workload,
    occurrence.actorWorkload,
    rule.group,
    rule.rule,
    occurrence.mode,
    occurrence.reason ?? '',
    occurrence.operation,
    occurrence.verdict,
    occurrence.effect,
    actor.exe ?? '',
    actor.uid ?? '',
    path.bytes?.toString('latin1') ?? path.text,
    newPath?.bytes?.toString('latin1') ?? newPath?.text ?? '',
  ].join('\0');
}

import { type FileStatus, hasFlag, type KernelEvent } from './kernel-event.ts';
import type { ProcessFiles } from './process-files.ts';

const MOST_ACCOMPLICES = 8;

/** All that was written to one file since it was last told. */
export class PendingWrite {
  readonly sinceMs: number;
  readonly firstNs: bigint;
  /** Kernel events that it is made of. */
  events = 0;
  lastMs: number;
  /** Looked whether its process still holds the file. */
  settled = false;
  /** Somebody closed it after writing. */
  closed = false;
  /** It was a truncate(2). */
  truncated = false;
  readonly #before: FileStatus | undefined;
  #last: KernelEvent;
  #strictest: KernelEvent;
  readonly #offenders = new Map<string, KernelEvent>();
  readonly #writers = new Set<number>();

  constructor(first: KernelEvent, nowMs: number) {
    this.sinceMs = nowMs;
    this.firstNs = first.timeNs;
    this.lastMs = nowMs;
    this.#before = first.before;
    this.#last = first;
    this.#strictest = first;
    this.add(first, nowMs);
  }

  get last(): KernelEvent {
    return this.#last;
  }

  add(event: KernelEvent, nowMs: number): void {
    this.events += 1;
    this.lastMs = nowMs;
    this.#last = event;
    this.#writers.add(event.actor.pid);
    if (strictness(event) >= strictness(this.#strictest)) this.#strictest = event;
    if (strictness(event) < 2 || this.#offenders.size >= MOST_ACCOMPLICES) return;
    this.#offenders.set(`${who(event)} ${event.reason}`, event);
  }

  /** Takes the file's state from a fact that isn't a write. */
  update(event: KernelEvent): void {
    this.events += 1;
    this.#last = event;
  }

  /**
   * Whether this close ends the write. A close by a process that didn't write ends a descriptor that writers shared;
   * other writers count only while they live.
   */
  close(event: KernelEvent, processes: ProcessFiles): boolean {
    this.events += 1;
    this.#last = event;
    this.closed = true;
    this.#writers.delete(event.actor.pid);
    for (const pid of this.#writers) {
      if (!processes.isAlive(pid)) this.#writers.delete(pid);
    }
    return this.#writers.size === 0;
  }

  result(): { fact: KernelEvent; before?: FileStatus; accomplices: KernelEvent[] } {
    const fact = this.#strictest;
    const { status, path, timeNs } = this.#last;
    const accomplices = [...this.#offenders.values()].filter((other) => who(other) !== who(fact));
    return {
      fact: { ...fact, timeNs, path, ...(status && { status }) },
      ...(this.#before && { before: this.#before }),
      accomplices,
    };
  }
}

function who({ actor, actorWorkload }: KernelEvent): string {
  return `${actorWorkload} ${actor.exe} ${actor.uid}`;
}

/** The strictest of several writers names the one record. */
function strictness(event: KernelEvent): number {
  if (event.outcome === 'violated') return 3;
  if (event.outcome !== 'modified') return 0;
  return hasFlag(event, 'listed') ? 1 : 2;
}

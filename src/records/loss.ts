/**
 * The ledger of what did not become a record or did not reach the collector. Losses of one stage, reason and tree that
 * follow each other are one gap; a gap is told once when it has ended, or every ten seconds while it lasts.
 */
import { hostWorkload } from '../native/event-layout.ts';
import type { EventBatch } from '../native/event-batch.ts';
import { type Clock, isoNanoseconds, oldestOf, timeSpan } from './clock.ts';
import { ATTRIBUTE, type LostStage } from './names.ts';
import type { Attributes } from './record.ts';

export interface Loss {
  /** `error.type`. */
  readonly reason: string;
  /** Where: kernel, ring, records, outbox, export, agent. */
  readonly stage: LostStage;
  /** Absent: nobody knows. */
  readonly count?: number;
  readonly fromNs?: bigint;
  readonly toNs?: bigint;
  /** The file tree it was about, where that is known. */
  readonly tree?: string;
  /** Whose tree; absent: the host's, or nobody's. */
  readonly workload?: number;
}

export interface Gap {
  readonly reason: string;
  readonly stage: LostStage;
  readonly count?: number;
  readonly fromNs: bigint;
  readonly toNs: bigint;
  readonly tree?: string;
  readonly workload?: number;
}

interface OpenGap {
  gap: Gap;
  readonly sinceMs: number;
  lastMs: number;
}

const QUIET_MS = 1000;
const LONGEST_GAP_MS = 10_000;
/** Trees beyond this number share one gap without a tree. */
const MOST_GAPS = 1000;

export class LossLedger {
  readonly #clock: Clock;
  readonly #emit: (gap: Gap) => void;
  readonly #gaps = new Map<string, OpenGap>();

  constructor(clock: Clock, emit: (gap: Gap) => void) {
    this.#clock = clock;
    this.#emit = emit;
  }

  add(loss: Loss): void {
    const now = this.#clock.nowMs();
    const nowNs = this.#clock.nowNs();
    const { reason, stage, workload } = loss;
    const tree = this.#gaps.size < MOST_GAPS ? loss.tree : undefined;
    const key = [stage, reason, tree ?? '', workload ?? ''].join('\0');
    const fromNs = loss.fromNs ?? loss.toNs ?? nowNs;
    const toNs = loss.toNs ?? loss.fromNs ?? nowNs;
    const open = this.#gaps.get(key);
    if (open === undefined) {
      const gap: Gap = {
        reason,
        stage,
        fromNs,
        toNs,
        ...(loss.count !== undefined && { count: loss.count }),
        ...(tree !== undefined && { tree }),
        ...(workload !== undefined && { workload }),
      };
      this.#gaps.set(key, { gap, sinceMs: now, lastMs: now });
      return;
    }
    const { count, ...rest } = open.gap;
    open.lastMs = now;
    open.gap = {
      ...rest,
      ...timeSpan([fromNs, toNs, rest.fromNs, rest.toNs]),
      // One unknown number makes the sum unknown.
      ...(count !== undefined && loss.count !== undefined && { count: count + loss.count }),
    };
  }

  tick(): void {
    const now = this.#clock.nowMs();
    for (const [key, { gap, sinceMs, lastMs }] of this.#gaps) {
      if (now - lastMs < QUIET_MS && now - sinceMs < LONGEST_GAP_MS) continue;
      this.#gaps.delete(key);
      this.#emit(gap);
    }
  }

  oldestWaitingNs(): bigint | undefined {
    return oldestOf(Array.from(this.#gaps.values(), ({ gap }) => gap.fromNs));
  }

  flush(): void {
    for (const { gap } of this.#gaps.values()) this.#emit(gap);
    this.#gaps.clear();
  }
}

/** What a record of kind `lost` says. */
export function lossOf(batch: EventBatch): Loss {
  const { timeNs, failureName, pathText, workload } = batch;
  const number = Number(batch.count);
  return {
    reason: failureName,
    stage: failureName === 'ring_full' ? 'ring' : 'kernel',
    fromNs: timeNs,
    // Of a gap this is how long it was.
    toNs: timeNs + batch.verdictDurationNs,
    ...(number > 0 && { count: number }),
    ...(pathText !== '' && { tree: pathText }),
    ...(workload !== hostWorkload && { workload }),
  };
}

export function gapSentence({ count, reason, tree }: Gap): string {
  const records =
    count === undefined
      ? 'An unknown number of records were'
      : count === 1
        ? '1 record was'
        : `${count} records were`;
  return `${records} lost: ${reason}${tree === undefined ? '' : ` below ${tree}`}`;
}

/** Without a count when nobody knows the number. */
export function gapAttributes({ reason, stage, count, fromNs, toNs, tree }: Gap): Attributes {
  return {
    [ATTRIBUTE.errorType]: reason,
    [ATTRIBUTE.lostStage]: stage,
    [ATTRIBUTE.firstSeen]: isoNanoseconds(fromNs),
    [ATTRIBUTE.lastSeen]: isoNanoseconds(toNs),
    ...(count !== undefined && { [ATTRIBUTE.count]: count }),
    ...(tree !== undefined && { [ATTRIBUTE.lostTree]: tree }),
  };
}

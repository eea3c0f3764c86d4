/**
 * The ledger: what came into each stage between the kernel and the collector, what became of it, what was dropped and
 * what still waits there. Every number is counted where it happens and waiting things are counted where they lie, so
 * the sums say something: a difference means that something was lost without a name, and is told as `unaccounted`.
 */
import type { SessionStats } from '../native/addon.ts';
import type { Loss } from './loss.ts';

type Counts = Readonly<Record<string, number>>;

/** Numbers since the start of the agent. */
export interface Stage {
  readonly stage: 'kernel' | 'ring' | 'records' | 'outbox';
  readonly in: Counts;
  /** What became of it, by kind. */
  readonly out: Counts;
  /** By `error.type`. */
  readonly dropped: Counts;
  readonly waiting: number;
  /** in - out - dropped - waiting. */
  readonly unaccounted: number;
  /** Gaps of which nobody knows the number, by `error.type`. */
  readonly gaps: Counts;
}

/** What became of the events that the pipeline took: each ends once, as one of these. */
export class EventAccount {
  /** By a record of their own. */
  told = 0;
  /** Together with another, by its record. */
  folded = 0;
  /** Nothing to tell, by the rules or because nothing changed. */
  quiet = 0;
  /** Were no event but the report of a gap. */
  lossReports = 0;
  readonly dropped: Record<string, number> = {};

  /** One record stands for so many events; 0: for what another record tells too. */
  tell(events: number): void {
    if (events === 0) return;
    this.told += 1;
    this.folded += events - 1;
  }

  drop(reason: string, events: number): void {
    this.dropped[reason] = (this.dropped[reason] ?? 0) + events;
  }
}

export interface LedgerSources {
  readonly session: SessionStats;
  readonly records: {
    readonly account: EventAccount;
    /** Events that wait for a pair, a close, a hash or the end of a window. */
    readonly waiting: number;
    /** Handed to the outbox. */
    readonly emitted: number;
    /** `stage` and `error.type` of the gaps without a number. */
    readonly unknownGaps: Readonly<Record<string, Counts>>;
  };
  /** Undefined when nothing is exported. */
  readonly outbox:
    | {
        readonly recovered: number;
        readonly exported: number;
        readonly waiting: number;
        readonly lost: Counts;
      }
    | undefined;
}

/** Read from the kernel and not drained. */
export function eventsInCore(stats: SessionStats): number {
  return eventsUnhandled(stats) + stats.ring.published - stats.ring.drained;
}

/** Read by one thread while others count; what is between them is not counted anywhere else. */
function eventsUnhandled({ notification, failures }: SessionStats): number {
  const overrun = Number(failures['coverage_queue_full'] ?? 0n);
  return Math.max(0, notification.read - notification.handled - overrun);
}

/** The stages in the order in which an event passes them. */
export function stagesOf({ session, records, outbox }: LedgerSources): Stage[] {
  const gaps = (stage: Stage['stage']) => ({ gaps: records.unknownGaps[stage] ?? {} });
  const { verdicts, notification, ring, failures, guardian } = session;
  const judged = sum(Object.values(verdicts).flatMap(({ counts }) => counts.map(Number)));
  const { allowed = 0n, denied = 0n } = guardian?.answered ?? {};
  const unjudged = Number(allowed + denied);
  const overrun = Number(failures['coverage_queue_full'] ?? 0n);
  const { told, folded, quiet, lossReports, dropped } = records.account;
  const stages = [
    balanced({
      stage: 'kernel',
      in: { permission: judged + unjudged, notification: notification.read },
      out: { judged, looked_into: notification.handled },
      dropped: { coverage_queue_full: overrun, deadline: unjudged },
      waiting: eventsUnhandled(session),
      ...gaps('kernel'),
    }),
    balanced({
      stage: 'ring',
      in: { offered: ring.published + ring.dropped },
      out: { drained: ring.drained },
      dropped: { ring_full: ring.dropped },
      waiting: ring.published - ring.drained,
      ...gaps('ring'),
    }),
    balanced({
      stage: 'records',
      in: { drained: ring.drained },
      out: { told, folded, quiet, loss_reports: lossReports },
      dropped,
      waiting: records.waiting,
      ...gaps('records'),
    }),
  ];
  if (outbox === undefined) return stages;
  const { recovered, exported, waiting, lost } = outbox;
  const taken = { emitted: records.emitted, recovered };
  const left = { in: taken, out: { exported }, dropped: lost, waiting };
  return [...stages, balanced({ stage: 'outbox', ...left, ...gaps('outbox') })];
}

function balanced(stage: Omit<Stage, 'unaccounted'>): Stage {
  const left = sum(Object.values(stage.in)) - sum(Object.values(stage.out));
  return { ...stage, unaccounted: left - sum(Object.values(stage.dropped)) - stage.waiting };
}

export interface LedgerOptions {
  readonly stages: () => readonly Stage[];
  /** A stage whose sum is not right: told once, and again when it grows. */
  readonly onUnaccounted: (stage: Stage, loss: Loss) => void;
}

export class Ledger {
  readonly #options: LedgerOptions;
  readonly #told = new Map<string, number>();

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /** To be called every ten seconds or so. */
  check(): void {
    for (const stage of this.#options.stages()) {
      const grown = Math.abs(stage.unaccounted) - (this.#told.get(stage.stage) ?? 0);
      if (grown <= 0) continue;
      this.#told.set(stage.stage, Math.abs(stage.unaccounted));
      this.#options.onUnaccounted(stage, {
        reason: 'unaccounted',
        stage: stage.stage,
        // More came out than went in: then nobody knows whether something is missing, too.
        ...(stage.unaccounted > 0 && { count: grown }),
      });
    }
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

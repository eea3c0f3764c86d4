/**
 * Holds a rule to its `max_records` in each workload: what is beyond it becomes one record for the rest of each kind, with
 * its count.
 */
import type { RuleInfo } from '../policy/compile.ts';
import { type Clock, oldestOf } from './clock.ts';
import type { Folded, Rest } from './occurrence.ts';

export interface RecordLimitOptions {
  readonly clock: Clock;
  readonly pass: (folded: Folded) => void;
  readonly emitRest: (rest: Rest) => void;
}

interface Budget {
  readonly endsMs: number;
  left: number;
  readonly rest: Map<string, Rest>;
}

export class RecordLimit {
  readonly #options: RecordLimitOptions;
  readonly #budgets = new Map<string, Budget>();

  constructor(options: RecordLimitOptions) {
    this.#options = options;
  }

  add(folded: Folded): void {
    const { rule, workload } = folded.occurrence;
    const budget = rule.maxRecords && this.#budgetOf(rule, workload, rule.maxRecords);
    if (budget === undefined || budget.left > 0) {
      if (budget !== undefined) budget.left -= 1;
      this.#options.pass(folded);
      return;
    }
    const { event, severity, mode, verdict } = folded.occurrence;
    const kind = `${event} ${severity} ${mode}`;
    const rest = budget.rest.get(kind);
    budget.rest.set(kind, {
      event,
      severity,
      workload,
      rule,
      mode,
      verdict,
      count: (rest?.count ?? 0) + folded.count,
      events: (rest?.events ?? 0) + folded.events,
      firstNs: rest?.firstNs ?? folded.firstNs,
      lastNs: folded.lastNs,
    });
  }

  tick(): void {
    const now = this.#options.clock.nowMs();
    for (const [key, budget] of this.#budgets) {
      if (budget.endsMs <= now) this.#end(key, budget);
    }
  }

  /** Kernel events that the record for the rest will tell. */
  get waiting(): number {
    let events = 0;
    for (const { rest } of this.#budgets.values()) {
      for (const each of rest.values()) events += each.events;
    }
    return events;
  }

  oldestWaitingNs(): bigint | undefined {
    const rests = Array.from(this.#budgets.values(), ({ rest }) => [...rest.values()]).flat();
    return oldestOf(rests.map(({ firstNs }) => firstNs));
  }

  flush(): void {
    for (const [key, budget] of this.#budgets) this.#end(key, budget);
  }

  #budgetOf(rule: RuleInfo, workload: number, limit: { count: number; windowMs: number }): Budget {
    const key = `${workload} ${rule.group}/${rule.rule}`;
    const now = this.#options.clock.nowMs();
    const budget = this.#budgets.get(key);
    if (budget !== undefined && budget.endsMs > now) return budget;
    if (budget !== undefined) this.#end(key, budget);
    const fresh = { endsMs: now + limit.windowMs, left: limit.count, rest: new Map() };
    this.#budgets.set(key, fresh);
    return fresh;
  }

  #end(key: string, budget: Budget): void {
    this.#budgets.delete(key);
    for (const rest of budget.rest.values()) this.#options.emitRest(rest);
  }
}

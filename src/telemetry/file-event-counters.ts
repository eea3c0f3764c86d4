import type { HrTime } from '@opentelemetry/api';
import { hrTime } from '@opentelemetry/core';
import type { SessionStats } from '../native/addon.ts';
import type { CompiledPolicy, RuleInfo } from '../policy/compile.ts';
import type { Operation } from '../policy/ruleset.ts';
import { ATTRIBUTE } from '../records/names.ts';
import type { CountedEvent } from '../records/counters.ts';
import type { Point } from './metric-data.ts';

/** As many as the native core counts for, whether anybody asks for metrics or not. */
const KEPT_VERSIONS = 20;

interface Series extends Point {
  readonly startTime: HrTime;
  value: number;
}

/** `fileward.file.events`: a series for all that each rule of the policy in force can produce. */
export class FileEventCounters {
  readonly #perRule: boolean;
  readonly #series = new Map<string, Series>();
  /** By ruleset version: the native core counts by index, and says of which version. */
  readonly #rules = new Map<bigint, readonly RuleInfo[]>();
  /** What the native core had counted when it was last read, by version, rule and operation. */
  #seen = new Map<string, bigint>();
  #scopes: ReadonlySet<string> = new Set();

  constructor(perRule: boolean) {
    this.#perRule = perRule;
  }

  /** Counts of rules that stay go on; those of rules that are gone are told no more. */
  usePolicy(version: bigint, policy: CompiledPolicy): void {
    this.#rules.set(version, policy.rules);
    const oldest = this.#rules.keys().next();
    if (this.#rules.size > KEPT_VERSIONS && !oldest.done) this.#rules.delete(oldest.value);
    this.#scopes = new Set(policy.rules.map((rule) => this.#scopeOf(rule)));
    for (const key of this.#series.keys()) {
      if (!this.#scopes.has(key.slice(0, key.lastIndexOf('\n')))) this.#series.delete(key);
    }
    for (const rule of policy.rules) {
      for (const [event, operation] of possibleEvents(rule)) this.#of(rule, event, operation);
    }
  }

  add(rule: RuleInfo, event: CountedEvent, operation: Operation, by = 1): void {
    this.#of(rule, event, operation).value += by;
  }

  /** Takes over what the native core answered in quiet since it was last asked. */
  readNative({ quiet }: Pick<SessionStats, 'quiet'>): void {
    const seen = new Map<string, bigint>();
    for (const { ruleset_version, count } of quiet) {
      for (const rule of this.#rules.get(ruleset_version) ?? []) {
        for (const operation of rule.operations) {
          const now = count(rule.index, operation);
          const key = `${ruleset_version} ${rule.index} ${operation}`;
          seen.set(key, now);
          const fresh = now - (this.#seen.get(key) ?? 0n);
          if (fresh > 0n && this.#scopes.has(this.#scopeOf(rule))) {
            this.add(rule, 'quiet', operation, Number(fresh));
          }
        }
      }
    }
    this.#seen = seen;
    const oldest = quiet[0]?.ruleset_version;
    for (const version of this.#rules.keys()) {
      if (oldest !== undefined && version < oldest) this.#rules.delete(version);
    }
  }

  all(): Iterable<Point> {
    return this.#series.values();
  }

  #of(rule: RuleInfo, event: CountedEvent, operation: Operation): Series {
    const key = `${this.#scopeOf(rule)}\n${rule.mode} ${event} ${operation}`;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = {
        labels: {
          [ATTRIBUTE.event]: event,
          [ATTRIBUTE.mode]: rule.mode,
          [ATTRIBUTE.group]: rule.group,
          ...(this.#perRule && { [ATTRIBUTE.rule]: rule.rule }),
          [ATTRIBUTE.operation]: operation,
        },
        startTime: hrTime(),
        value: 0,
      };
      this.#series.set(key, series);
    }
    return series;
  }

  #scopeOf(rule: RuleInfo): string {
    return this.#perRule ? `${rule.group}/${rule.rule}` : rule.group;
  }
}

/** By the mode table of contract section 2. */
function possibleEvents(rule: RuleInfo): [CountedEvent, Operation][] {
  const events: [CountedEvent, Operation][] = [];
  for (const operation of rule.operations) {
    events.push(['quiet', operation]);
    if (operation === 'write') events.push(['modified', operation]);
    else if (rule.behavior === 'watch') events.push(['accessed', operation]);
    if (rule.behavior === 'watch' || rule.mode === 'discover') continue;
    if (rule.mode === 'protect') events.push(['denied', operation]);
    // In protect only a change that has no gate.
    if (rule.mode === 'monitor' || operation === 'write') events.push(['violated', operation]);
  }
  return events;
}

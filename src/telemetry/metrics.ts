/**
 * The metrics of contract section 5. Not SDK instruments but a `MetricProducer` of the SDK's reader: instruments can't
 * take ready-made histograms from the native core, keep the attributes of a gauge for ever once seen (an old policy
 * version would stay at 1), and fold what is beyond a fixed cardinality limit. Here a metric has exactly the attribute
 * sets that the policy in force gives it, at 0 from the start.
 */
import type { HrTime } from '@opentelemetry/api';
import { hrTime, type InstrumentationScope } from '@opentelemetry/core';
import { emptyResource } from '@opentelemetry/resources';
import type { CollectionResult, MetricData, MetricProducer } from '@opentelemetry/sdk-metrics';
import type { HistogramSnapshot, SessionStats } from '../native/addon.ts';
import type { CompiledPolicy, RuleInfo } from '../policy/compile.ts';
import type { CompiledGroup, Operation } from '../policy/ruleset.ts';
import { ATTRIBUTE, LOST_REASONS, METRIC } from '../records/names.ts';
import type { CountedEvent, RecordCounters } from '../records/counters.ts';
import { FileEventCounters } from './file-event-counters.ts';
import {
  gaugeData,
  histogramData,
  type Labels,
  type Point,
  type Span,
  sumData,
} from './metric-data.ts';
import type { OutboxStats } from './outbox.ts';

/** What is not covered; without a rule, of the whole group. */
export interface CoverageGap {
  readonly group: string;
  readonly rule?: string;
  readonly error_type: string;
}

export interface MetricsOptions {
  readonly scope: InstrumentationScope;
  readonly perRule: boolean;
  readonly outbox: () => Pick<OutboxStats, 'exported' | 'waiting' | 'waitingBytes' | 'limitBytes'>;
}

/** Until the native core tells its own, of verdicts and of the canary. Seconds; contract section 5. */
const VERDICT_BOUNDS = [
  5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25,
];
const NO_VERDICTS: HistogramSnapshot = {
  bounds_seconds: VERDICT_BOUNDS,
  counts: Array.from({ length: VERDICT_BOUNDS.length + 1 }, () => 0n),
  sum_seconds: 0,
};

export class FilewardMetrics implements RecordCounters, MetricProducer {
  readonly #options: MetricsOptions;
  #perRule: boolean;
  #fileEvents: FileEventCounters;
  readonly #lost = new Map<string, number>(LOST_REASONS.map((reason) => [reason, 0]));
  readonly #learned = new Map<string, number>();
  readonly #reloads = { loaded: 0, rejected: 0 };
  readonly #gapTypes = new Set<string>();
  readonly #startTime: HrTime = hrTime();
  #sessionStats: (() => SessionStats) | undefined;
  #policy: CompiledPolicy | undefined;
  #builtIn: string | undefined;
  #policyHash = '';
  #coverageGaps: readonly CoverageGap[] = [];
  #members: ReadonlyMap<string, number> = new Map();
  #enforcing = true;

  constructor(options: MetricsOptions) {
    this.#options = options;
    this.#perRule = options.perRule;
    this.#fileEvents = new FileEventCounters(options.perRule);
  }

  /** Other attributes are other series: when it changes, counting of file events begins anew with the next policy. */
  set perRule(perRule: boolean) {
    if (perRule === this.#perRule) return;
    this.#perRule = perRule;
    this.#fileEvents = new FileEventCounters(perRule);
  }

  fileEvent(rule: RuleInfo, event: CountedEvent, operation: Operation): void {
    this.#fileEvents.add(rule, event, operation);
  }

  lost(reason: string, count: number): void {
    this.#lost.set(reason, (this.#lost.get(reason) ?? 0) + count);
  }

  learnedPairs(group: string, count: number): void {
    this.#learned.set(group, count);
  }

  /** Where verdicts and quiet answers are counted, as long as there is a session. */
  useSession(stats: (() => SessionStats) | undefined): void {
    this.#sessionStats = stats;
  }

  /**
   * The policy in force from now on, and its ruleset version.
   * @param builtIn - a group that nobody wrote: its events count, it itself doesn't
   */
  usePolicy(version: bigint, policy: CompiledPolicy, hash: string, builtIn?: string): void {
    this.#policy = policy;
    this.#builtIn = builtIn;
    this.#policyHash = hash;
    this.#fileEvents.usePolicy(version, policy);
  }

  /** @param members - workloads by group, the host among them */
  useCoverage(gaps: readonly CoverageGap[], members: ReadonlyMap<string, number>): void {
    this.#coverageGaps = gaps;
    this.#members = members;
  }

  policyReload(outcome: 'loaded' | 'rejected'): void {
    this.#reloads[outcome] += 1;
  }

  /** False while the agent doesn't decide, whatever the policy says. */
  setEnforcing(enforcing: boolean): void {
    this.#enforcing = enforcing;
  }

  async collect(): Promise<CollectionResult> {
    const stats = this.#sessionStats?.();
    if (stats) this.#fileEvents.readNative(stats);
    const span = { startTime: this.#startTime, endTime: hrTime() };
    const metrics = [
      sumData(METRIC.fileEvents, 'counter', this.#fileEvents.all(), span),
      ...this.#recordData(span),
      ...this.#policyData(span),
      ...nativeData(stats, span),
    ];
    return {
      resourceMetrics: {
        resource: emptyResource(),
        scopeMetrics: [
          {
            scope: this.#options.scope,
            metrics: metrics.filter(({ dataPoints }) => dataPoints.length > 0),
          },
        ],
      },
      errors: [],
    };
  }

  #recordData(span: Span): MetricData[] {
    const { exported, waiting, waitingBytes, limitBytes } = this.#options.outbox();
    const lost = Array.from(this.#lost, ([reason, value]) => ({
      value,
      labels: { [ATTRIBUTE.errorType]: reason },
    }));
    return [
      sumData(METRIC.recordLost, 'counter', lost, span),
      sumData(METRIC.recordExported, 'counter', one(exported), span),
      sumData(METRIC.outboxRecordCount, 'updowncounter', one(waiting), span),
      sumData(METRIC.outboxSize, 'updowncounter', one(waitingBytes), span),
      sumData(METRIC.outboxLimit, 'updowncounter', one(limitBytes), span),
    ];
  }

  #policyData(span: Span): MetricData[] {
    const rules = this.#policy?.rules.filter(({ group }) => group !== this.#builtIn) ?? [];
    const groups = this.#policy?.ruleset.groups.filter(({ name }) => name !== this.#builtIn) ?? [];
    const enforcing = new Set(
      rules.filter(({ behavior, mode }) => behavior === 'block' && mode === 'protect').map(groupOf),
    );
    const byGroup = (value: (group: CompiledGroup) => number): Point[] =>
      groups.map((group) => ({ value: value(group), labels: { [ATTRIBUTE.group]: group.name } }));
    const members = byGroup(({ name }) => this.#members.get(name) ?? 0);
    const active = byGroup(({ name }) => Number(this.#enforcing && enforcing.has(name)));
    const learned = byGroup(({ name }) => this.#learned.get(name) ?? 0);
    const reloads = Object.entries(this.#reloads).map(([outcome, value]) => ({
      value,
      labels: { [ATTRIBUTE.policyOutcome]: outcome },
    }));
    return [
      sumData(METRIC.ruleCount, 'updowncounter', ruleCounts(rules), span),
      sumData(METRIC.workloadCount, 'updowncounter', members, span),
      gaugeData(METRIC.enforcementActive, active, span),
      gaugeData(METRIC.coverageGaps, this.#gaps(), span),
      sumData(METRIC.learnedPairCount, 'updowncounter', learned, span),
      gaugeData(METRIC.policyInfo, this.#policyInfo(), span),
      sumData(METRIC.policyReloads, 'counter', reloads, span),
    ];
  }

  #policyInfo(): Point[] {
    if (this.#policy === undefined) return [];
    const version = this.#policy.rules[0]?.policyVersion;
    const labels = {
      ...(version !== undefined && { [ATTRIBUTE.policyVersion]: version }),
      [ATTRIBUTE.policyHash]: this.#policyHash,
    };
    return [{ value: 1, labels }];
  }

  /** Zero for every kind of gap that there ever was, so that its end is seen. */
  #gaps(): Point[] {
    const rules = new Map<string, Set<string>>();
    for (const { group, rule, error_type: type } of this.#coverageGaps) {
      this.#gapTypes.add(type);
      const key = `${group} ${type}`;
      const affected = rules.get(key) ?? new Set();
      rules.set(key, affected);
      for (const each of this.#policy?.rules ?? []) {
        if (each.group === group && each.rule === (rule ?? each.rule)) affected.add(each.rule);
      }
    }
    return (this.#policy?.ruleset.groups ?? []).flatMap(({ name }) =>
      Array.from(this.#gapTypes, (type) => ({
        value: rules.get(`${name} ${type}`)?.size ?? 0,
        labels: { [ATTRIBUTE.group]: name, [ATTRIBUTE.errorType]: type },
      })),
    );
  }
}

function nativeData(stats: SessionStats | undefined, span: Span): MetricData[] {
  const { permission = 0, notification = 0 } = stats?.marks ?? {};
  const marks = Object.entries({ permission, notification }).map(([kind, value]) => ({
    value,
    labels: { [ATTRIBUTE.markKind]: kind },
  }));
  const { allow = NO_VERDICTS, deny = NO_VERDICTS } = stats?.verdicts ?? {};
  const { canary = NO_VERDICTS } = stats?.guardian ?? {};
  const verdicts = Object.entries({ allow, deny }).map(([verdict, value]) => ({
    value,
    labels: { [ATTRIBUTE.verdict]: verdict },
  }));
  return [
    sumData(METRIC.markCount, 'updowncounter', marks, span),
    histogramData(METRIC.verdictDuration, verdicts, span),
    histogramData(METRIC.canaryDuration, [{ value: canary, labels: {} }], span),
  ];
}

function one(value: number): Point[] {
  return [{ value, labels: {} }];
}

function groupOf({ group }: RuleInfo): string {
  return group;
}

function ruleCounts(rules: readonly RuleInfo[]): Iterable<Point> {
  const counts = new Map<string, { value: number; readonly labels: Labels }>();
  for (const { group, behavior } of rules) {
    const key = `${group} ${behavior}`;
    const labels = { [ATTRIBUTE.group]: group, [ATTRIBUTE.behavior]: behavior };
    counts.set(key, { labels, value: (counts.get(key)?.value ?? 0) + 1 });
  }
  return counts.values();
}

/** Puts together what `fileward status` shows. */
import type { Stage } from '../records/ledger.ts';
import type {
  CoverageReport,
  GuardianStats,
  HistogramSnapshot,
  RuleCoverage,
  SessionStats,
} from '../native/addon.ts';
import { BUILT_IN_GROUP } from '../policy/built-in.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import type { Operation } from '../policy/ruleset.ts';
import type { LimitReason, ModeLimits } from './mode-limits.ts';
import type {
  Gap,
  GroupStatus,
  GuardianStatus,
  LatencyStatus,
  RuleStatus,
  StatusResult,
} from './protocol.ts';

export interface StatusSource {
  readonly identity: Pick<StatusResult, 'pid' | 'version' | 'started' | 'config' | 'state'>;
  readonly policy: CompiledPolicy;
  readonly policyFacts: StatusResult['policy'];
  readonly report: CoverageReport;
  readonly stats: SessionStats;
  readonly guardian: GuardianStats;
  readonly limits: ModeLimits;
  readonly gaps: readonly Gap[];
  readonly workloads: StatusResult['workloads'];
  /** Whatever else keeps the agent from being wholly itself. */
  readonly troubles: readonly string[];
  readonly records: Readonly<Record<string, number>>;
  readonly exported: StatusResult['export'];
  readonly ledger: readonly Stage[];
  readonly refusedClients: number;
}

export function statusOf(source: StatusSource): StatusResult {
  const { policy, report, stats, limits, gaps } = source;
  const degraded = [
    ...source.troubles,
    ...gaps.map((gap) => `${gapPlace(gap)}: ${gap.error_type}: ${gap.detail}`),
  ];
  const rules = ruleStatuses(policy, report, stats);
  return {
    ready: degraded.length === 0,
    degraded,
    ...source.identity,
    policy: source.policyFacts,
    break_glass: limits.breakGlass,
    pauses: limits.pauses,
    unconfirmed: limits.unconfirmed,
    workloads: source.workloads,
    groups: groupStatuses(policy, limits).filter(({ name }) => name !== BUILT_IN_GROUP),
    rules: rules.filter(({ group }) => group !== BUILT_IN_GROUP),
    built_in: rules.filter(({ group }) => group === BUILT_IN_GROUP),
    marks: stats.marks,
    moved: report.moved.map(({ path, protected_path }) => ({ path, protected_path })),
    records: source.records,
    losses: Object.fromEntries(
      Object.entries(stats.failures).map(([name, n]) => [name, Number(n)]),
    ),
    verdicts: { allow: latency(stats.verdicts.allow), deny: latency(stats.verdicts.deny) },
    guardian: guardianStatus(source.guardian),
    gaps,
    export: source.exported,
    ledger: source.ledger,
    refused_clients: source.refusedClients,
  };
}

/** `GROUP/RULE in CONTAINER` */
function gapPlace({ group, rule, workload }: Gap): string {
  const place = rule === undefined ? group : `${group}/${rule}`;
  return workload === undefined ? place : `${place} in ${workload}`;
}

/** The mode of a group is that of its strictest rule, what a person means by "the group protects". */
function groupStatuses(policy: CompiledPolicy, limits: ModeLimits): GroupStatus[] {
  return policy.ruleset.groups.map((group, index) => {
    const rules = policy.rules.filter((rule) => rule.groupIndex === index);
    const protectsBy = (mode: 'mode' | 'configuredMode') =>
      rules.find((rule) => rule[mode] === 'protect')?.[mode] ?? rules[0]?.[mode] ?? 'monitor';
    const limited = rules.find((rule) => rule.mode !== rule.configuredMode);
    const why: LimitReason = limited ? limits.reasonFor(limited.group, limited.rule) : '';
    return {
      name: group.name,
      mode: protectsBy('configuredMode'),
      effective_mode: protectsBy('mode'),
      why,
      rules: rules.length,
    };
  });
}

function ruleStatuses(
  policy: CompiledPolicy,
  report: CoverageReport,
  stats: SessionStats,
): RuleStatus[] {
  const ofHost = new Map(report.rules.map((rule) => [rule.rule_index, rule]));
  const all = [...report.rules, ...report.workloads.flatMap(({ rules }) => rules)];
  const sums = (count: (rule: RuleCoverage) => number) => {
    const byRule = new Map<number, number>();
    for (const rule of all) {
      byRule.set(rule.rule_index, (byRule.get(rule.rule_index) ?? 0) + count(rule));
    }
    return byRule;
  };
  const [files, directories] = [sums((rule) => rule.files), sums((rule) => rule.directories)];
  const inForce = stats.quiet.find((counts) => counts.ruleset_version === report.ruleset_version);
  const quiet = (rule: number, operation: Operation) =>
    Number(inForce?.count(rule, operation) ?? 0n);
  return policy.rules.map((rule) => ({
    group: rule.group,
    rule: rule.rule,
    behavior: rule.behavior,
    mode: rule.mode,
    files: files.get(rule.index) ?? 0,
    directories: directories.get(rule.index) ?? 0,
    absent: ofHost.get(rule.index)?.absent ?? [],
    quiet: {
      read: quiet(rule.index, 'read'),
      write: quiet(rule.index, 'write'),
      exec: quiet(rule.index, 'exec'),
    },
  }));
}

function guardianStatus(guardian: GuardianStats): GuardianStatus {
  const { pid, restarts, own_cgroup, standing_in, deny_table, canary } = guardian;
  const { allowed, denied } = guardian.answered;
  return {
    pid,
    restarts,
    own_cgroup,
    standing_in,
    answered: { allowed: Number(allowed), denied: Number(denied) },
    deny_table,
    canary: { ...latency(canary), misses: Number(canary.misses) },
  };
}

/** Percentiles as the upper bound of their bucket. */
export function latency(histogram: HistogramSnapshot): LatencyStatus {
  const total = histogram.counts.reduce((sum, n) => sum + n, 0n);
  const bound = (share: bigint): number | null => {
    let seen = 0n;
    for (const [i, n] of histogram.counts.entries()) {
      seen += n;
      if (seen * 100n >= total * share) {
        const seconds = histogram.bounds_seconds[i];
        return seconds === undefined ? null : Math.round(seconds * 1e6);
      }
    }
    return 0;
  };
  return {
    count: Number(total),
    p50_us: total === 0n ? 0 : bound(50n),
    p99_us: total === 0n ? 0 : bound(99n),
  };
}

/** Runs policy tests against the evaluator that decides at run time. */
import type { EvaluationAnswer, Evaluator } from '../native/addon.ts';
import type { CompiledPolicy, RuleInfo } from './compile.ts';
import type { Configuration, Position } from './document.ts';
import { evaluationQuery, type Origin } from './explain.ts';
import { host, isMember, type Workload } from './members.ts';
import type { Operation } from './ruleset.ts';

export type ExpectedEvent =
  | 'accessed'
  | 'modified'
  | 'violated'
  | 'denied'
  | 'learned'
  | 'quiet'
  | 'none';

export interface PolicyTest {
  readonly name: string;
  readonly group?: string;
  /** What it doesn't say fits. Absent: the host, or whatever `group` holds. */
  readonly workload?: Workload;
  readonly path: string;
  readonly app: string;
  readonly script?: string;
  readonly operation: Operation;
  readonly user?: string;
  readonly ancestors?: readonly string[];
  readonly unit?: string;
  readonly sha256?: string;
  readonly origin?: Origin;
  readonly expect: {
    readonly verdict?: 'allow' | 'deny';
    readonly rule?: string;
    readonly event?: ExpectedEvent;
    readonly reason?: string;
  };
  readonly position: Position;
}

export interface PolicyTestResult {
  readonly test: PolicyTest;
  readonly passed: boolean;
  /** Empty when it passed; else each expectation that does not hold, in words. */
  readonly failures: readonly string[];
  readonly verdict: 'allow' | 'deny';
  readonly event: ExpectedEvent;
  readonly reason: string;
  /** The rule that decided. */
  readonly rule?: RuleInfo;
}

export function runPolicyTests(
  tests: readonly PolicyTest[],
  configuration: Configuration,
  policy: CompiledPolicy,
  evaluator: Evaluator,
): PolicyTestResult[] {
  return tests.map((test) => {
    const groups = groupsOf(test, configuration);
    if (typeof groups === 'string') {
      return {
        test,
        passed: false,
        failures: [groups],
        verdict: 'allow',
        event: 'none',
        reason: '',
      };
    }
    const answer = evaluator.evaluate(evaluationQuery(test, test.operation, groups, policy.users));
    return resultOf(test, answer, policy.rules[answer.rule_index]);
  });
}

/** Indexes of the groups that judge, or why there are none. */
function groupsOf(test: PolicyTest, configuration: Configuration): number[] | string {
  const { groups } = configuration.document;
  const workload = test.workload ?? (test.group === undefined ? host : undefined);
  const indexes = [...groups.keys()].filter((index) => {
    const group = groups[index];
    if (group === undefined) return false;
    const wanted = test.group === undefined || group.name === test.group;
    return wanted && (workload === undefined || isMember(group.members, workload, true));
  });
  if (test.group === undefined || indexes.length > 0) return indexes;
  return groups.some((group) => group.name === test.group)
    ? `the workload is no member of group '${test.group}'`
    : `there is no group '${test.group}'`;
}

function resultOf(
  test: PolicyTest,
  answer: EvaluationAnswer,
  rule: RuleInfo | undefined,
): PolicyTestResult {
  const { expect } = test;
  const event = answer.outcome === 'not_covered' ? 'none' : answer.outcome;
  const failures: string[] = [];
  const compare = (what: string, wanted: string | undefined, found: string) => {
    if (wanted !== undefined && wanted !== found) {
      failures.push(`expected ${what} ${wanted}, got ${found === '' ? 'none' : found}`);
    }
  };
  compare('verdict', expect.verdict, answer.verdict);
  compare('rule', expect.rule, ruleName(expect.rule, rule));
  if (!isReportedChange(test, answer, rule)) compare('event', expect.event, event);
  compare('reason', expect.reason, answer.reason);
  return {
    test,
    passed: failures.length === 0,
    failures,
    verdict: answer.verdict,
    event,
    reason: answer.reason,
    ...(rule && { rule }),
  };
}

/** `shadow` or, told exactly, `host/shadow`. */
function ruleName(expected: string | undefined, rule: RuleInfo | undefined): string {
  if (rule === undefined) return '';
  return expected?.includes('/') ? `${rule.group}/${rule.rule}` : rule.rule;
}

/** A listed app's open for write is quiet, and the change that follows is told: both are right to expect. */
function isReportedChange(
  { operation, expect }: PolicyTest,
  answer: EvaluationAnswer,
  rule: RuleInfo | undefined,
): boolean {
  const reports = operation === 'write' && answer.listed && rule?.source.changes === 'report';
  return reports === true && expect.event === 'modified' && answer.outcome === 'quiet';
}

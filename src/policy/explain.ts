/**
 * Which rule decides, what it says and why, and the smallest change that would allow it; asked of the evaluator that
 * decides at run time.
 */
import type { EvaluationAnswer, EvaluationQuery, Evaluator } from '../native/addon.ts';
import { BUILT_IN_GROUP } from './built-in.ts';
import type { CompiledPolicy, RuleInfo } from './compile.ts';
import type { AppEntry, Configuration, Position } from './document.ts';
import type { Operation } from './ruleset.ts';
import { appEntryYaml, overrideYaml } from './snippet.ts';
import type { UserTable } from './users.ts';

export interface ExplainQuery {
  readonly path: string;
  /** Other names by which the same file is covered. */
  readonly otherPaths?: readonly string[];
  /** Absent: each of the three. */
  readonly operation?: Operation;
  /** Absent: somebody whom no entry lists. */
  readonly app?: string;
  readonly script?: string;
  /** Name or number. */
  readonly user?: string;
  /** Absent: the groups that hold the workload. */
  readonly group?: string;
  /** The groups that hold the workload; absent: the host's. */
  readonly groups?: readonly string[];
  readonly unit?: string;
  readonly sha256?: string;
  /** Nearest first; absent: none that counts. */
  readonly ancestors?: readonly string[] | 'unknown';
  /** `change`: one that has no gate (rename, delete, attributes). */
  readonly gate?: 'open' | 'change';
  /** Where the process comes from, as records say it; absent: `same`. */
  readonly origin?: Origin;
}

/** `fileward.process.origin` */
export type Origin = 'same' | 'host' | 'container';

export interface CoveringRule {
  readonly rule: RuleInfo;
  readonly decides: boolean;
  readonly note: string;
}

export interface Change {
  /** Where it belongs. */
  readonly position: Position;
  /** For people: into which list, or that it is an override. */
  readonly place: string;
  readonly yaml: string;
}

export interface Explanation {
  readonly path: string;
  readonly operation: Operation;
  readonly outcome: EvaluationAnswer['outcome'];
  readonly verdict: 'allow' | 'deny';
  readonly reason: string;
  /** The rule that decides. */
  readonly rule?: RuleInfo;
  /** The entry that lists the app. */
  readonly app?: AppEntry;
  /** One sentence. */
  readonly why: string;
  /** Every rule that covers the path, in order. */
  readonly covering: readonly CoveringRule[];
  /** Absent when nothing forbids it. */
  readonly change?: Change;
}

const allOperations: readonly Operation[] = ['read', 'write', 'exec'];

/** One explanation for each operation asked for. @throws RangeError when there is no such group. */
export function explain(
  policy: CompiledPolicy,
  configuration: Configuration,
  evaluator: Evaluator,
  query: ExplainQuery,
): Explanation[] {
  const names = query.group === undefined ? query.groups : [query.group];
  const groups = names?.map((name) => groupIndex(policy, name));
  const operations = query.operation === undefined ? allOperations : [query.operation];
  return operations.map((operation) => {
    const answer = evaluator.evaluate(evaluationQuery(query, operation, groups, policy.users));
    return explanationOf(answer, operation, { policy, configuration, query });
  });
}

function groupIndex(policy: CompiledPolicy, name: string): number {
  const index = policy.ruleset.groups.findIndex((group) => group.name === name);
  if (index !== -1) return index;
  if (name === BUILT_IN_GROUP) {
    throw new RangeError(`group '${name}' guards fileward itself, whatever the configuration says`);
  }
  const known = policy.ruleset.groups.map((group) => group.name).join(', ');
  throw new RangeError(`no group '${name}'; there is ${known}`);
}

/** The evaluator's question; `groups` are indexes, absent: those that hold the host. */
export function evaluationQuery(
  query: ExplainQuery,
  operation: Operation,
  groups: readonly number[] | undefined,
  users: UserTable,
): EvaluationQuery {
  const { user, unit, sha256, gate, origin } = query;
  // No rule can name another container's programs, nor what runs below them.
  const nameless = origin === 'container';
  const { app = '', script, ancestors = [] } = nameless ? {} : query;
  return {
    paths: [query.path, ...(query.otherPaths ?? [])],
    operation,
    exe: app,
    ...(script !== undefined && { script }),
    ...(user !== undefined && { user_id: users.idOf(user) }),
    ...(unit !== undefined && { unit }),
    ...(sha256 !== undefined && { sha256 }),
    ...(ancestors !== 'unknown' && { ancestors }),
    ...(groups !== undefined && { groups }),
    ...(gate !== undefined && { gate }),
    ...(origin !== undefined && { origin: nameless ? 'other' : origin }),
  };
}

interface Context {
  readonly policy: CompiledPolicy;
  readonly configuration: Configuration;
  readonly query: ExplainQuery;
}

function explanationOf(
  answer: EvaluationAnswer,
  operation: Operation,
  context: Context,
): Explanation {
  const { policy, query } = context;
  const rule = policy.rules[answer.rule_index];
  const app = answer.listed ? rule?.apps[answer.app_index] : undefined;
  const { outcome, verdict, reason } = answer;
  const forbidden = rule?.behavior === 'block' && !answer.listed;
  const change = rule && forbidden ? changeFor(rule, operation, context) : undefined;
  return {
    path: query.path,
    operation,
    outcome,
    verdict,
    reason,
    ...(rule && { rule }),
    ...(app && { app }),
    why: whyOf(answer, operation, rule, app, context),
    covering: answer.covering.flatMap((index) => {
      const each = policy.rules[index];
      return each ? [coveringRule(each, rule, operation)] : [];
    }),
    ...(change && { change }),
  };
}

function coveringRule(each: RuleInfo, decider: RuleInfo | undefined, operation: Operation) {
  const decides = each === decider;
  if (decides) return { rule: each, decides, note: 'decides' };
  if (!each.operations.includes(operation)) {
    return { rule: each, decides, note: `only ${each.operations.join(', ')}` };
  }
  const sameGroup = decider !== undefined && each.group === decider.group;
  const note =
    sameGroup && each.index > decider.index
      ? `'${decider.rule}' comes first in the group`
      : 'another group or rule is stricter, or as strict and earlier';
  return { rule: each, decides, note };
}

function whyOf(
  answer: EvaluationAnswer,
  operation: Operation,
  rule: RuleInfo | undefined,
  app: AppEntry | undefined,
  { query }: Context,
): string {
  if (rule === undefined) {
    return answer.covering.length === 0
      ? noRule(query)
      : `Rules cover this path, but none of them holds ${operation}: it is not covered.`;
  }
  const name = `${rule.group}/${rule.rule}`;
  const who = query.app ?? 'an app that is not listed';
  if (app !== undefined) return `${name} lists ${who} for ${operation}, ${told(app)}.`;
  if (answer.listed) return `${name} lists ${who} for ${operation}.`;
  const near = nearMiss(rule, operation, query);
  const unlisted = `${name} does not list ${who} for ${operation}${near}`;
  if (rule.behavior === 'watch') return `${unlisted}; a watch rule only reports.`;
  if (query.gate === 'change')
    return `${unlisted}; a change of this kind has no gate and can only be told.`;
  switch (rule.mode) {
    case 'protect':
      return `${unlisted}; it blocks, and protects.`;
    case 'monitor':
      return `${unlisted}; it blocks, but only monitors: in protect mode this would be denied.`;
    case 'discover':
      return `${unlisted}; it blocks, but is learning: the app would be learned.`;
  }
}

function noRule({ groups }: ExplainQuery): string {
  const why = groups?.length === 0 ? 'No group holds this workload' : 'No rule covers this path';
  return `${why}: fileward leaves it alone.`;
}

function told(app: AppEntry): string {
  const place = `${app.position.file}:${app.position.line}`;
  return app.set === undefined ? `at ${place}` : `by set:${app.set} at ${place}`;
}

/** The entry that names the app and fails by another of its keys. */
function nearMiss(rule: RuleInfo, operation: Operation, query: ExplainQuery): string {
  const entry = rule.apps.find((app) => app.exe !== undefined && app.exe === query.app);
  if (entry === undefined) return '';
  const place = `${entry.position.file}:${entry.position.line}`;
  if (entry.operations && !entry.operations.includes(operation)) {
    return ` (the entry at ${place} is for ${entry.operations.join(', ')} only)`;
  }
  const asked = { script: query.script, user: query.user, unit: query.unit, sha256: query.sha256 };
  const conditions = Object.entries(asked)
    .filter(([key, value]) => {
      const wanted = entry[key as keyof typeof asked];
      return wanted !== undefined && wanted !== value;
    })
    .map(([key]) => key);
  if (entry.ancestor !== undefined) conditions.push('ancestor');
  return conditions.length === 0
    ? ''
    : ` (the entry at ${place} asks for ${conditions.join(' and ')} too)`;
}

function changeFor(
  rule: RuleInfo,
  operation: Operation,
  { configuration, query }: Context,
): Change | undefined {
  // Another container's program is no app here, whatever is listed.
  if (query.app === undefined || query.origin === 'container') return undefined;
  const all = rule.operations.every((each) => each === operation);
  const app = {
    exe: query.app,
    ...(query.script !== undefined && { script: query.script }),
    ...(!all && { operations: [operation] }),
    ...(query.origin === 'host' && { workload: 'host' as const }),
  };
  if (rule.position.file === configuration.file) {
    const place = `in 'apps' of rule '${rule.rule}', ${rule.position.file}:${rule.position.line}`;
    return { position: rule.position, place, yaml: `- ${appEntryYaml(app)}\n` };
  }
  return {
    position: { file: configuration.file, line: 1, column: 1 },
    place: `in ${configuration.file}`,
    yaml: overrideYaml(rule.group, rule.rule, [app]),
  };
}

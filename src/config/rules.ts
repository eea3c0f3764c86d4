/** Rules and groups: what is wrong with them, and what they are with every default filled in. */
import type {
  Criterion,
  Group,
  MemberCriteria,
  Position,
  Rule,
  WorkloadCriteria,
} from '../policy/document.ts';
import { host, isMember } from '../policy/members.ts';
import type { Mode, Operation } from '../policy/ruleset.ts';
import type { CriterionSource, GroupSource, MembersSource } from '../policy/schema.ts';
import { type AppNormaliser, type CheckContext, checkOperationList } from './apps.ts';
import type { DraftGroup, DraftRule, RuleKey } from './draft.ts';
import { globProblem, regexProblem } from './patterns.ts';
import type { SourceFile } from './source-file.ts';
import { parseRecordLimit } from './values.ts';

const defaultOperations: Readonly<Record<'block' | 'watch', readonly Operation[]>> = {
  block: ['read', 'write', 'exec'],
  watch: ['write'],
};

export function normaliseGroup(
  draft: DraftGroup,
  apps: AppNormaliser,
  context: CheckContext,
): Group {
  const first = <K extends keyof GroupSource>(key: K) =>
    draft.parts.find((part) => part.value[key] !== undefined);
  const membersPart = first('members');
  const mended = draft.parts.some((part) => part.source.mended.has(part.value));
  if (membersPart === undefined && !mended) {
    const message = `'members' is missing; say who group '${draft.name}' is, such as members: { host: true }`;
    context.problems.error(draft.position, message);
  }
  const given = membersPart?.value.members;
  const list = given === undefined ? [] : [given].flat();
  for (const item of list) if (membersPart) checkMembers(item, membersPart.source, context);
  const members = list.map(memberCriteria);
  const mode = first('mode')?.value.mode ?? 'monitor';
  const onHost = isMember(members, host);
  return {
    name: draft.name,
    members,
    mode,
    labels: Object.assign({}, ...draft.parts.map((part) => part.value.labels).toReversed()),
    rules: draft.rules.map((rule) => normaliseRule(rule, { mode, onHost }, apps, context)),
    position: draft.position,
  };
}

function checkMembers(item: MembersSource, source: SourceFile, { problems }: CheckContext): void {
  if (source.mended.has(item)) return;
  const position = source.positionOf(item);
  const { host: onHost, container, kubernetes, not } = item;
  if (!onHost && !container && !kubernetes && !not) {
    problems.error(position, 'these criteria are empty; give host, container or kubernetes');
  }
  if (onHost && (container || kubernetes)) {
    const message =
      'no workload is both the host and a container; write a list: [ { host: true }, { container: … } ]';
    problems.error(position, message);
  }
}

function memberCriteria(source: MembersSource): MemberCriteria {
  const { container, kubernetes, not } = source;
  return {
    ...(source.host && { host: true }),
    ...(container && { container: workloadCriteria(container) }),
    ...(kubernetes && { kubernetes: workloadCriteria(kubernetes) }),
    ...(not && { not: memberCriteria(not) }),
  };
}

interface CriteriaMap {
  readonly labels?: Readonly<Record<string, CriterionSource>> | undefined;
  readonly not?: CriteriaMap | undefined;
}

function workloadCriteria(source: CriteriaMap): WorkloadCriteria {
  const { labels, not, ...keys } = source;
  return {
    keys: criteriaOf(keys as Readonly<Record<string, CriterionSource>>),
    labels: criteriaOf(labels ?? {}),
    ...(not && { not: workloadCriteria(not) }),
  };
}

function criteriaOf(map: Readonly<Record<string, CriterionSource>>): Record<string, Criterion> {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, criterion(value)]));
}

function criterion(value: CriterionSource): Criterion {
  if (typeof value === 'string' || Array.isArray(value)) return { any: [value].flat() };
  return { none: [value.not].flat() };
}

interface GroupFacts {
  readonly mode: Mode;
  readonly onHost: boolean;
}

function normaliseRule(
  draft: DraftRule,
  group: GroupFacts,
  apps: AppNormaliser,
  context: CheckContext,
): Rule {
  const behavior = draft.get('behavior') ?? 'watch';
  const operations = draft.get('operations') ?? defaultOperations[behavior];
  const limit = draft.get('max_records');
  const maxRecords = limit === undefined ? undefined : parseRecordLimit(limit);
  const optional = <K extends RuleKey>(key: K) => draft.get(key);
  const rule: Rule = {
    name: draft.name,
    path: [draft.get('path') ?? []].flat(),
    except: [draft.get('except') ?? []].flat(),
    behavior,
    operations,
    apps: apps.normalise(draft.apps ?? [], group.onHost),
    changes: draft.get('changes') ?? (behavior === 'block' ? 'report' : 'quiet'),
    tags: { ...draft.get('tags') },
    required: draft.get('required') ?? false,
    hash: draft.get('hash') ?? true,
    strict: draft.get('strict') ?? false,
    runtime: draft.get('runtime') ?? true,
    enabled: draft.get('enabled') ?? true,
    position: draft.position,
    ...defined('regex', optional('regex')),
    ...defined('mode', optional('mode')),
    ...defined('description', optional('description')),
    ...defined('reference', optional('reference')),
    ...defined('severity', optional('severity')),
    ...defined('onDeadline', optional('on_deadline')),
    ...defined('maxRecords', maxRecords),
  };
  checkPatterns(rule, draft, context);
  checkOperationList(draft.get('operations'), (at) => draft.at('operations', at), context.problems);
  if (limit !== undefined && maxRecords === undefined) {
    context.problems.error(draft.at('max_records'), "'max_records' needs a time longer than 0");
  }
  if (!draft.mended) checkAgreement(rule, draft, rule.mode ?? group.mode, context);
  return rule;
}

function checkPatterns(rule: Rule, draft: DraftRule, { problems, patterns }: CheckContext): void {
  if (rule.regex !== undefined && draft.get('path') !== undefined) {
    problems.error(draft.at('regex'), "give 'path' or 'regex', not both");
  } else if (rule.regex === undefined && rule.path.length === 0) {
    problems.error(draft.position, "'path' is missing");
  }
  if (rule.regex !== undefined) {
    const message = regexProblem(rule.regex, patterns);
    if (message !== undefined) problems.error(draft.at('regex'), message);
  }
  for (const key of ['path', 'except'] as const) {
    for (const [index, pattern] of rule[key].entries()) {
      const at = (): Position => draft.at(key, index);
      const message = globProblem(pattern, patterns);
      if (message !== undefined) problems.error(at(), message);
      if (rule[key].indexOf(pattern) !== index) problems.error(at(), `'${pattern}' is given twice`);
    }
  }
  if (rule.path.length > 0 && rule.path.every((pattern) => rule.except.includes(pattern))) {
    problems.error(draft.at('except'), "'except' takes away all that 'path' covers");
  }
}

/** Whether the keys of a rule agree with each other. */
function checkAgreement(
  rule: Rule,
  draft: DraftRule,
  mode: Mode,
  { problems }: CheckContext,
): void {
  for (const entry of rule.apps) {
    // A set serves rules of different operations.
    if (entry.set !== undefined) continue;
    for (const operation of entry.operations ?? []) {
      if (rule.operations.includes(operation)) continue;
      const known = rule.operations.join(', ');
      const message = `the entry lists '${operation}', which is not among the rule's operations: ${known}`;
      problems.error(entry.position, message);
    }
  }
  if (draft.get('changes') !== undefined && !rule.operations.includes('write')) {
    const message = "'changes' has no effect: write is not among the rule's operations";
    problems.warn(draft.at('changes'), message);
  }
  if (!rule.enabled || rule.behavior === 'watch') return;
  if (draft.get('operations') === undefined) {
    const message =
      "without 'operations' the rule blocks read, write and exec; say which are meant";
    problems.warn(draft.position, message);
  }
  if (mode === 'protect' && draft.apps === undefined) {
    const message =
      "'apps' is missing: a block rule in protect mode must say who is listed; 'apps: []' lists nobody";
    problems.error(draft.position, message);
  }
}

function defined<K extends string, V>(
  key: K,
  value: V | undefined,
): { [P in K]?: V } | Record<never, never> {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}

/** Which workloads belong to a group, and what can't be told yet. */
import type { Criterion, Group, MemberCriteria, WorkloadCriteria } from './document.ts';

/** What is known of a workload. Keys as in the criteria. */
export type Workload =
  | { readonly kind: 'host' }
  | {
      readonly kind: 'container';
      readonly container: WorkloadFacts;
      /** Absent: not run by Kubernetes. */
      readonly kubernetes?: WorkloadFacts;
    };

export interface WorkloadFacts {
  /** A key that is absent is not known. */
  readonly keys: Readonly<Record<string, string | undefined>>;
  /** Absent: not known. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface Membership {
  readonly member: boolean;
  /** For people: the criteria that hold; '' for what is no member. */
  readonly why: string;
  /** What it turns on when that isn't known, e.g. `container.labels.app`: knowing it could make the workload a member. */
  readonly unknown: readonly string[];
}

export const host: Workload = { kind: 'host' };

/** True when any of the criteria holds; what is not known never makes a member. */
export function membership(group: Pick<Group, 'members'>, workload: Workload): Membership {
  const told = group.members.map((criteria) => judge(criteria, workload));
  const holds = told.find((each) => each.holds === true);
  if (holds) return { member: true, why: holds.what.join(', '), unknown: [] };
  const open = told.filter((each) => each.holds === undefined);
  return { member: false, why: '', unknown: [...new Set(open.flatMap((each) => each.what))] };
}

/** `unknown` is what counts where the facts don't tell: false, except where a workload is described in part only (policy tests). */
export function isMember(
  members: readonly MemberCriteria[],
  workload: Workload,
  unknown = false,
): boolean {
  const told = membership({ members }, workload);
  return told.member || (unknown && told.unknown.length > 0);
}

/** `what`: the criteria that hold, in words; where `holds` is undefined, what isn't known. */
interface Told {
  readonly holds: boolean | undefined;
  readonly what: readonly string[];
}

const no: Told = { holds: false, what: [] };

function judge(criteria: MemberCriteria, workload: Workload): Told {
  const parts: Told[] = [];
  if (criteria.host) parts.push({ holds: workload.kind === 'host', what: ['host'] });
  for (const part of ['container', 'kubernetes'] as const) {
    const wanted = criteria[part];
    const facts = workload.kind === 'container' ? workload[part] : undefined;
    if (!wanted) continue;
    const told = facts ? judgeFacts(wanted, facts, part) : no;
    // What may be a pod, with nothing known of it, may be none: what asks for any pod is open, too.
    const open = part === 'kubernetes' && told.holds === true && isUnknown(facts);
    parts.push(open ? { holds: undefined, what: [part] } : told);
  }
  if (criteria.not) parts.push(turned(judge(criteria.not, workload)));
  return all(parts, workload.kind === 'host' ? 'host' : 'any container');
}

function isUnknown(facts: WorkloadFacts | undefined): boolean {
  const keys = Object.values(facts?.keys ?? {});
  return facts?.labels === undefined && keys.every((value) => value === undefined);
}

function judgeFacts(criteria: WorkloadCriteria, facts: WorkloadFacts, part: string): Told {
  const parts: Told[] = [];
  for (const [key, criterion] of Object.entries(criteria.keys)) {
    const matches = key === 'image' ? imageMatches : globMatches;
    const value = facts.keys[key];
    parts.push(judgeValue(criterion, value, value !== undefined, matches, `${part}.${key}`));
  }
  for (const [key, criterion] of Object.entries(criteria.labels)) {
    const { labels } = facts;
    const value = labels && Object.hasOwn(labels, key) ? labels[key] : undefined;
    const name = `${part}.labels.${key}`;
    parts.push(judgeValue(criterion, value, labels !== undefined, globMatches, name));
  }
  if (criteria.not) parts.push(turned(judgeFacts(criteria.not, facts, part)));
  return all(parts, `any ${part}`);
}

function judgeValue(
  criterion: Criterion,
  value: string | undefined,
  known: boolean,
  matches: (pattern: string, value: string) => boolean,
  name: string,
): Told {
  if (!known) return { holds: undefined, what: [name] };
  const patterns = 'any' in criterion ? criterion.any : criterion.none;
  const matching = patterns.find((pattern) => value !== undefined && matches(pattern, value));
  const holds = 'any' in criterion ? matching !== undefined : matching === undefined;
  if (!holds) return no;
  if (matching === undefined) return { holds, what: [`${name} is not ${patterns.join(' or ')}`] };
  // A value is anybody's text; the pattern is the operator's.
  const isPlain = /^[\x21-\x7e]{1,200}$/.test(value ?? '');
  return { holds, what: [`${name} ${isPlain ? value : `fits ${matching}`}`] };
}

/** One that fails settles it, whatever isn't known. `empty` says in words what no criterion at all stands for. */
function all(parts: readonly Told[], empty: string): Told {
  if (parts.some((part) => part.holds === false)) return no;
  const open = parts.filter((part) => part.holds === undefined);
  if (open.length > 0) return { holds: undefined, what: open.flatMap((part) => part.what) };
  return { holds: true, what: parts.length === 0 ? [empty] : parts.flatMap((part) => part.what) };
}

function turned(told: Told): Told {
  if (told.holds === undefined) return told;
  return told.holds ? no : { holds: true, what: ['no exception fits'] };
}

/** `*` is any text, `?` any character: these are names, not paths. Never slower than both lengths multiplied. */
function globMatches(pattern: string, value: string): boolean {
  let at = 0;
  let star = -1;
  let starValue = 0;
  let next = 0;
  while (at < value.length) {
    if (pattern[next] === '*') {
      star = next++;
      starValue = at;
    } else if (pattern[next] === '?' || pattern[next] === value[at]) {
      next += 1;
      at += 1;
    } else if (star >= 0) {
      next = star + 1;
      at = ++starValue;
    } else {
      return false;
    }
  }
  while (pattern[next] === '*') next += 1;
  return next === pattern.length;
}

/**
 * Both in full: `nginx:1.27` is `docker.io/library/nginx:1.27`; a pattern without a tag matches any, one without a digest
 * `nginx:1.27@sha256:…`, too.
 */
function imageMatches(pattern: string, value: string): boolean {
  if (value === '') return globMatches(pattern, value);
  const full = fullImage(pattern);
  const image = withTag(fullImage(value));
  if (!/[:@*][^/]*$/.test(full)) {
    return globMatches(`${full}:*`, image) || globMatches(`${full}@*`, image);
  }
  const [named = ''] = image.split('@', 1);
  return globMatches(full, image) || (!full.includes('@') && globMatches(full, named));
}

function withTag(image: string): string {
  return /[:@][^/]*$/.test(image) ? image : `${image}:latest`;
}

function fullImage(image: string): string {
  const [first = '', ...rest] = image.split('/');
  if (rest.length === 0) return first.startsWith('*') ? image : `docker.io/library/${image}`;
  return /[.:*]/.test(first) || first === 'localhost' ? image : `docker.io/${image}`;
}

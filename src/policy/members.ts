/** Which workloads belong to a group. */
import type { Criterion, MemberCriteria, WorkloadCriteria } from './document.ts';

/** What is known of a workload. Keys as in the criteria; a key that is absent matches nothing. */
export type Workload =
  | { readonly kind: 'host' }
  | {
      readonly kind: 'container';
      readonly container: WorkloadFacts;
      readonly kubernetes?: WorkloadFacts;
    };

export interface WorkloadFacts {
  readonly keys: Readonly<Record<string, string | undefined>>;
  /** Absent: not known. */
  readonly labels?: Readonly<Record<string, string>>;
}

export const host: Workload = { kind: 'host' };

/**
 * True when any of the criteria holds. `unknown` is what a key that the workload doesn't have counts as: false, except
 * where a workload is described in part only (policy tests).
 */
export function isMember(
  members: readonly MemberCriteria[],
  workload: Workload,
  unknown = false,
): boolean {
  return members.some((criteria) => holds(criteria, workload, unknown));
}

function holds(criteria: MemberCriteria, workload: Workload, unknown: boolean): boolean {
  const { host, container, kubernetes, not } = criteria;
  if (host === true && workload.kind !== 'host') return false;
  if (container && !partHolds(container, workload, 'container', unknown)) return false;
  if (kubernetes && !partHolds(kubernetes, workload, 'kubernetes', unknown)) return false;
  return not === undefined || !holds(not, workload, false);
}

function partHolds(
  criteria: WorkloadCriteria,
  workload: Workload,
  part: 'container' | 'kubernetes',
  unknown: boolean,
): boolean {
  const facts = workload.kind === 'container' ? workload[part] : undefined;
  return facts !== undefined && factsHold(criteria, facts, unknown);
}

function factsHold(criteria: WorkloadCriteria, facts: WorkloadFacts, unknown: boolean): boolean {
  const keysHold = Object.entries(criteria.keys).every(([key, criterion]) => {
    const value = facts.keys[key];
    const matches = key === 'image' ? imageMatches : globMatches;
    return value === undefined && unknown ? true : criterionHolds(criterion, value, matches);
  });
  const { labels } = facts;
  const labelsHold = Object.entries(criteria.labels).every(([key, criterion]) =>
    labels === undefined && unknown ? true : criterionHolds(criterion, labels?.[key], globMatches),
  );
  const { not } = criteria;
  return keysHold && labelsHold && !(not && factsHold(not, facts, false));
}

function criterionHolds(
  criterion: Criterion,
  value: string | undefined,
  matches: (pattern: string, value: string) => boolean,
): boolean {
  const any = (patterns: readonly string[]) =>
    value !== undefined && patterns.some((pattern) => matches(pattern, value));
  return 'any' in criterion ? any(criterion.any) : !any(criterion.none);
}

/** `*` is any text, `?` any character: these are names, not paths. */
function globMatches(pattern: string, value: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 's').test(value);
}

/** Both in full: `nginx:1.27` is `docker.io/library/nginx:1.27`; a pattern without a tag matches any. */
function imageMatches(pattern: string, value: string): boolean {
  const full = fullImage(pattern);
  const image = withTag(fullImage(value));
  if (/[:@*][^/]*$/.test(full)) return globMatches(full, image);
  return globMatches(`${full}:*`, image) || globMatches(`${full}@*`, image);
}

function withTag(image: string): string {
  return /[:@][^/]*$/.test(image) ? image : `${image}:latest`;
}

function fullImage(image: string): string {
  const [first = '', ...rest] = image.split('/');
  if (rest.length === 0) return first.startsWith('*') ? image : `docker.io/library/${image}`;
  return /[.:*]/.test(first) || first === 'localhost' ? image : `docker.io/${image}`;
}

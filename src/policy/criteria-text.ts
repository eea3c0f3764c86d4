/** The criteria of a group in words: `container image nginx:* or httpd:*, label app web; or host`. */
import type { Criterion, MemberCriteria, WorkloadCriteria } from './document.ts';

export function criteriaText(members: readonly MemberCriteria[]): string {
  return members.map(oneText).join('; or ');
}

function oneText({ host, container, kubernetes, not }: MemberCriteria): string {
  const parts = [
    ...(host ? ['host'] : []),
    ...(container ? [`container ${workloadText(container)}`] : []),
    ...(kubernetes ? [`kubernetes ${workloadText(kubernetes)}`] : []),
    ...(not ? [`not (${oneText(not)})`] : []),
  ];
  return parts.length === 0 ? 'any workload' : parts.join(', ');
}

function workloadText({ keys, labels, not }: WorkloadCriteria): string {
  const parts = [
    ...Object.entries(keys).map(([key, criterion]) => `${key} ${valuesText(criterion)}`),
    ...Object.entries(labels).map(([key, criterion]) => `label ${key} ${valuesText(criterion)}`),
    ...(not ? [`not (${workloadText(not)})`] : []),
  ];
  return parts.length === 0 ? 'any' : parts.join(', ');
}

function valuesText(criterion: Criterion): string {
  if ('any' in criterion) return criterion.any.join(' or ');
  return `not ${criterion.none.join(' or ')}`;
}

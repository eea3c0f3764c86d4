/** A container as `status` and `explain` show it. */
import type { ContainerStatus, WorkloadStatus } from '../control/protocol.ts';
import { printable } from '../policy/printable.ts';
import { columns, paint } from './terminal.ts';

/** One line of a table: name, id, image or pod, state, groups. */
export function workloadRow({ groups, container }: WorkloadStatus): string[] {
  if (container === undefined) return [paint('bold', 'host'), '', '', '', groups.join(', ')];
  return [
    paint('bold', printable(container.name || container.id.slice(0, 12))),
    container.id.slice(0, 12),
    printable(podOf(container) || container.image || container.runtime),
    stateOf(container),
    printable(groups.join(', ')),
  ];
}

/** All that is known of it, and why each group holds it. */
export function workloadLines({ kind, groups, why, container }: WorkloadStatus): string[] {
  const facts: string[][] = [];
  if (container) {
    const { id, runtime, image, pid, unknown, unknown_why } = container;
    facts.push(['id', id], ['runtime', runtime], ['image', image], ['pod', podOf(container)]);
    facts.push(['init', `pid ${pid}`], ['state', stateOf(container)]);
    if (unknown.length > 0) facts.push(['not known', `${unknown.join(', ')}: ${unknown_why}`]);
  }
  for (const group of groups) facts.push([`group ${group}`, why[group] ?? '']);
  if (groups.length === 0) facts.push(['groups', 'none holds it']);
  const shown = facts.filter(([, value]) => value !== '');
  return [
    paint('bold', printable(container?.name || container?.id.slice(0, 12) || kind)),
    ...columns(shown.map((row) => [`  ${row[0]}`, printable(row[1] ?? '')])),
  ];
}

function podOf({ pod, namespace }: ContainerStatus): string {
  return pod === '' ? '' : [namespace, pod].filter((each) => each !== '').join('/');
}

function stateOf({ state, covered, error }: ContainerStatus): string {
  switch (state) {
    case 'covered':
      return `covered since ${covered}`;
    case 'failed':
      return paint('yellow', `not covered: ${printable(error)}`);
    case 'starting':
      return 'starting';
    case 'no_group':
      return 'not covered';
  }
}

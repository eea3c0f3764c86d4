import type { PauseTarget } from './protocol.ts';

/** `host/shadow`, `group host`, `every group`: what a pause holds for. */
export function describeTarget({ group, rule }: PauseTarget): string {
  if (rule === undefined) return group === undefined ? 'every group' : `group ${group}`;
  return group === undefined ? `rule ${rule} of every group` : `rule ${group}/${rule}`;
}

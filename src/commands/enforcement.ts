/** What fileward can deny and what it can only detect: one table for `doctor` and `check`. */
import type { FeatureReport } from '../native/addon.ts';
import type { Behavior, Mode, Operation } from '../policy/ruleset.ts';

export interface OperationAnswer {
  readonly operation: string;
  readonly answer: 'enforced' | 'detected' | 'neither';
  readonly note: string;
}

/** Opens that the kernel asks about. */
const GATED: readonly (readonly [string, string])[] = [
  ['open to read', 'denied in protect unless the app is listed'],
  ['open to write (also create, O_TRUNC)', 'denied in protect unless the app is listed'],
  ['exec', 'denied in protect unless the app is listed'],
];

/** Changes that no kernel interface asks about. */
const UNGATED: readonly (readonly [string, string])[] = [
  ['rename, delete, hard link', 'reported with the process that did it'],
  ['chmod, chown, utimes', 'reported where they really changed'],
  ['truncate(2) by path', 'reported'],
  ['write through a descriptor opened earlier', 'reported, reason descriptor_not_judged'],
];

/** Nothing tells about these. */
const UNSEEN: readonly (readonly [string, string])[] = [
  ['stat, readlink, listing a directory', 'no data of the file is read'],
  ['extended attributes and ACLs', 'unless they change mode or owner'],
  ['writes to the raw block device', 'below the file system'],
];

export function enforcementTable(report: FeatureReport): readonly OperationAnswer[] {
  const gate = report.can_enforce ? 'enforced' : report.can_watch ? 'detected' : 'neither';
  const seen = report.can_watch ? 'detected' : 'neither';
  const rows = (
    answer: OperationAnswer['answer'],
    operations: readonly (readonly [string, string])[],
  ): OperationAnswer[] => operations.map(([operation, note]) => ({ operation, answer, note }));
  return [...rows(gate, GATED), ...rows(seen, UNGATED), ...rows('neither', UNSEEN)];
}

export interface RuleEnforcement {
  /** What an app that isn't listed can't do. */
  readonly denied: string;
  /** What it can do, and is reported for. */
  readonly detected: string;
}

/** What a rule does here, in the words of `check`. */
export function ruleEnforcement(
  rule: {
    readonly behavior: Behavior;
    readonly mode: Mode;
    readonly operations: readonly Operation[];
  },
  report: FeatureReport,
): RuleEnforcement {
  const opens = rule.operations.map((operation) =>
    operation === 'exec' ? 'exec' : `open to ${operation}`,
  );
  const changes = rule.operations.includes('write')
    ? ['rename', 'delete', 'link', 'chmod/chown', 'truncate(2)', 'writes through older descriptors']
    : [];
  if (rule.behavior === 'block' && rule.mode === 'protect' && report.can_enforce) {
    return { denied: opens.join(', '), detected: changes.join(', ') || 'nothing else' };
  }
  const watched =
    rule.behavior === 'watch'
      ? rule.operations.map((operation) => (operation === 'write' ? 'writes' : operation))
      : opens;
  const reason =
    rule.behavior === 'watch'
      ? 'watch'
      : rule.mode === 'protect'
        ? 'this kernel has no gate'
        : rule.mode;
  return { denied: `nothing (${reason})`, detected: [...watched, ...changes].join(', ') };
}

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
  ['chmod, chown, utimes, extended attributes, ACLs', 'reported where they really changed'],
];

/** Where a strict rule has the kernel ask before these, they are denied as the opens are. */
const STRICT: readonly (readonly [string, string])[] = [
  ['truncate(2) by path', 'reported'],
  ['write through a descriptor of another process', 'reported, reason descriptor_not_judged'],
];

/** Nothing tells about these. */
const UNSEEN: readonly (readonly [string, string])[] = [
  ['stat, readlink, listing a directory', 'no data of the file is read'],
  ['inode flags (chattr) by file_setattr(2), or of an open file', 'no event'],
  ['writes to the raw block device', 'below the file system'],
];

export function enforcementTable(report: FeatureReport): readonly OperationAnswer[] {
  const gate = report.can_enforce ? 'enforced' : report.can_watch ? 'detected' : 'neither';
  const seen = report.can_watch ? 'detected' : 'neither';
  const rows = (
    answer: OperationAnswer['answer'],
    operations: readonly (readonly [string, string])[],
  ): OperationAnswer[] => operations.map(([operation, note]) => ({ operation, answer, note }));
  const strict = STRICT.map(([operation, note]): readonly [string, string] => [
    operation,
    judgesAccess(report)
      ? `${note}; strict: denied (ext4, xfs, btrfs)`
      : `${note}; strict adds nothing on this kernel`,
  ]);
  return [
    ...rows(gate, GATED),
    ...rows(seen, UNGATED),
    ...rows(seen, strict),
    ...rows('neither', UNSEEN),
  ];
}

/** Nothing was tried: what a kernel can do that can do all. */
function judgesAccess({ can_enforce, features }: FeatureReport): boolean {
  const tried = features.find(({ name }) => name === 'pre_content');
  return can_enforce && (tried?.available ?? true);
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
    readonly strict?: boolean;
  },
  report: FeatureReport,
): RuleEnforcement {
  const isStrict =
    rule.strict === true &&
    rule.behavior === 'block' &&
    rule.mode === 'protect' &&
    judgesAccess(report);
  const opens = rule.operations.map((operation) =>
    operation === 'exec' ? 'exec' : `open to ${operation}`,
  );
  const writes = rule.operations.includes('write');
  if (isStrict) {
    if (rule.operations.includes('read')) opens.push("reads through others' descriptors");
    if (writes) opens.push("writes through others' descriptors", 'truncate(2)');
  }
  const changes = writes ? ['rename', 'delete', 'link', 'chmod/chown'] : [];
  if (writes && !isStrict) changes.push('truncate(2)');
  if (writes) changes.push('writes through older descriptors');
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

import { hostWorkload, unknownWorkload } from '../native/event-layout.ts';
import { FileState } from '../native/covered-files.ts';
import type { RuleInfo } from '../policy/compile.ts';
import type { Mode } from '../policy/ruleset.ts';
import {
  type Actor,
  type FileStatus,
  hasFlag,
  type KernelEvent,
  type PathName,
  pathName,
} from './kernel-event.ts';
import type { Found } from './known-files-messages.ts';
import { type FileEvent, type Reason, type RecordOperation, SEVERITY } from './names.ts';

/** Something that happened to a covered file, understood; a record is made of one or of several equal ones. */
export interface Occurrence {
  readonly event: FileEvent;
  readonly severity: number;
  readonly timeNs: bigint;
  /** Of the file. */
  readonly workload: number;
  /** Of the process. */
  readonly actorWorkload: number;
  readonly rule: RuleInfo;
  readonly mode: Mode;
  readonly operation: RecordOperation;
  readonly verdict: 'allow' | 'deny';
  readonly reason?: Reason;
  readonly path: PathName;
  readonly protectedPath?: PathName;
  readonly newPath?: PathName;
  readonly replaced?: boolean;
  readonly fileCount?: number;
  readonly inode?: string;
  readonly status?: FileStatus;
  readonly actor: Actor;
  readonly packageManager?: string;
  readonly sha256?: string;
  readonly sha256Before?: string;
  /** What it led to, where changes that look the same are not: another owner, the other direction. */
  readonly effect: string;
  /** Kernel events that end with its record; 0 when another record of the same change accounts for them. */
  readonly events: number;
}

/** Equal occurrences of one window, as one record tells them. */
export interface Folded {
  /** The last of them. */
  readonly occurrence: Occurrence;
  readonly count: number;
  /** Sum of theirs. */
  readonly events: number;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
}

/** What a rule had to tell beyond its `max_records`. */
export interface Rest {
  readonly event: FileEvent;
  readonly severity: number;
  readonly workload: number;
  readonly rule: RuleInfo;
  readonly mode: Mode;
  readonly verdict: 'allow' | 'deny';
  readonly count: number;
  readonly events: number;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
}

export function occurrenceOf(
  event: KernelEvent,
  rule: RuleInfo,
  name: FileEvent,
  operation: RecordOperation,
  events: number,
  packageManager?: string,
): Occurrence {
  const { path, protectedPath, newPath, status, reason } = event;
  const ofDirectory = event.change === 'directory_moved' || event.change === 'directory_deleted';
  return {
    event: name,
    severity: severityOf(name, event, rule),
    timeNs: event.timeNs,
    workload: event.workload,
    actorWorkload: event.actorWorkload,
    rule,
    mode: event.mode === 'none' ? rule.mode : event.mode,
    operation,
    verdict: event.verdict === 'deny' ? 'deny' : 'allow',
    ...(reason !== 'none' && { reason }),
    path,
    ...(protectedPath && protectedPath.text !== path.text && { protectedPath }),
    ...(newPath && { newPath }),
    ...(hasFlag(event, 'replaced') && { replaced: true }),
    ...(ofDirectory && { fileCount: Number(event.count) }),
    ...(event.ino !== 0n && { inode: String(event.ino) }),
    ...(status && { status }),
    actor: event.actor,
    ...(packageManager !== undefined && name === 'modified' && { packageManager }),
    effect: effectOf(event),
    events,
  };
}

/** Nobody saw who did it, nor how: that it was not denied is all that is certain. */
export function foundOccurrence(found: Found, rule: RuleInfo, timeNs: bigint): Occurrence {
  const { operation, path, newPath, replaced, state, sha256, sha256Before } = found;
  const now = state && new FileState(Buffer.from(state));
  return {
    event: 'modified',
    severity: SEVERITY.info,
    timeNs,
    // Of containers nothing is known from one run of the agent to the next.
    workload: hostWorkload,
    actorWorkload: unknownWorkload,
    events: 0,
    rule,
    mode: rule.mode,
    operation,
    verdict: 'allow',
    reason: 'found_on_rescan',
    path: pathName(Buffer.from(path)),
    ...(newPath && { newPath: pathName(Buffer.from(newPath)) }),
    ...(replaced && { replaced }),
    ...(now && {
      inode: String(now.ino),
      status: { size: now.size, mtimeNs: now.mtimeNs, mode: now.mode, uid: now.uid, gid: now.gid },
    }),
    actor: { pid: 0 },
    ...(sha256 !== undefined && { sha256 }),
    ...(sha256Before !== undefined && { sha256Before }),
    effect: '',
  };
}

function effectOf({ change, flags, status }: KernelEvent): string {
  if (change === 'renamed') return String(flags);
  if (change !== 'attributes' || status === undefined) return '';
  return `${status.mode} ${status.uid} ${status.gid}`;
}

/** Contract section 5; a rule's own severity is for what it denies or would deny. */
function severityOf(name: FileEvent, event: KernelEvent, rule: RuleInfo): number {
  if (name === 'accessed' || name === 'modified') return SEVERITY.info;
  if (rule.severity !== undefined) return SEVERITY[rule.severity];
  const ungated = event.kind === 'change' && event.mode === 'protect';
  return name === 'violated' && ungated ? SEVERITY.error : SEVERITY.warn;
}

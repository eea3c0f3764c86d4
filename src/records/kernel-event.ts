/** One event of the native core, copied out of its batch so that it can wait: for a pair, a close, a hash. */
import type { EventBatch } from '../native/event-batch.ts';
import type {
  ActorState,
  EventChange,
  EventKind,
  EventMode,
  EventOperation,
  EventOutcome,
  EventReason,
  EventString,
  EventVerdict,
} from '../native/event-layout.ts';
import { eventFlags, hostWorkload } from '../native/event-layout.ts';

/** A path as text, with its bytes when they are not UTF-8. */
export interface PathName {
  readonly text: string;
  readonly bytes?: Buffer;
}

export interface FileStatus {
  readonly size: bigint;
  readonly mtimeNs: bigint;
  /** With the type bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Who did it. What was not proven is absent. */
export interface Actor {
  readonly pid: number;
  readonly parentPid?: number;
  readonly exe?: string;
  readonly uid?: number;
  readonly realUid?: number;
  readonly startNs?: bigint;
  readonly cgroup?: string;
  readonly ancestors?: readonly string[];
  readonly args?: readonly string[];
}

export interface KernelEvent {
  readonly kind: EventKind;
  /** Whose file it is, and whose rule decided. */
  readonly workload: number;
  /** Whose process it was; `unknownWorkload` when nobody knows. */
  readonly actorWorkload: number;
  readonly flags: number;
  readonly timeNs: bigint;
  readonly rulesetVersion: bigint;
  readonly ruleIndex: number;
  readonly operation: EventOperation;
  readonly change: EventChange;
  readonly outcome: EventOutcome;
  readonly verdict: EventVerdict;
  readonly mode: EventMode;
  readonly reason: EventReason;
  readonly actorState: ActorState;
  readonly actor: Actor;
  readonly packageManager: number;
  readonly path: PathName;
  readonly protectedPath?: PathName;
  readonly newPath?: PathName;
  /** Of the file in its workload, '' when not known. */
  readonly identity: string;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly status?: FileStatus;
  readonly before?: FileStatus;
  readonly count: bigint;
}

export function hasFlag(event: { readonly flags: number }, flag: keyof typeof eventFlags): boolean {
  return (event.flags & eventFlags[flag]) !== 0;
}

/** As far as a look at the file tells: same size and time. */
export function sameContent(a: FileStatus, b: FileStatus): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs;
}

export function sameOwnerAndMode(a: FileStatus, b: FileStatus): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;
}

export function readEvent(batch: EventBatch): KernelEvent {
  const { dev, ino, flags, kind, workload } = batch;
  const protectedPath = readPath(batch, 'protected_path');
  const newPath = readPath(batch, 'new_path');
  const fileMode = batch.fileMode;
  return {
    kind,
    workload,
    actorWorkload: batch.actorWorkload,
    flags,
    timeNs: batch.timeNs,
    rulesetVersion: batch.rulesetVersion,
    ruleIndex: batch.ruleIndex,
    operation: batch.operation,
    change: batch.change,
    outcome: batch.outcome,
    verdict: batch.verdict,
    mode: batch.mode,
    reason: batch.reason,
    actorState: batch.actorState,
    actor: readActor(batch),
    packageManager: batch.packageManager,
    path: readPath(batch, 'path') ?? { text: '' },
    ...(protectedPath && { protectedPath }),
    ...(newPath && { newPath }),
    identity: ino === 0n ? '' : identityOf(workload, dev, ino),
    dev,
    ino,
    ...(fileMode !== 0 && {
      status: {
        size: batch.size,
        mtimeNs: batch.mtimeNs,
        mode: fileMode,
        uid: batch.fileUid,
        gid: batch.fileGid,
      },
    }),
    ...(batch.beforeKnown && {
      before: {
        size: batch.beforeSize,
        mtimeNs: batch.beforeMtimeNs,
        mode: batch.beforeMode,
        uid: batch.beforeUid,
        gid: batch.beforeGid,
      },
    }),
    count: batch.count,
  };
}

function readPath(batch: EventBatch, name: EventString): PathName | undefined {
  const bytes = batch.bytes(name);
  return bytes.length === 0 ? undefined : pathName(bytes);
}

/** Copies what it keeps. */
export function pathName(bytes: Buffer): PathName {
  const text = bytes.toString('utf8');
  // Only a text with the replacement character can have lost something; a name may hold it honestly, too.
  if (!text.includes('\ufffd') || bytes.equals(Buffer.from(text))) return { text };
  return { text, bytes: Buffer.from(bytes) };
}

/** Containers have one key for each file, though devices of their overlays may be used again by others. */
export function identityOf(workload: number, dev: bigint, ino: bigint): string {
  return workload === hostWorkload ? `${dev}:${ino}` : `${workload}:${dev}:${ino}`;
}

/** Adds what names the files of an event of the host's: inode number and paths. */
export function addKeys(
  keys: Set<string>,
  {
    workload,
    ino,
    path,
    newPath,
    protectedPath,
  }: Pick<KernelEvent, 'workload' | 'ino' | 'path' | 'newPath' | 'protectedPath'>,
): void {
  if (workload !== hostWorkload) return;
  if (ino !== 0n) keys.add(String(ino));
  for (const each of [path, newPath, protectedPath]) if (each) keys.add(pathKey(each));
}

/** The bytes of a path, one character each: for comparing and as a key. */
export function pathKey({ text, bytes }: PathName): string {
  return (bytes ?? Buffer.from(text)).toString('latin1');
}

function readActor(batch: EventBatch): Actor {
  const { pid } = batch;
  const proven = batch.actorState === 'known' || batch.kind === 'open' || batch.has('judged');
  const exe = proven ? batch.exeText : '';
  // Without its executable nothing else of a process is told: it may be another one's by now.
  if (exe === '') return { pid };
  const { processStartNs, cgroupText, ancestors, args } = batch;
  return {
    pid,
    parentPid: batch.parentPid,
    exe,
    uid: batch.euid,
    realUid: batch.ruid,
    ...(processStartNs !== 0n && { startNs: processStartNs }),
    ...(cgroupText !== '' && { cgroup: cgroupText }),
    ...(ancestors.length > 0 && { ancestors }),
    ...(args.length > 0 && { args }),
  };
}

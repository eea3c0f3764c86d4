/** Which process is a container's init, and whether its root is the container's already. */
import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { basename } from 'node:path';

export interface Init {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat. */
  readonly startTicks: string;
}

interface ProcessStat extends Init {
  readonly parent: number;
}

/** So many of a container's processes are looked at; its init is among the first. */
const mostProcesses = 1024;

/**
 * The init among the processes of a container's cgroup: the oldest whose parent is outside and whose root is the container's
 * own. Undefined while a runtime is still at work on it.
 */
export function initAmong(pids: readonly number[]): Init | undefined {
  const stats = pids.slice(0, mostProcesses).flatMap((pid) => statOf(pid) ?? []);
  const inside = new Set(stats.map(({ pid }) => pid));
  const { pid, startTicks } =
    stats
      .filter((each) => !inside.has(each.parent) && hasItsRoot(each.pid))
      .sort((a, b) => Number(a.startTicks) - Number(b.startTicks) || a.pid - b.pid)[0] ?? {};
  return pid === undefined || startTicks === undefined ? undefined : { pid, startTicks };
}

export function isAlive({ pid, startTicks }: Init): boolean {
  return statOf(pid)?.startTicks === startTicks;
}

/** Lines of /proc/<pid>/uid_map; empty when it has gone. */
export function uidMapOf(pid: number): readonly (readonly [number, number, number])[] {
  const lines = readText(`/proc/${pid}/uid_map`).split('\n');
  return lines.flatMap((line) => {
    const [inside, outside, count] = line.trim().split(/\s+/).map(Number);
    return inside === undefined || outside === undefined || count === undefined
      ? []
      : [[inside, outside, count] as const];
  });
}

export function parentOf(pid: number): number | undefined {
  return statOf(pid)?.parent;
}

/**
 * Whether a process inside another container, whose init is `outerPid` where there is one, is in one of its own. Whoever may
 * make cgroups in there could name one like a container to get away from the outer one's rules: its mounts tell.
 */
export function hasOwnMounts(pid: number, outerPid = process.pid): boolean {
  const namespace = mountNamespaceOf(pid);
  return namespace !== '' && namespace !== mountNamespaceOf(outerPid);
}

export function cgroupTextOf(pid: number): string {
  return readText(`/proc/${pid}/cgroup`);
}

/** Undefined for one that has gone or waits to be reaped: it has no root any more. */
function statOf(pid: number): ProcessStat | undefined {
  const text = readText(`/proc/${pid}/stat`);
  const [state, parent, ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const startTicks = rest[17];
  if (!state || !startTicks || /[ZX]/.test(state)) return undefined;
  return { pid, parent: Number(parent), startTicks };
}

function hasItsRoot(pid: number): boolean {
  const root = rootOf(pid);
  if (root === undefined) return false;
  // The agent may run in a container too: then the machine's root is that of its init, where that may be looked at.
  const isMachines = root === rootOf(process.pid) || root === rootOf(1);
  return !isMachines || runsItsProgram(pid);
}

/** '' when it has gone. */
function mountNamespaceOf(pid: number): string {
  return attempt(() => readlinkSync(`/proc/${pid}/ns/mnt`)) ?? '';
}

function rootOf(pid: number): string | undefined {
  return attempt(() => {
    const { dev, ino } = statSync(`/proc/${pid}/root/`, { bigint: true });
    return `${dev}:${ino}`;
  });
}

const runtimes: ReadonlySet<string> = new Set(['runc', 'crun', 'youki', 'runsc', 'conmon']);

/**
 * Whether a process on the machine's own root is a container that shares it: it has exec'ed its program. Until then a runtime
 * runs as its own file, as one in memory, or as one that has no path (`/`).
 */
function runsItsProgram(pid: number): boolean {
  const exe = attempt(() => readlinkSync(`/proc/${pid}/exe`)) ?? '';
  return exe.length > 1 && !exe.endsWith(' (deleted)') && !runtimes.has(basename(exe));
}

/** '' for what can't be read. */
export function readText(path: string): string {
  return attempt(() => readFileSync(path, 'utf8')) ?? '';
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

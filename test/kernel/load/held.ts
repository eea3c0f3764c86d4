/** What an agent and its guardian hold at this moment: memory, descriptors, marks. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface Held {
  readonly memoryMib: number;
  readonly descriptors: number;
  /** Those that cover something; one that only mutes comes when somebody opens a file beside a covered one. */
  readonly marks: number;
  readonly threads: number;
  readonly guardianMib: number;
  readonly guardianDescriptors: number;
}

export function heldBy(pid: number): Held {
  const guardian = guardianOf(pid);
  return {
    memoryMib: statusOf(pid, 'VmRSS') / 1024,
    threads: statusOf(pid, 'Threads'),
    ...descriptorsOf(pid),
    guardianMib: guardian === undefined ? 0 : statusOf(guardian, 'VmRSS') / 1024,
    guardianDescriptors: guardian === undefined ? 0 : descriptorsOf(guardian).descriptors,
  };
}

/** The process that stands beside an agent; undefined when there is none. */
export function guardianOf(pid: number): number | undefined {
  // Of whichever thread it was that started it.
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    textOf(`/proc/${pid}/task/${task}/children`).split(' '),
  );
  return children
    .filter(Boolean)
    .map(Number)
    .find((child) => textOf(`/proc/${child}/comm`).startsWith('fileward_guard'));
}

function statusOf(pid: number, field: string): number {
  const status = textOf(`/proc/${pid}/status`);
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
}

/** Empty when the process has gone. */
function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function descriptorsOf(pid: number): { descriptors: number; marks: number } {
  let descriptors = 0;
  let marks = 0;
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      // Its connections come and go.
      if (!target.startsWith('socket:')) descriptors += 1;
      if (!target.includes('[fanotify]')) continue;
      const lines = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8').match(
        /^fanotify [a-z]+:.*$/gm,
      );
      marks += (lines ?? []).filter((line) => !/ mask:0 /.test(line)).length;
    } catch {
      // closed meanwhile
    }
  }
  return { descriptors, marks };
}

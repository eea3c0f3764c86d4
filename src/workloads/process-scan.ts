/** Containers by the processes that run now, for where no cgroup tree shows them. */
import { readdirSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { type ContainerCgroup, cgroupOfText, containerOfCgroup } from './cgroup-path.ts';
import { cgroupTextOf } from './container-process.ts';

export interface ScannedContainer {
  readonly place: ContainerCgroup;
  readonly pids: readonly number[];
}

/** So many processes at a time: there may be many thousand. */
const slice = 128;

/** By cgroup. Gives way to others now and then. */
export async function scanProcesses(): Promise<ReadonlyMap<string, ScannedContainer>> {
  const found = new Map<string, { place: ContainerCgroup; pids: number[] }>();
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  for (const [index, pid] of pids.entries()) {
    if (index % slice === slice - 1) await turn();
    const place = containerOfProcess(pid);
    if (place === undefined) continue;
    const known = found.get(place.cgroup);
    if (known) known.pids.push(pid);
    else found.set(place.cgroup, { place, pids: [pid] });
  }
  return found;
}

/** The container in whose cgroup a process is. */
export function containerOfProcess(pid: number): ContainerCgroup | undefined {
  return containerOfCgroup(cgroupOfText(cgroupTextOf(pid)));
}

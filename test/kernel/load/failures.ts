/** What can go wrong with an agent while people open files: the tests and the bench do the same, in other amounts. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { together, type Waits } from './open-load.ts';
import { type LoadSite, type LoadSiteOptions, sleep, until } from './site.ts';

/** How much of it: the bench takes what the issue names, the tests less. */
export interface Amounts {
  readonly seconds: number;
  readonly loopSeconds: number;
  readonly heapMib: number;
  readonly reloads: number;
  readonly atOnce: number;
}

export interface Failure {
  readonly name: string;
  readonly site?: Partial<LoadSiteOptions>;
  readonly measure: (site: LoadSite, amounts: Amounts) => Promise<Waits>;
}

export const failures: readonly Failure[] = [
  {
    name: 'nothing',
    measure: (site, { seconds }) => site.during(() => sleep(seconds * 1000)),
  },
  {
    name: 'a JavaScript loop',
    measure: (site, { loopSeconds }) => site.during(() => site.fault('loop', loopSeconds)),
  },
  {
    name: 'a full heap and its garbage collection',
    measure: (site, { heapMib }) => site.during(() => site.fault('heap', heapMib)),
  },
  { name: 'clock jumps', measure: clockJumps },
  { name: 'reloads', measure: reloads },
  { name: 'a full disk', measure: fullDisk },
  { name: 'a fork bomb', measure: forkBomb },
  { name: 'opens at once', measure: opensAtOnce },
  {
    name: 'standard error stuck, then closed',
    site: { stuck: 'stderr' },
    measure: stuckStderr,
  },
  {
    name: 'standard output stuck, then closed',
    site: { stuck: 'stdout' },
    measure: stuckStdout,
  },
  { name: 'no descriptor left', site: { files: 1024 }, measure: noDescriptorLeft },
];

/** A day ahead, a day back, and to and fro. */
function clockJumps(site: LoadSite, { seconds }: Amounts): Promise<Waits> {
  return site.during(async () => {
    for (const hours of [24, -24, 1, 0]) {
      site.shiftClock(hours * 3600);
      await sleep((seconds * 1000) / 4);
    }
  });
}

function reloads(site: LoadSite, amounts: Amounts): Promise<Waits> {
  return site.during(async () => {
    for (let i = 1; i <= amounts.reloads; i++) {
      const name = `extra-${i % 5}`;
      const extra = { name, path: site.scratch.path(name, '**'), behavior: 'watch' };
      const { event, body } = await site.agent.reconfigure(site.configuration([extra]));
      if (event !== 'fileward.policy.loaded') throw new Error(`reload ${i}: ${body}`);
    }
    await site.agent.reconfigure(site.configuration());
  });
}

async function fullDisk(site: LoadSite, { seconds }: Amounts): Promise<Waits> {
  const filler = path.join(site.state, 'filler');
  const waits = await site.during(async () => {
    execFileSync('sh', ['-c', `dd if=/dev/zero of=${filler} bs=64k 2>/dev/null || true`]);
    await sleep(seconds * 1000);
  });
  rmSync(filler);
  return waits;
}

/** Its processes open the secret too; how long they wait isn't measured, that nobody else waits for them is. */
async function forkBomb(site: LoadSite, { seconds }: Amounts): Promise<Waits> {
  const cgroup = pidsCgroup(`fileward-bomb-${process.pid}`, 256);
  // One that can't fork any more ends; the first goes on.
  const bomb = `b() { read x < ${site.secret}; b | b & }; while :; do (b) & sleep 0.05; done`;
  const script = `echo $$ > ${cgroup}/cgroup.procs; ${bomb}`;
  const first = spawn('setpriv', ['--pdeathsig', 'KILL', 'bash', '-c', script], {
    stdio: 'ignore',
  });
  try {
    return await site.during(() => sleep(seconds * 1000));
  } finally {
    await endAll(cgroup);
    first.kill('SIGKILL');
  }
}

/** A cgroup of ours that holds so many processes at most. */
function pidsCgroup(name: string, most: number): string {
  const parent = existsSync('/sys/fs/cgroup/pids') ? '/sys/fs/cgroup/pids' : '/sys/fs/cgroup';
  const cgroup = path.join(parent, name);
  mkdirSync(cgroup);
  writeFileSync(path.join(cgroup, 'pids.max'), String(most));
  return cgroup;
}

async function endAll(cgroup: string): Promise<void> {
  writeFileSync(path.join(cgroup, 'pids.max'), '0');
  const pids = (): string[] =>
    readFileSync(path.join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
  await until('end of the fork bomb', () => {
    for (const pid of pids()) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // gone
      }
    }
    return pids().length === 0;
  });
  await sleep(50);
  rmdirSync(cgroup);
}

export async function opensAtOnce(site: LoadSite, { atOnce }: Amounts): Promise<Waits> {
  const files = { [site.secret]: 'EPERM' } as const;
  // Else their ways to a CPU would be measured too.
  const load = await site.load({
    threads: atOnce,
    times: 1,
    files,
    entrance: ['chrt', '--rr', '1'],
  });
  load.go();
  return site.counted(await load.end());
}

/** Full from the beginning; then its reader is gone. */
function stuckStderr(site: LoadSite, { seconds }: Amounts): Promise<Waits> {
  return site.during(async () => {
    await site.agent.reconfigure('version: 1\nnot: this\n');
    await site.fault('warnings', 3);
    // Node.js tells them later, from the event loop: is it still there?
    await site.agent.reconfigure(site.configuration());
    await sleep((seconds * 1000) / 2);
    site.closePipe();
    await site.agent.reconfigure(site.configuration());
    await sleep((seconds * 1000) / 2);
  });
}

function stuckStdout(site: LoadSite, { seconds }: Amounts): Promise<Waits> {
  return site.during(async () => {
    await sleep((seconds * 1000) / 2);
    site.closePipe();
    await sleep((seconds * 1000) / 2);
  });
}

/** Its JavaScript thread has taken all that it may have, and 300 wait at once besides. */
async function noDescriptorLeft(site: LoadSite, { seconds }: Amounts): Promise<Waits> {
  const files = { [site.secret]: 'ok', [site.open]: 'ok' } as const;
  const many = await site.load({ threads: 300, times: 20, files, app: site.listed });
  const waits = await site.during(async () => {
    await site.fault('descriptors', 100_000);
    many.go();
    await sleep(seconds * 1000);
    await site.fault('descriptors', 0);
  });
  return together([waits, await many.end()]);
}

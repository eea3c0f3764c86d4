/**
 * What a container may do before its rules are in place: the time from the first instruction of its first program to
 * the first denial, and whether a file that this program wrote before anything else is told of. Goal: 250 ms.
 */
import { copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { whyNoContainers, Podman } from '../containers/podman.ts';
import { Agent } from '../kernel/harness.ts';
import { Scratch } from '../kernel/scratch.ts';
import { median, printTable, program } from './table.ts';

const starts = 30;
const why = whyNoContainers();
if (why !== undefined) throw new Error(why);

const scratch = new Scratch();
const podman = new Podman('bench');

async function makeImage(): Promise<void> {
  const root = mkdtempSync(path.join(podman.base, 'root-'));
  for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'run', 'tmp']) {
    mkdirSync(path.join(root, name));
  }
  copyFileSync(program('first_deny'), path.join(root, 'bin/first_deny'));
  writeFileSync(path.join(root, 'etc/secret'), 'secret\n');
  await podman.image('localhost/bench:1', root);
}

interface Start {
  /** To the first denial; 0: it came before the program. */
  readonly ms: number;
  readonly isFirstWriteTold: boolean;
}

async function startOne(agent: Agent, index: number): Promise<Start> {
  const name = `bench-${index}`;
  await podman.ok(
    ...['run', '--detach', ...podman.runArgs, '--name', name, '--label=app=bench'],
    ...['localhost/bench:1', '/bin/first_deny', '/etc/first', '/etc/secret'],
  );
  const { id } = await podman.container(name);
  let said = '';
  while (said === '') {
    await new Promise((resolve) => setTimeout(resolve, 50));
    said = await podman.ok('logs', name);
  }
  if (said === '-1') throw new Error('a container was never covered');
  await agent.settle();
  const told = agent.matching({ path: '/etc/first', resource: { 'container.id': id } });
  await podman.ok('rm', '--force', '--time', '0', name);
  return { ms: Number(said) / 1000, isFirstWriteTold: told.length > 0 };
}

/** @returns a row of the table. */
async function measure(title: string, container: object): Promise<string[]> {
  const rules = [
    { name: 'secret', path: '/etc/secret', behavior: 'block', operations: ['read'], apps: [] },
    { name: 'first', path: '/etc/first', behavior: 'watch', operations: ['write'] },
  ];
  const group = { name: 'bench', members: { container }, mode: 'protect', rules };
  const env = { CONTAINER_HOST: `unix://${podman.socket}` };
  const agent = await Agent.start(scratch, { groups: [group] }, { env });
  const all: Start[] = [];
  for (let index = 0; index < starts; index++) all.push(await startOne(agent, index));
  await agent.stop();
  const times = all.map(({ ms }) => ms).sort((left, right) => left - right);
  const before = times.filter((ms) => ms === 0).length;
  const told = all.filter(({ isFirstWriteTold }) => isFirstWriteTold).length;
  const p99 = times[Math.ceil(times.length * 0.99) - 1] ?? Number.NaN;
  return [title, median(times).toFixed(1), p99.toFixed(1), `${before}`, `${told}`];
}

await makeImage();
await podman.service();
const rows = [
  await measure('chosen by what its cgroup tells (id)', { id: '*' }),
  await measure('chosen by a label (the runtime is asked)', { labels: { app: 'bench' } }),
];
console.log(`\nfrom a container's first instruction to its rules in place, ms; ${starts} starts`);
printTable([['', 'p50', 'p99', 'in place before', 'first write told'], ...rows]);
await podman.remove();

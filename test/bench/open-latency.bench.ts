/**
 * What an open costs: median and p99 of open+close of one small file, everything in one run on one file system, so that
 * the ratios mean something on any machine. Twice: as the scheduler places opener and listener, which mostly shows what
 * waking an idle CPU costs, and with both on one CPU, which shows the work.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import path from 'node:path';
import { run } from '../kernel/children.ts';
import { Agent } from '../kernel/harness.ts';
import { Scratch } from '../kernel/scratch.ts';
import { median, printTable, program } from './table.ts';

const opensEach = 5_000;
const rounds = 5;
const ruleCounts = [10, 1_000, 10_000];

interface Times {
  readonly median: number;
  readonly p99: number;
}

const scratch = new Scratch('ext4');
const covered = scratch.write('covered/secret');
const writeOnly = scratch.write('write-only/binary');
const sibling = scratch.write('covered/sibling');
const unrelated = scratch.write('unrelated/file');
const app = path.join(scratch.base, 'open_close');
copyFileSync(program('open_close'), app);

async function measure(file: string): Promise<Times> {
  const medians: number[] = [];
  const p99s: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const { stdout, stderr, code } = await run(app, [file, String(opensEach)], {
      timeoutMs: 60_000,
    });
    if (code !== 0) throw new Error(stderr);
    const [middle = 0, p99 = 0] = stdout.split(' ').map(Number);
    medians.push(middle);
    p99s.push(p99);
  }
  return { median: median(medians), p99: median(p99s) };
}

async function measureWithResponder(file: string): Promise<Times> {
  const responder = spawn(program('responder'), [path.dirname(file)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 120_000,
  });
  try {
    await once(responder.stdout, 'data');
    return await measure(file);
  } finally {
    responder.kill();
  }
}

/** A configuration of `count` rules; the two that matter come last, the others cover nothing that exists. */
function configuration(count: number): { groups: readonly unknown[] } {
  const fill = Array.from({ length: count - 2 }, (_, index) => ({
    name: `rule-${index}`,
    path: scratch.path(`absent/${index}/*.conf`),
    behavior: 'block',
    operations: ['read', 'write', 'exec'],
    apps: [app],
  }));
  const rules = [
    ...fill,
    {
      name: 'without-intent',
      path: covered,
      behavior: 'block',
      operations: ['read', 'write', 'exec'],
      apps: [app],
    },
    { name: 'with-intent', path: writeOnly, behavior: 'block', operations: ['write'], apps: [] },
  ];
  return { groups: [{ name: 'bench', members: { host: true }, mode: 'protect', rules }] };
}

async function measureAll(title: string): Promise<void> {
  const base = await measure(covered);
  const bare = await measureWithResponder(covered);
  const rows: [string, Times][] = [
    ['no agent', base],
    ['bare C responder', bare],
  ];
  for (const count of ruleCounts) {
    const agent = await Agent.start(scratch, configuration(count));
    rows.push(
      [`${count} rules: unrelated file`, await measure(unrelated)],
      [`${count} rules: covered sibling`, await measure(sibling)],
      [`${count} rules: covered file, listed app`, await measure(covered)],
      [`${count} rules: the same, intent needed`, await measure(writeOnly)],
    );
    await agent.stop();
  }
  rows.push(['no agent, once more', await measure(covered)]);
  console.log(`\nopen+close on ext4, ${title}; median of ${rounds} rounds of ${opensEach}`);
  printTable([
    ['', 'median ns', 'p99 ns', 'x no agent', 'x bare C'],
    ...rows.map(([name, times]) => [
      name,
      String(times.median),
      String(times.p99),
      (times.median / base.median).toFixed(2),
      (times.median / bare.median).toFixed(2),
    ]),
  ]);
}

await measureAll('where the scheduler puts them');
// Children inherit it: the opener, the responder, the agent with its threads.
execFileSync('taskset', ['--cpu-list', '--pid', '0', String(process.pid)], { stdio: 'ignore' });
await measureAll('all on one CPU');

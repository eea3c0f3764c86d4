/**
 * What `strict: true` costs on ext4: a read(2), a write(2) and an open of a covered file by a listed app, and an open of
 * an uncovered file on a filesystem that is marked as a whole, the first time and later.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { run } from '../kernel/children.ts';
import { Agent } from '../kernel/harness.ts';
import { Scratch } from '../kernel/scratch.ts';
import { median, printTable, program } from './table.ts';

const callsEach = 2_000;
const rounds = 5;

const scratch = new Scratch('ext4');
const covered = scratch.write('covered/secret');
const uncovered = scratch.write('uncovered/file');
const calls = path.join(scratch.base, 'read_write');
const opens = path.join(scratch.base, 'open_close');
copyFileSync(program('read_write'), calls);
copyFileSync(program('open_close'), opens);

/** Files that nobody has opened yet. */
function freshFolder(): string {
  rmSync(scratch.path('fresh'), { recursive: true, force: true });
  const folder = scratch.directory('fresh');
  for (let file = 0; file < callsEach; file++) writeFileSync(path.join(folder, String(file)), '');
  return folder;
}

async function measure(app: string, args: () => readonly string[]): Promise<string[]> {
  const medians: number[] = [];
  const p99s: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const { stdout, stderr, code } = await run(app, args(), { timeoutMs: 60_000 });
    if (code !== 0) throw new Error(`${stderr} ${code}`);
    const [middle = 0, p99 = 0] = stdout.split(' ').map(Number);
    medians.push(middle);
    p99s.push(p99);
  }
  return [String(median(medians)), String(median(p99s))];
}

async function measureEach(): Promise<string[][]> {
  const count = String(callsEach);
  return [
    await measure(calls, () => ['read', covered, count]),
    await measure(calls, () => ['write', covered, count]),
    await measure(opens, () => [covered, count]),
    await measure(calls, () => ['files', freshFolder(), count]),
    await measure(opens, () => [uncovered, count]),
  ];
}

async function measureWith(strict: boolean): Promise<string[][]> {
  const rule = {
    name: 'covered',
    path: `${scratch.path('covered')}/**`,
    behavior: 'block',
    operations: ['read', 'write'],
    apps: [calls, opens],
    changes: 'quiet',
    strict,
  };
  const groups = [{ name: 'bench', members: { host: true }, mode: 'protect', rules: [rule] }];
  const agent = await Agent.start(scratch, { groups });
  const times = await measureEach();
  await agent.stop();
  return times;
}

async function measureAll(title: string): Promise<void> {
  const columns = [await measureEach(), await measureWith(false), await measureWith(true)];
  const names = [
    'read(2) of a covered file',
    'write(2) to a covered file',
    'open of a covered file',
    'first open of an uncovered file',
    'later open of it',
  ];
  console.log(`\none call on ext4, ${title}; median and p99 ns, ${rounds} rounds of ${callsEach}`);
  printTable([
    ['', 'no agent', 'p99', 'agent', 'p99', 'strict', 'p99'],
    ...names.map((name, row) => [name, ...columns.flatMap((times) => times[row] ?? [])]),
  ]);
}

await measureAll('where the scheduler puts them');
execFileSync('taskset', ['--cpu-list', '--pid', '0', String(process.pid)], { stdio: 'ignore' });
await measureAll('all on one CPU');
scratch.remove();

/** What `fileward check` of a large configuration takes: time and memory, against one of ten rules. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { commandLine } from '../kernel/harness.ts';
import { Scratch } from '../kernel/scratch.ts';
import { printTable, program } from './table.ts';

interface Cost {
  readonly milliseconds: number;
  readonly kibibytes: number;
}

const scratch = new Scratch();
const measuredRun = program('measured_run');

function configurationFile(count: number): string {
  const rules = Array.from({ length: count }, (_, index) => ({
    name: `rule-${index}`,
    path: [`/srv/app-${index % 100}/{conf,keys}/${index}/**`, `/etc/app-${index}/*.key`],
    behavior: 'block',
    operations: ['read', 'write'],
    apps: ['/usr/bin/cat', { exe: `/usr/lib/app-${index % 100}/bin/*`, operations: ['read'] }],
  }));
  const groups = [{ name: 'bench', members: { host: true }, mode: 'monitor', rules }];
  const file = path.join(scratch.base, `check-${count}.yaml`);
  writeFileSync(file, JSON.stringify({ version: 1, groups }, null, 2));
  return file;
}

async function cost(count: number, ...options: readonly string[]): Promise<Cost> {
  const [node, args] = commandLine(['check', '-c', configurationFile(count), ...options]);
  const child = spawn(measuredRun, [node, ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    timeout: 120_000,
    killSignal: 'SIGKILL',
  });
  const [measured, stderr] = await Promise.all([
    text(child.stdio[3] as Readable),
    text(child.stderr as Readable),
  ]);
  const [milliseconds = 0, kibibytes = 0, status = -1] = measured.split(' ').map(Number);
  if (status !== 0) throw new Error(`check ended with ${status}: ${stderr.slice(-2000)}`);
  return { milliseconds, kibibytes };
}

const rows = [['', 'seconds', 'peak MiB', 'x time', 'x memory']];
let base: Cost | undefined;
for (const [name, count, options] of [
  ['10 rules', 10, []],
  ['1000 rules', 1_000, []],
  ['10000 rules', 10_000, []],
  ['10000 rules, --offline', 10_000, ['--offline']],
] as const) {
  const measured = await cost(count, ...options);
  base ??= measured;
  rows.push([
    name,
    (measured.milliseconds / 1000).toFixed(2),
    (measured.kibibytes / 1024).toFixed(0),
    (measured.milliseconds / base.milliseconds).toFixed(1),
    (measured.kibibytes / base.kibibytes).toFixed(1),
  ]);
}
console.log('fileward check');
printTable(rows);

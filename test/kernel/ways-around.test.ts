/**
 * Each row of the table in docs/enforcement.md, "Ways around": gone on the real kernel, as root and as uid 65534, on a
 * file that a rule protects and on one whose rule is `strict`. The table is the expectation: a row without a test, a test
 * without a row or another verdict fails.
 */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { copyHelper } from './children.ts';
import { Agent, type RecordLine } from './harness.ts';
import { Scratch } from './scratch.ts';
import { type Way, ways } from './ways.ts';

const users = { root: 0, 'uid 65534': 65534 } as const;
const kinds = ['plain', 'strict'] as const;
const atOnce = 8;

type User = keyof typeof users;
type Kind = (typeof kinds)[number];

interface Trial {
  readonly way: Way;
  readonly user: User;
  readonly kind: Kind;
  /** A part of the path of all that belongs to it. */
  readonly id: string;
  readonly child: { process?: ChildProcessWithoutNullStreams; said: string };
}

const scratches = { plain: new Scratch('ext4'), strict: new Scratch('ext4') };
const program = (kind: Kind, name: string) => path.join(scratches[kind].base, name);
const trials = ways.flatMap((way, index) =>
  kinds.flatMap((kind) =>
    (Object.keys(users) as User[]).map(
      (user): Trial => ({
        way,
        user,
        kind,
        id: `way${index}.${way.name}.${users[user]}.${kind}`,
        child: { said: '' },
      }),
    ),
  ),
);
let agent: Agent;

function rules(kind: Kind) {
  const scratch = scratches[kind];
  const strict = kind === 'strict';
  const listed = [program(kind, 'listed'), program(kind, 'listed-dynamic')];
  const own = `${scratch.path('apps')}/*/app`;
  const rule = (name: string, operations: readonly string[], apps: readonly unknown[]) => ({
    name: `${name}-${kind}`,
    path: `${scratch.path(name)}/**`,
    behavior: 'block',
    operations,
    apps,
    strict,
  });
  return [
    rule('all', ['read', 'write', 'exec'], [...listed, own]),
    rule('writes', ['write'], []),
    rule('executes', ['exec'], []),
    { ...rule('overlay', ['read', 'write'], listed), path: `${merged(kind)}/**` },
    rule(
      'root-app',
      ['read', 'write', 'exec'],
      listed.map((exe) => ({ exe, user: 'root' })),
    ),
  ];
}

/** Where the layers of the overlay are, on a tmpfs of their own. */
const layers = (kind: Kind, name = '') => scratches[kind].path('layers', name);
const merged = (kind: Kind) => scratches[kind].path('merged');

/** `folder` and `outside` are made; `file` is what is protected. */
function placesOf({ way, kind, id }: Trial) {
  if (way.layer !== undefined) {
    const outside = path.join(layers(kind, way.layer), id);
    const file = path.join(merged(kind), id, 'folder', id);
    return { folder: path.join(outside, 'folder'), file, outside };
  }
  const folder = scratches[kind].path(way.rule ?? 'all', id, 'folder');
  const outside = scratches[kind].path(/apps-file/.test(way.name) ? 'apps' : 'outside', id);
  return { folder, file: path.join(folder, way.file ?? id), outside };
}

/** Everything of the trial belongs to who goes it, so that nothing but fileward stands in the way. */
function place(trial: Trial): void {
  const { user, kind } = trial;
  const { folder, outside } = placesOf(trial);
  const file = path.join(folder, trial.way.file ?? trial.id);
  for (const name of [folder, outside]) mkdirSync(name, { recursive: true });
  copyFileSync('/bin/true', file);
  writeFileSync(path.join(outside, 'other'), 'other\n');
  copyFileSync(program(kind, 'preload.so'), path.join(outside, 'preload.so'));
  copyFileSync('/bin/true', path.join(outside, 'app'));
  const inOutside = ['other', 'app'].map((name) => path.join(outside, name));
  for (const name of [path.dirname(folder), folder, file, outside, ...inOutside]) {
    chownSync(name, users[user], users[user]);
    chmodSync(name, 0o755);
  }
}

/** Starts its process and waits until it is prepared, or has said why it can't be. */
async function prepare(trial: Trial): Promise<void> {
  const { way, user, kind, child } = trial;
  const { file, outside } = placesOf(trial);
  const app = program(kind, 'listed');
  const args = [program(kind, way.helper), way.name, file, outside, app];
  const id = String(users[user]);
  const as = ['--reuid', id, '--regid', id, '--clear-groups', '--pdeathsig', 'KILL'];
  const started = spawn('setpriv', [...as, 'timeout', '-s', 'KILL', '150', ...args], { cwd: '/' });
  child.process = started;
  started.stderr.setEncoding('utf8').on('data', (text: string) => (child.said += text));
  await new Promise<void>((resolve) => {
    started.stdout.setEncoding('utf8').on('data', (text: string) => {
      child.said += text;
      resolve();
    });
    started.on('exit', () => resolve());
  });
}

async function go(trial: Trial): Promise<void> {
  if (trial.child.process === undefined) await prepare(trial);
  const { process } = trial.child;
  if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
  await new Promise<void>((resolve) => {
    process.on('exit', () => resolve());
    process.stdin.on('error', () => {}); // it could not prepare itself
    process.stdin.end('go\n');
  });
}

async function goAll(some: readonly Trial[], together: number): Promise<void> {
  const waiting = [...some];
  const lanes = Array.from({ length: together }, async () => {
    for (let trial = waiting.shift(); trial !== undefined; trial = waiting.shift()) await go(trial);
  });
  await Promise.all(lanes);
}

before(async () => {
  for (const kind of kinds) {
    for (const name of ['way_names', 'way_descriptors', 'way_mounts', 'way_processes']) {
      copyHelper(name, program(kind, name));
    }
    copyHelper('way_listed', program(kind, 'listed'));
    copyFileSync('/bin/true', program(kind, 'listed-dynamic'));
    const source = path.join(import.meta.dirname, 'helpers/way_preload.c');
    execFileSync('gcc', ['-shared', '-fPIC', '-o', program(kind, 'preload.so'), source]);
    for (const folder of [layers(kind), merged(kind)]) mkdirSync(folder);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'fileward-test', layers(kind)]);
    for (const name of ['upper', 'lower', 'work']) mkdirSync(layers(kind, name));
    for (const folder of ['all', 'writes', 'executes', 'root-app', 'outside', 'apps'])
      scratches[kind].directory(folder);
  }
  for (const trial of trials) place(trial);
  for (const kind of kinds) {
    const [lower, upper, work] = ['lower', 'upper', 'work'].map((name) => layers(kind, name));
    const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    execFileSync('mount', ['-t', 'overlay', '-o', options, 'fileward-test', merged(kind)]);
  }
  await Promise.all(trials.filter(({ way }) => way.before === true).map(prepare));
  agent = await Agent.start(scratches.plain, {
    groups: [
      {
        name: 'host',
        members: { host: true },
        mode: 'protect',
        rules: [...rules('plain'), ...rules('strict')],
      },
    ],
  });
  await goAll(
    trials.filter(({ way }) => way.alone !== true),
    atOnce,
  );
  await goAll(
    trials.filter(({ way }) => way.alone === true),
    1,
  );
  await agent.settle();
  await agent.stop();
});
after(async () => {
  await agent?.stop();
  for (const kind of kinds) scratches[kind].remove();
});

/** Records about anything of the trial; in mounts of its own a path may be no more than its file's name. */
function recordsOf({ id }: Trial): RecordLine[] {
  const named = ['file.path', 'fileward.file.new_path', 'fileward.file.protected_path'];
  return agent.records.filter(
    ({ event, attributes }) =>
      event.startsWith('fileward.file.') &&
      named.some((name) => String(attributes[name]).split('/').includes(id)),
  );
}

/** What became of it, in the words of the table. */
function verdictOf(trial: Trial): string[] {
  const words = new Set<string>();
  const operations = (wanted: string) =>
    recordsOf(trial)
      .filter(({ event }) => event === wanted)
      .map(({ attributes }) => {
        const unknown = attributes['process.executable.path'] === undefined ? ', by whom not' : '';
        return `${attributes['fileward.operation']}${unknown}`;
      });
  if (operations('fileward.file.denied').length > 0) words.add('denied');
  const violated = operations('fileward.file.violated');
  for (const each of violated) words.add(`detected: ${each}`);
  // Every violation is a modification besides: here it is one that the rule allows.
  if (violated.length === 0) {
    for (const each of operations('fileward.file.modified')) words.add(`modified: ${each}`);
  }
  const result = trial.child.said.trim().split('\n').at(-1);
  const error = /^E[A-Z]+$/.test(result ?? '');
  if (words.size === 0) words.add(result === 'ok' ? 'neither' : error ? 'refused' : 'unfinished');
  return [...words].sort();
}

/** Rows of the tables below "Ways around": their first cell, and the others by the heading above them. */
function readTable(): Map<string, Map<string, string>> {
  const text = readFileSync(path.join(import.meta.dirname, '../../docs/enforcement.md'), 'utf8');
  const section = /^## Ways around$([\s\S]*?)^## /m.exec(text)?.[1] ?? '';
  const rows = new Map<string, Map<string, string>>();
  let heads: string[] = [];
  for (const line of section.split('\n')) {
    if (!line.startsWith('|')) continue;
    const cells = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    const [first = '', ...others] = cells;
    if (/^-+$/.test(first)) continue;
    if (others.includes('root')) heads = others;
    else {
      assert.ok(!rows.has(first), `two rows: ${first}`);
      rows.set(first, new Map(heads.map((head, at) => [head, others[at] ?? ''])));
    }
  }
  return rows;
}

describe('each way around, in the table of docs/enforcement.md', () => {
  const table = readTable();

  it('has a row for each test and a test for each row', () => {
    assert.deepEqual([...table.keys()].sort(), ways.map(({ row }) => row).sort());
  });

  for (const trial of trials) {
    const { way, user, kind } = trial;
    const head = kind === 'plain' ? user : `${user}, strict`;
    it(`${way.row}: ${head}`, () => {
      const cell = table.get(way.row)?.get(head) ?? 'no such row';
      // Of a writer that ended before it was looked for, a write counts as a truncate(2): so on a busy machine.
      const asWrite = (word: string) =>
        cell.includes('truncate') ? word : word.replace('truncate', 'write');
      const found = [...new Set(verdictOf(trial).map(asWrite))].sort();
      if (process.env['WAYS_PRINT'] !== undefined) {
        console.log(
          [
            '@@',
            way.row,
            head,
            found.join(' and '),
            trial.child.said.trim().replaceAll('\n', ' '),
          ].join(' @@ '),
        );
      }
      // `or`: who is quicker decides.
      const wanted = cell.split(/ and | or /).sort();
      const expected = cell.includes(' or ')
        ? wanted.filter((word) => found.includes(word))
        : wanted;
      const told = recordsOf(trial).map(({ body, attributes }) => ({ body, attributes }));
      assert.deepEqual(found, expected, `${trial.child.said}\n${JSON.stringify(told, null, 1)}`);
    });
  }
});

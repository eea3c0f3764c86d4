/**
 * What becomes of each operation on a file that a rule protects, on the kernel that runs and without the features that
 * FILEWARD_WITHOUT takes away: by a real agent, from what the process was answered and what the records say.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  openSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { helper, openInChild, run } from '../kernel/children.ts';
import { Agent, type RecordLine } from '../kernel/harness.ts';
import { Scratch } from '../kernel/scratch.ts';

export interface Survey {
  /** By operation: `denied`, `detected` or `neither`, and what is missing from the record. */
  readonly outcomes: Readonly<Record<string, string>>;
  /** What the agent said of itself. */
  readonly told: readonly string[];
}

interface Operation {
  readonly name: string;
  /** @returns the name that the rule knows the file by */
  readonly act: (place: Place) => Promise<string>;
  /** What the record must say, where one can tell it from others about the file. */
  readonly operation: string;
}

interface Place {
  /** The folder that the rule covers. */
  readonly secret: string;
  /** In it. */
  readonly file: (name: string) => string;
  /** Another folder, on the same file system. */
  readonly outside: string;
  readonly held: number;
}

/** Where nothing else tells of a change, looking again takes this long at most. */
const lookAgainMs = 1000;

const names = ['read', 'write', 'exec', 'linked', 'renamed', 'victim', 'deleted', 'mode', 'cut'];
names.push('link-after', 'held', 'bound', 'ring', 'moved');

const change = (...args: string[]) => run(helper('change'), args);

const operations: readonly Operation[] = [
  {
    name: 'open to read',
    operation: 'read',
    act: async ({ file }) => {
      await openInChild(file('read'), 'O_RDONLY');
      return file('read');
    },
  },
  {
    name: 'open to write',
    operation: 'write',
    act: async ({ file }) => {
      await openInChild(file('write'), 'O_WRONLY|O_TRUNC', { write: 'x' });
      return file('write');
    },
  },
  {
    name: 'open by io_uring',
    operation: 'write',
    act: async ({ file }) => {
      await openInChild(file('ring'), 'O_RDONLY', { call: 'io_uring' });
      return file('ring');
    },
  },
  {
    name: 'exec',
    operation: 'exec',
    act: async ({ file }) => {
      await run('/bin/sh', ['-c', '"$0" 0.3; :', file('exec')]);
      return file('exec');
    },
  },
  {
    name: 'create a name',
    operation: 'write',
    act: async ({ file }) => {
      await change('create', file('new'));
      return file('new');
    },
  },
  {
    name: 'open by a hard link from before',
    operation: 'read',
    act: async ({ outside }) => {
      await openInChild(`${outside}/linked`, 'O_RDONLY');
      return `${outside}/linked`;
    },
  },
  {
    name: 'open by a hard link from after',
    operation: 'read',
    act: async ({ file, outside }) => {
      await change('link', file('link-after'), `${outside}/link-after`);
      await openInChild(`${outside}/link-after`, 'O_RDONLY');
      return `${outside}/link-after`;
    },
  },
  {
    name: 'open through a bind mount',
    operation: 'read',
    act: async ({ secret, outside, file }) => {
      const script = 'mount --bind "$0" "$1" && "$2" openat O_RDONLY "$1/bound"; :';
      const args = [secret, `${outside}/mount`, helper('opener')];
      await run('unshare', ['--mount', 'sh', '-c', script, ...args]);
      return file('bound');
    },
  },
  {
    name: 'open in a folder made since',
    operation: 'read',
    act: async ({ file, outside }) => {
      await change('mkdir', file('folder'));
      const inside = file('folder/file');
      await change('rename', `${outside}/inside`, inside);
      await setTimeout(lookAgainMs);
      await openInChild(inside, 'O_RDONLY');
      return inside;
    },
  },
  {
    name: 'rename',
    operation: 'rename',
    act: async ({ file, outside }) => {
      await change('rename', file('renamed'), `${outside}/renamed`);
      return file('renamed');
    },
  },
  {
    name: 'open where it was moved to',
    operation: 'read',
    act: async ({ file, outside }) => {
      await change('rename', file('moved'), `${outside}/moved`);
      await setTimeout(lookAgainMs);
      await openInChild(`${outside}/moved`, 'O_RDONLY');
      return `${outside}/moved`;
    },
  },
  {
    name: 'rename over',
    operation: 'rename',
    act: async ({ outside, file }) => {
      await change('rename', `${outside}/other`, file('victim'));
      return file('victim');
    },
  },
  {
    name: 'delete',
    operation: 'delete',
    act: async ({ file }) => {
      await change('delete', file('deleted'));
      return file('deleted');
    },
  },
  {
    name: 'chmod',
    operation: 'attributes',
    act: async ({ file }) => {
      await change('chmod', file('mode'), '600');
      return file('mode');
    },
  },
  {
    name: 'truncate(2)',
    operation: 'write',
    act: async ({ file }) => {
      await change('truncate', file('cut'), '1');
      return file('cut');
    },
  },
  {
    name: 'write by a descriptor from before',
    operation: 'write',
    act: async ({ file, held }) => {
      writeSync(held, 'more');
      return file('held');
    },
  },
];

export interface Conditions {
  readonly on?: 'tmpfs' | 'ext4' | 'overlay';
  /** Features of the kernel to do without. */
  readonly without?: readonly string[];
}

/** One agent's life: about two seconds on an idle machine. */
export async function survey({ on = 'tmpfs', without = [] }: Conditions = {}): Promise<Survey> {
  const scratch = new Scratch(on === 'ext4' ? 'ext4' : 'tmpfs');
  try {
    const place = furnish(on === 'overlay' ? overlayIn(scratch) : scratch.files);
    const rule = { name: 'secret', path: `${place.secret}/**`, behavior: 'block', apps: [] };
    const group = { name: 'host', members: { host: true }, mode: 'protect' };
    const agent = await Agent.start(
      scratch,
      { groups: [{ ...group, rules: [{ ...rule, operations: ['read', 'write', 'exec'] }] }] },
      { env: { FILEWARD_WITHOUT: without.join(',') } },
    );
    const paths = await Promise.all(operations.map(({ act }) => act(place)));
    await setTimeout(lookAgainMs);
    await agent.stop(); // tells what it has
    const outcomes = operations.map(({ name, operation }, index) => {
      return [name, outcomeOf(agent, paths[index] ?? '', operation)] as const;
    });
    return { outcomes: Object.fromEntries(outcomes), told: toldOf(agent, scratch.base) };
  } finally {
    scratch.remove();
  }
}

function overlayIn(scratch: Scratch): string {
  const [lower, upper, work] = ['lower', 'upper', 'work'].map((name) => scratch.directory(name));
  const merged = scratch.directory('merged');
  const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  execFileSync('mount', ['-t', 'overlay', '-o', layers, 'fileward-test', merged]);
  return merged;
}

function furnish(folder: string): Place {
  const secret = path.join(folder, 'secret');
  const outside = path.join(folder, 'elsewhere');
  const file = (name: string): string => path.join(secret, name);
  mkdirSync(secret);
  mkdirSync(`${outside}/mount`, { recursive: true });
  for (const name of names) writeFileSync(file(name), `${name}\n`);
  for (const name of ['other', 'inside']) writeFileSync(path.join(outside, name), `${name}\n`);
  copyFileSync('/bin/sleep', file('exec'));
  chmodSync(file('exec'), 0o755);
  linkSync(file('linked'), `${outside}/linked`);
  return { secret, file, outside, held: openSync(file('held'), 'a') };
}

function outcomeOf(agent: Agent, file: string, operation: string): string {
  const all = agent.records.filter(
    ({ event, attributes }) =>
      event.startsWith('fileward.file.') &&
      (attributes['file.path'] === file ||
        (operation === 'read' && attributes['fileward.file.protected_path'] === file)),
  );
  if (all.some(({ event }) => event === 'fileward.file.denied')) return 'denied';
  if (all.length === 0) return 'neither';
  const meant = all.filter(({ attributes }) =>
    isThat(String(attributes['fileward.operation']), operation),
  );
  const lacking = meant.length === 0 ? [`as ${operationsOf(all)}`] : [];
  const told = meant.length === 0 ? all : meant;
  if (!told.some(({ attributes }) => 'process.executable.path' in attributes)) {
    const reason = told[0]?.attributes['fileward.reason'] ?? 'no reason';
    lacking.push(`without the process (${reason})`);
  }
  return ['detected', ...lacking].join(', ');
}

/** A write that was never closed is told as `truncate`. */
function isThat(told: string, meant: string): boolean {
  const content = ['write', 'truncate'];
  return told === meant || (content.includes(told) && content.includes(meant));
}

function operationsOf(records: readonly RecordLine[]): string {
  const found = records.map(({ attributes }) => String(attributes['fileward.operation']));
  return [...new Set(found)].sort().join(' and ');
}

/** Degradations and losses, without the folder's own name. */
function toldOf(agent: Agent, base: string): string[] {
  const told = agent.records
    .filter(({ event }) => /\.(degraded|lost)$/.test(event))
    .map(({ event, body }) => `${event.replace('fileward.', '')}: ${body.replaceAll(base, '')}`);
  return [...new Set(told)].sort();
}

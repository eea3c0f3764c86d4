/** `strict: true`: who reads and writes is asked for each call, and directories that are new have no gap. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type ChildResult, helper, openInChild, run } from './children.ts';
import { Agent, commandLine } from './harness.ts';
import { copyPerl, perl } from './perl.ts';
import { Scratch } from './scratch.ts';
import { told } from './told.ts';

const scratch = new Scratch('ext4');
const listedPerl = path.join(scratch.base, 'listed-perl');
const listedShell = path.join(scratch.base, 'listed-sh');
let agent: Agent;
let other: string;
const filesEach = 40;
const taken = new Map<string, number>();

const host = { members: { host: true }, mode: 'protect' } as const;
const strict = { behavior: 'block', strict: true } as const;

function configuration() {
  const rule = (operation: 'read' | 'write' | 'exec') => ({
    ...strict,
    name: operation,
    path: scratch.path(operation, '*'),
    operations: operation === 'exec' ? ['read', 'exec'] : [operation],
    apps: [listedPerl, listedShell],
  });
  const onlyExec = {
    ...strict,
    name: 'only-exec',
    path: scratch.path('only-exec', '*'),
    operations: ['exec'],
    apps: [],
  };
  return {
    groups: [
      { ...host, name: 'strict', rules: [rule('read'), rule('write'), rule('exec'), onlyExec] },
      {
        ...host,
        name: 'beside',
        rules: [
          {
            name: 'plain',
            path: scratch.path('write', 'plain-*'),
            behavior: 'block',
            operations: ['read'],
            apps: [listedPerl],
          },
        ],
      },
      {
        ...host,
        name: 'watching',
        mode: 'monitor',
        rules: [
          {
            ...strict,
            name: 'monitored',
            path: scratch.path('monitor', '*'),
            operations: ['read', 'write'],
            apps: [listedPerl],
          },
        ],
      },
      {
        ...host,
        name: 'trees',
        rules: [
          {
            ...strict,
            name: 'tree',
            path: [`${scratch.path('tree')}/**/secret`, scratch.path('later', 'on', 'secret')],
            operations: ['read'],
            apps: [],
          },
        ],
      },
    ],
  };
}

before(async () => {
  copyPerl(listedPerl);
  copyFileSync('/bin/sh', listedShell);
  other = scratch.write('other', 'something else\n');
  scratch.directory('tree');
  makeFiles();
  agent = await Agent.start(scratch, configuration());
});
after(async () => {
  await agent?.stop();
  scratch.remove();
});

/** Files of their own for each use; made before the agent runs, which lets nobody else write there. */
function makeFiles(): void {
  for (const folder of ['read', 'write', 'monitor']) {
    for (let file = 0; file < filesEach; file++) {
      for (const name of ['file', 'plain']) {
        scratch.write(path.join(folder, `${name}-${file}`), 'content\n');
      }
    }
  }
  for (const folder of ['exec', 'only-exec']) {
    for (let file = 0; file < filesEach; file++) {
      copyFileSync('/bin/sleep', path.join(scratch.directory(folder), `file-${file}`));
    }
  }
}

function take(folder: string, name = 'file'): string {
  const number = taken.get(folder) ?? 0;
  assert.ok(number < filesEach, 'not enough files');
  taken.set(folder, number + 1);
  return scratch.path(folder, `${name}-${number}`);
}

/** An app opens the file to read and write and execs another program, which has the descriptor then. */
function passOn(
  file: string,
  command: (fd: string) => readonly string[],
  opener = listedPerl,
): Promise<ChildResult> {
  const code =
    '$^F = 100; open(my $f, "+<", shift) or die "open: $!"; exec map { $_ eq "FD" ? fileno($f) : $_ } @ARGV; die';
  return run(opener, ['-e', code, file, ...command('FD')]);
}

async function access(call: string, file: string, ...more: readonly string[]): Promise<string> {
  const { stdout, stderr } = await passOn(file, (fd) => [
    helper('access'),
    call,
    fd,
    other,
    ...more,
  ]);
  assert.notEqual(stdout, '', stderr);
  return stdout.trim();
}

const calls: Readonly<Record<string, readonly ('read' | 'write')[]>> = {
  read: ['read'],
  pread: ['read'],
  readv: ['read'],
  preadv: ['read'],
  preadv2: ['read'],
  write: ['write'],
  pwrite: ['write'],
  writev: ['write'],
  pwritev: ['write'],
  pwritev2: ['write'],
  ftruncate: ['write'],
  fallocate: ['write'],
  'map private': ['read'],
  'map shared': ['read', 'write'],
  'map shared to read': ['read', 'write'],
  'copy_file_range from': ['read'],
  'copy_file_range to': ['write'],
  'sendfile from': ['read'],
  'sendfile to': ['write'],
  'splice from': ['read'],
  'splice to': ['write'],
  'io_submit to read': ['read', 'write'],
  '32-bit read': ['read', 'write'],
};
const unproven = ['map shared to read', 'io_submit to read', '32-bit read'];

describe('through a descriptor that a listed app opened and passed on', () => {
  for (const [call, is] of Object.entries(calls)) {
    it(`${call} is ${is.join(' and ')}`, async () => {
      for (const operation of ['read', 'write'] as const) {
        const denied = is.includes(operation);
        const file = take(operation);
        assert.equal(await access(call, file), denied ? 'EPERM' : 'ok', operation);
        await agent.settle();
        const reason = unproven.includes(call) ? 'intent_unproven' : 'app_not_listed';
        const denials = told(agent, file).filter((line) => line.startsWith('denied'));
        assert.deepEqual(denials, denied ? [`denied ${operation} ${reason} 13`] : []);
        if (operation === 'write' && denied) {
          assert.equal(readFileSync(file, 'utf8'), 'content\n');
        }
      }
    });
  }

  it('copying from it is a write where another thread could have swapped the descriptors', async () => {
    const file = take('write');
    assert.equal(await access('copy_file_range from', file, '--threaded'), 'EPERM');
    await agent.settle();
    const denials = told(agent, file).filter((line) => line.startsWith('denied'));
    assert.deepEqual(denials, ['denied write intent_unproven 13']);
  });

  it('reading is a read all the same', async () => {
    assert.equal(await access('read', take('write'), '--threaded'), 'ok');
  });
});

it('truncate(2) by path is denied before it happens, and told once', async () => {
  const file = take('write');
  const { code } = await perl('truncate($ARGV[0], 2)', [file]);
  assert.equal(code, 1);
  assert.equal(statSync(file).size, 8);
  await agent.settle();
  assert.deepEqual(told(agent, file), ['denied write app_not_listed 13']);
});

it('what a listed app does stays quiet, however often it reads and writes', async () => {
  const file = take('read');
  const code =
    'open(my $f, "+<", $ARGV[0]) or exit 1; for (1 .. 1000) { seek($f, 0, 0); sysread($f, my $b, 1) or exit 1 } 1';
  assert.equal((await perl(code, [file], { program: listedPerl })).code, 0);
  await agent.settle();
  assert.deepEqual(told(agent, file), []);
});

it('a rule beside it that is not strict judges no reads', async () => {
  const file = take('write', 'plain');
  assert.equal(await openInChild(file, 'O_RDONLY'), 'EPERM');
  assert.equal(await access('read', file), 'ok');
});

describe('in monitor', () => {
  const violations = (file: string) =>
    agent
      .matching({ event: 'fileward.file.violated', path: file })
      .map(({ attributes }) => [
        attributes['process.executable.name'],
        attributes['fileward.operation'],
        attributes['fileward.count'],
      ]);

  it('an open and the thousand reads that follow are one violation', async () => {
    const file = take('monitor');
    const code =
      'open(my $f, "<", $ARGV[0]) or exit 1; for (1 .. 1000) { sysseek($f, 0, 0); sysread($f, my $b, 1) or exit 1 } 1';
    assert.equal((await perl(code, [file])).code, 0);
    await agent.settle();
    assert.deepEqual(violations(file), [['perl', 'read', 1]]);
  });

  it('a write through a descriptor of others is one, with the change it makes', async () => {
    const file = take('monitor');
    assert.equal(await access('write', file), 'ok');
    await agent.settle();
    assert.deepEqual(violations(file), [['access', 'write', 1]]);
    const change = await agent.record({ event: 'fileward.file.modified', path: file });
    assert.equal(change.attributes['process.executable.name'], 'access');
    assert.notEqual(change.attributes['fileward.reason'], 'descriptor_not_judged');
    // It was hashed, and whoever did that is not told.
    assert.match(String(change.attributes['fileward.file.sha256']), /^[0-9a-f]{64}$/);
  });
});

describe('a program under a strict rule', () => {
  it('maps itself when a listed app runs it', async () => {
    const { code, signal } = await run(listedShell, ['-c', '"$0" 0.1', take('exec')]);
    assert.deepEqual([code, signal], [0, null]);
  });

  it('is not run by the dynamic loader for another app, though that may read it', async () => {
    const file = take('only-exec');
    const { stdout } = await run('readlink', ['-f', '/lib64/ld-linux-x86-64.so.2']);
    const { code, stderr } = await run(stdout.trim(), [file, '0.1']);
    assert.notEqual(code, 0);
    assert.match(stderr, /failed to map segment/);
    assert.equal(await openInChild(file, 'O_RDONLY'), 'ok');
    await agent.settle();
    assert.deepEqual(told(agent, file), ['denied exec app_not_listed 13']);
  });

  it('is not run by another app', async () => {
    const { code } = await run('/bin/sh', ['-c', '"$0" 0.1', take('exec')]);
    assert.equal(code, 126);
  });
});

describe('a directory that is new', () => {
  it('has no gap: 300 made, filled and opened at once', async () => {
    const code = `
      my $open = 0;
      for my $i (1 .. 300) {
        my $folder = "$ARGV[0]/a$i";
        mkdir($folder) and mkdir("$folder/b") or die;
        open(my $w, ">", "$folder/b/secret") or die; print $w "x"; close($w);
        $open++ if open(my $r, "<", "$folder/b/secret");
      }
      print $open;`;
    const { stdout } = await run('/usr/bin/perl', ['-e', code, scratch.path('tree')]);
    assert.equal(stdout, '0');
  });

  it('has none either where nothing of the way to the file was there', async () => {
    const code = `
      mkdir("$ARGV[0]/later") and mkdir("$ARGV[0]/later/on") or die;
      open(my $w, ">", "$ARGV[0]/later/on/secret") or die; print $w "x"; close($w);
      print open(my $r, "<", "$ARGV[0]/later/on/secret") ? "open" : "denied";`;
    const { stdout } = await run('/usr/bin/perl', ['-e', code, scratch.files]);
    assert.equal(stdout, 'denied');
  });

  it('is judged when it is moved in, though its files were muted where they were', async () => {
    const file = scratch.write('outside/secret');
    await delay(2500); // what has just been made is not muted
    for (let times = 0; times < 3; times++) assert.equal(await openInChild(file, 'O_RDONLY'), 'ok');
    execFileSync('mv', [scratch.path('outside'), scratch.path('tree', 'outside')]);
    const moved = scratch.path('tree', 'outside', 'secret');
    await until(async () => (await openInChild(moved, 'O_RDONLY')) === 'EPERM', 'denied');
  });
});

it('a file that was made elsewhere on the filesystem and is renamed onto a covered name has no gap', async () => {
  const code = `
    my $open = 0;
    for my $i (1 .. 100) {
      open(my $w, ">", "$ARGV[0]/new$i") or die; print $w "x"; close($w);
      open(my $again, "<", "$ARGV[0]/new$i") or die; close($again);
      rename("$ARGV[0]/new$i", "$ARGV[0]/tree/secret") or die;
      $open++ if open(my $r, "<", "$ARGV[0]/tree/secret");
    }
    print $open;`;
  const { stdout, stderr } = await run('/usr/bin/perl', ['-e', code, scratch.files]);
  assert.equal(stdout, '0', stderr);
});

async function until(look: () => Promise<boolean> | boolean, what: string): Promise<void> {
  for (let times = 0; !(await look()); times++) {
    assert.ok(times < 200, `not ${what}`);
    await delay(50);
  }
}

/** Marks on whole filesystems, and marks that ask for reads and writes, in the kernel's own words. */
function marksOf(pid: number): { filesystems: number; accesses: number } {
  const marks = { filesystems: 0, accesses: 0 };
  for (const fd of readdirSync(`/proc/${pid}/fdinfo`)) {
    for (const line of readLines(`/proc/${pid}/fdinfo/${fd}`)) {
      if (!line.startsWith('fanotify ')) continue;
      if (line.startsWith('fanotify sdev:') && !line.includes(' ino:')) marks.filesystems += 1;
      const mask = /fanotify ino:.* mask:([0-9a-f]+) /.exec(line)?.[1] ?? '0';
      if ((Number.parseInt(mask, 16) & 0x100000) !== 0) marks.accesses += 1;
    }
  }
  return marks;
}

function readLines(file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
}

describe('the marks of strict rules', () => {
  it('go with them at a reload, and come back', async () => {
    const before = marksOf(agent.pid);
    assert.equal(before.filesystems, 1);
    assert.ok(before.accesses > 0);
    const { groups } = configuration();
    const plain = groups.map((group) => ({
      ...group,
      rules: group.rules.map((rule) => ({ ...rule, strict: false })),
    }));
    await agent.reconfigure({ groups: plain });
    await until(() => marksOf(agent.pid).accesses === 0, 'taken back');
    assert.equal(marksOf(agent.pid).filesystems, 0);
    assert.equal(await access('write', take('write')), 'ok');
    await agent.reconfigure(configuration());
    await until(() => marksOf(agent.pid).filesystems === 1, 'placed again');
    assert.equal(await access('write', take('write')), 'EPERM');
  });
});

it('a filesystem that only asks before opens is told, and its opens are judged', async () => {
  const place = new Scratch();
  const secret = place.write('secrets/secret');
  const rules = [{ ...strict, name: 'here', path: place.path('secrets', '*'), apps: [listedPerl] }];
  const elsewhere = await Agent.start(place, { groups: [{ ...host, name: 'strict', rules }] });
  try {
    const { attributes } = await elsewhere.record({ event: 'fileward.coverage.degraded' });
    assert.equal(attributes['error.type'], 'strict_unavailable');
    assert.equal(attributes['security_rule.name'], 'here');
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
    const [node, command] = commandLine(['check', '-c', elsewhere.configurationFile]);
    const { stdout } = await run(node, command);
    assert.match(stdout, /strict_unavailable: .*secrets: this filesystem asks only before opens/);
    assert.match(stdout, /denied: .*truncate\(2\)/);
  } finally {
    await elsewhere.stop();
    place.remove();
  }
});

it('the filesystem of the layers of a guarded overlay is not marked as a whole', async () => {
  const place = new Scratch('ext4');
  for (const folder of ['lower', 'upper', 'work', 'merged', 'tree']) place.directory(folder);
  const secret = place.write('lower/secret');
  const merged = place.path('merged');
  const layers = ['lower', 'upper', 'work'].map((name) => `${name}dir=${place.path(name)}`);
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', layers.join(','), merged]);
  const rules = [
    { ...strict, name: 'tree', path: `${place.path('tree')}/**`, operations: ['read'], apps: [] },
    { name: 'merged', behavior: 'block', path: `${merged}/**`, operations: ['read'], apps: [] },
  ];
  const elsewhere = await Agent.start(place, { groups: [{ ...host, name: 'strict', rules }] });
  try {
    const { attributes } = await elsewhere.record({
      event: 'fileward.coverage.degraded',
      attributes: { 'security_rule.name': 'tree' },
    });
    assert.equal(attributes['error.type'], 'strict_unavailable');
    assert.equal(marksOf(elsewhere.pid).filesystems, 0);
    assert.equal(await openInChild(path.join(merged, 'secret'), 'O_RDONLY'), 'EPERM');
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'ok');
  } finally {
    await elsewhere.stop();
    execFileSync('umount', [merged]);
    place.remove();
  }
});

it('readers and writers go on when the agent ends', async () => {
  const place = new Scratch('ext4');
  const rules = [{ ...strict, name: 'all', path: `${place.path('tree')}/**`, apps: [listedPerl] }];
  const file = place.write('tree/file');
  const elsewhere = await Agent.start(place, { groups: [{ ...host, name: 'strict', rules }] });
  const code =
    'open(my $f, "+<", $ARGV[0]) or exit 1; my $end = time + 3; while (time < $end) { sysseek($f, 0, 0); sysread($f, my $b, 1) or exit 2; syswrite($f, "y", 1) or exit 3 } 1';
  const readers = Array.from({ length: 4 }, () => perl(code, [file], { program: listedPerl }));
  await delay(1000);
  await elsewhere.stop();
  assert.deepEqual(
    (await Promise.all(readers)).map(({ code: status }) => status),
    [0, 0, 0, 0],
  );
  place.remove();
});

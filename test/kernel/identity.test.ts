/** Contract section 2, which app: an app is its file, followed through upgrades, never its name. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { copyHelper, helper, openInChild, run, shell } from './children.ts';
import { Agent, type RecordLine } from './harness.ts';
import { copyPerl, perl, rename } from './perl.ts';
import { Scratch } from './scratch.ts';

const scratch = new Scratch();
const secret = scratch.write('secret/file', 'secret\n');
const guarded = scratch.directory('bin');
const beside = path.join(scratch.base, 'bin');
let agent: Agent;

const programs = {
  /** In a tree that a `block` rule covers, so that who replaces it counts. */
  app: path.join(guarded, 'app'),
  installer: path.join(beside, 'installer'),
  interpreter: path.join(beside, 'listed-sh'),
  daemon: path.join(guarded, 'daemon'),
  parent: path.join(beside, 'parent'),
  child: path.join(beside, 'child'),
};

function group() {
  return {
    name: 'host',
    members: { host: true },
    mode: 'protect',
    rules: [
      {
        name: 'secret',
        path: `${scratch.path('secret')}/**`,
        behavior: 'block',
        operations: ['read'],
        apps: [
          programs.app,
          programs.daemon,
          { exe: programs.child, ancestor: programs.parent },
          { exe: programs.interpreter, script: path.join(beside, 'listed-script') },
        ],
      },
      {
        name: 'bin',
        path: `${guarded}/**`,
        behavior: 'block',
        operations: ['write'],
        apps: [programs.installer],
      },
    ],
  };
}

before(async () => {
  mkdirSync(beside);
  for (const program of [programs.app, programs.daemon, programs.child])
    copyHelper('opener', program);
  copyPerl(programs.installer);
  copyFileSync('/bin/sh', programs.interpreter);
  copyFileSync('/bin/sh', programs.parent);
  for (const name of ['listed-script', 'other-script']) {
    const text = `#!${programs.interpreter}\nIFS= read -r line < ${secret} && echo "$line"\n`;
    writeFileSync(path.join(beside, name), text, { mode: 0o755 });
  }
  agent = await Agent.start(scratch, { groups: [group()] });
});
after(async () => {
  await agent?.stop();
  scratch.remove();
});

const reads = (app: string) => openInChild(secret, 'O_RDONLY', { app });

/** The reason of the latest denial of the secret. */
async function lastReason(): Promise<unknown> {
  await agent.settle();
  return agent.matching({ event: 'fileward.file.denied', path: secret }).at(-1)?.attributes[
    'fileward.reason'
  ];
}

describe('the name alone', () => {
  it('the listed app itself is the app', async () => {
    assert.equal(await reads(programs.app), 'ok');
  });

  it('a copy is not', async () => {
    const copy = copyHelper('opener', path.join(beside, 'app'));
    assert.equal(await reads(copy), 'EPERM');
    assert.equal(await lastReason(), 'app_not_listed');
  });

  it('another program bind-mounted over its path in a user namespace is not', async () => {
    const other = copyHelper('opener', path.join(scratch.base, 'evil'));
    chmodSync(scratch.base, 0o755);
    const { stdout } = await run(
      'unshare',
      [
        '--user',
        '--map-root-user',
        '--mount',
        'sh',
        '-c',
        'mount --bind "$0" "$1" && exec "$1" openat O_RDONLY "$2"',
        other,
        programs.app,
        secret,
      ],
      { uid: 65534, gid: 65534 },
    );
    assert.equal(stdout.trim(), 'EPERM');
    assert.equal(await lastReason(), 'identity_mismatch');
  });

  it('a symlink with its name to another program is not, and one to it is', async () => {
    const evil = path.join(beside, 'to-other');
    const good = path.join(beside, 'to-app');
    await shell(`ln -s ${helper('opener')} ${evil}; ln -s ${programs.app} ${good}`);
    assert.equal(await reads(evil), 'EPERM');
    assert.equal(await reads(good), 'ok');
  });

  it('a listed interpreter with a script that is not listed is not', async () => {
    const script = (name: string) => run(path.join(beside, name));
    assert.equal((await script('other-script')).stdout, '');
    assert.equal((await script('listed-script')).stdout, 'secret\n');
  });
});

describe('a replaced app', () => {
  /** A new file with the same program, ready to be moved over the old one. */
  const fresh = () => {
    const file = path.join(scratch.directory('.fresh'), 'opener');
    rmSync(file, { force: true });
    return copyHelper('opener', file);
  };
  const install = (file: string) => rename(fresh(), file, { program: programs.installer });

  beforeEach(async () => {
    // Back to a state in which the file at the path is the app.
    await agent.reconfigure({ groups: [group()] });
    assert.equal(await reads(programs.app), 'ok');
  });

  it('by an app that is listed to write it is followed', async () => {
    assert.equal((await install(programs.app)).code, 0);
    await agent.settle();
    assert.equal(await reads(programs.app), 'ok');
  });

  it('by anybody else is not, until a reload', async () => {
    await rename(fresh(), programs.app);
    await agent.settle();
    assert.equal(await reads(programs.app), 'EPERM');
    assert.equal(await lastReason(), 'identity_mismatch');
    await agent.reconfigure({ groups: [group()] });
    assert.equal(await reads(programs.app), 'ok');
  });

  it('that is deleted and made anew by anybody is not', async () => {
    await perl('unlink($ARGV[0])', [programs.app]);
    await rename(fresh(), programs.app);
    await agent.settle();
    assert.equal(await reads(programs.app), 'EPERM');
    assert.equal(await lastReason(), 'identity_mismatch');
  });

  it('stays the app for the old process that is not yet restarted', async () => {
    const daemon = spawn(programs.daemon, ['openat', 'O_RDONLY', secret, '--times', '100000000'], {
      stdio: 'ignore',
    });
    const isByDaemon = ({ attributes }: RecordLine) => attributes['process.pid'] === daemon.pid;
    try {
      assert.equal((await install(programs.daemon)).code, 0);
      await agent.settle();
      assert.equal(await reads(programs.daemon), 'ok', 'the new file at the path');
      assert.equal(daemon.exitCode, null, 'the old process still opens');
      assert.deepEqual(agent.records.filter(isByDaemon), []);
    } finally {
      daemon.kill('SIGKILL');
    }
  });
});

describe('an ancestor', () => {
  it('counts by what it ran when it forked', async () => {
    const { stdout } = await run(programs.parent, [
      '-c',
      '"$0" openat O_RDONLY "$1"; :',
      programs.child,
      secret,
    ]);
    assert.equal(stdout.trim(), 'ok');
  });

  it('another parent is none', async () => {
    const { stdout } = await run('/bin/sh', [
      '-c',
      '"$0" openat O_RDONLY "$1"; :',
      programs.child,
      secret,
    ]);
    assert.equal(stdout.trim(), 'EPERM');
  });

  it('that execs the listed program after the fork lends nothing', async () => {
    // The parent forks a child that waits, then becomes the listed program; only then the child opens.
    const script = '(sleep 1; "$0" openat O_RDONLY "$1") & exec "$2" -c "sleep 2"';
    const { stdout } = await run('/bin/sh', [
      '-c',
      script,
      programs.child,
      secret,
      programs.parent,
    ]);
    assert.equal(stdout.trim(), 'EPERM');
  });
});

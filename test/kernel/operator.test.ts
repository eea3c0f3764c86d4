/** What an operator does to a running agent: status, tail, pause, resume, confirm, release, reload, a second agent. */
import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openInChild, run, shell } from './children.ts';
import { Agent, commandLine } from './harness.ts';
import { place } from './place.ts';
import { Scratch } from './scratch.ts';

/** Runs a command against this scratch's agent. */
function fileward(scratch: Scratch, ...args: string[]) {
  const [node, command] = commandLine(args);
  return run(node, [...command, '--state', path.join(scratch.base, 'state')], {
    env: { NO_COLOR: '1' },
  });
}

function protecting(scratch: Scratch) {
  return {
    groups: [
      {
        name: 'host',
        members: { host: true },
        mode: 'protect',
        rules: [
          {
            name: 'secret',
            path: scratch.path('secret'),
            behavior: 'block',
            operations: ['read'],
            apps: [],
          },
          {
            name: 'other',
            path: `${scratch.path('other')}/**`,
            behavior: 'block',
            operations: ['read'],
            apps: [],
          },
        ],
      },
    ],
  };
}

describe('a running agent', () => {
  const scratch = new Scratch();
  const secret = scratch.write('secret');
  const other = scratch.write('other/file');
  let agent: Agent;

  before(async () => {
    agent = await Agent.start(scratch, protecting(scratch));
  });
  after(async () => {
    await agent?.stop();
    scratch.remove();
  });

  it('answers on a socket for its owner, in a folder for its owner', () => {
    const state = path.join(scratch.base, 'state');
    assert.equal(statSync(state).mode & 0o777, 0o700);
    assert.equal(statSync(path.join(state, 'fileward.sock')).mode & 0o777, 0o600);
  });

  it('tells its status', async () => {
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
    const { code, stdout } = await fileward(scratch, 'status', '--json');
    assert.equal(code, 0);
    const status = JSON.parse(stdout);
    assert.equal(status.ready, true);
    assert.equal(status.pid, agent.pid);
    assert.ok(status.marks.permission > 0);
    assert.ok(status.verdicts.deny.count >= 1);
    assert.deepEqual(
      status.groups.map(({ name, mode }: Record<string, unknown>) => `${name} ${mode}`),
      ['host protect', 'settle monitor'],
    );
    const text = await fileward(scratch, 'status');
    assert.match(text.stdout, /^fileward \S+ {2}ready {2}pid \d+/);
    assert.equal((await fileward(scratch, 'status', '--ready')).code, 0);
  });

  it('lets its records be tailed', async () => {
    const [node, command] = commandLine([
      'tail',
      '--json',
      '--event',
      'denied',
      '--rule',
      'secret',
    ]);
    const state = path.join(scratch.base, 'state');
    const script = `"$@" --state ${state} | head -1`;
    const tailed = run('sh', ['-c', script, 'sh', node, ...command]);
    // It is listening once a record comes through: denials until then.
    let line = '';
    const first = tailed.then(({ stdout }) => {
      line = stdout;
    });
    while (line === '') await Promise.race([first, openInChild(secret, 'O_RDONLY')]);
    const record = JSON.parse(line);
    assert.equal(record.event, 'fileward.file.denied');
    assert.equal(record.attributes['file.path'], secret);
  });

  it('is the only one: a second one says so and leaves with 3', async () => {
    const [node, command] = commandLine(['run', '-c', agent.configurationFile, '--no-export']);
    const { code, stderr } = await run(node, command);
    assert.equal(code, 3);
    assert.match(stderr, /another fileward agent is running/);
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
  });

  it('pauses one rule and resumes', async () => {
    const paused = await fileward(
      scratch,
      'pause',
      '--group',
      'host',
      '--rule',
      'secret',
      '--for',
      '10m',
      '--reason',
      'restoring',
    );
    assert.equal(paused.code, 0, paused.stderr);
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'ok');
    assert.equal(await openInChild(other, 'O_RDONLY'), 'EPERM');
    const record = await agent.record({ event: 'fileward.enforcement.paused' });
    assert.equal(record.severity, 13);
    assert.match(record.body, /restoring/);
    const violated = await agent.record({ event: 'fileward.file.violated', path: secret });
    assert.equal(violated.attributes['fileward.mode'], 'monitor');
    const resumed = await fileward(scratch, 'resume');
    assert.equal(resumed.code, 0, resumed.stderr);
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
    await agent.record({ event: 'fileward.enforcement.resumed' });
  });

  it('ends a pause by itself', async () => {
    await fileward(scratch, 'pause', '--for', '1s', '--reason', 'short');
    assert.equal(await openInChild(other, 'O_RDONLY'), 'ok');
    await agent.logged((line) => line.msg === 'resumed' && line['reason'] === 'short', 'the end');
    assert.equal(await openInChild(other, 'O_RDONLY'), 'EPERM');
  });

  it('refuses what makes no sense, with the status of the contract', async () => {
    assert.equal((await fileward(scratch, 'resume')).code, 1);
    assert.equal((await fileward(scratch, 'confirm')).code, 1);
    assert.equal((await fileward(scratch, 'release', '/nothing')).code, 1);
    const unknown = await fileward(
      scratch,
      'pause',
      '--group',
      'nope',
      '--for',
      '1m',
      '--reason',
      'x',
    );
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /nope/);
  });

  it('releases a file that was moved away', async () => {
    const file = place(scratch, 'other/leaving');
    const away = scratch.path('away');
    await agent.settle();
    await shell(`mv ${file} ${away}`);
    assert.equal(await openInChild(away, 'O_RDONLY'), 'EPERM');
    const { code, stderr } = await fileward(scratch, 'release', away);
    assert.equal(code, 0, stderr);
    assert.equal(await openInChild(away, 'O_RDONLY'), 'ok');
  });

  it('keeps the running policy when the configuration breaks, and says why', async () => {
    const rejected = await agent.reconfigure('version: 1\ngroups: [ { nam: x } ]\n');
    assert.equal(rejected.event, 'fileward.policy.rejected');
    assert.equal(rejected.severity, 17);
    assert.match(rejected.body, /fileward\.config\.yaml:2:\d+: .*nam/);
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
    assert.equal((await fileward(scratch, 'status', '--ready')).code, 1);
    const loaded = await agent.reconfigure(protecting(scratch));
    assert.equal(loaded.event, 'fileward.policy.loaded');
    assert.equal((await fileward(scratch, 'status', '--ready')).code, 0);
  });

  it('applies a changed file by itself', async () => {
    const before = agent.matching({ event: 'fileward.policy.loaded' }).length;
    const monitor = protecting(scratch).groups.map((group) => ({ ...group, mode: 'monitor' }));
    writeFileSync(
      agent.configurationFile,
      JSON.stringify({ version: 1, state: path.join(scratch.base, 'state'), groups: monitor }),
    );
    while (agent.matching({ event: 'fileward.policy.loaded' }).length === before) {
      await openInChild(secret, 'O_RDONLY');
    }
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'ok');
  });
});

it('no agent: the commands say so and leave with 3', async () => {
  const scratch = new Scratch();
  try {
    for (const args of [['status'], ['status', '--ready'], ['tail'], ['confirm']]) {
      const { code, stderr } = await fileward(scratch, ...args);
      assert.equal(code, 3, args.join(' '));
      assert.match(stderr, /fileward run/);
    }
  } finally {
    scratch.remove();
  }
});

describe('run --confirm', () => {
  it('falls back to monitor by itself, and says so', async () => {
    const scratch = new Scratch();
    const secret = scratch.write('secret');
    const agent = await Agent.start(scratch, protecting(scratch), { args: ['--confirm', '2s'] });
    try {
      assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
      const record = await agent.record({ event: 'fileward.enforcement.paused' });
      assert.match(record.body, /host.*not confirmed/);
      assert.equal(await openInChild(secret, 'O_RDONLY'), 'ok');
      const late = await fileward(scratch, 'confirm');
      assert.equal(late.code, 1);
      assert.match(late.stderr, /too late/);
    } finally {
      await agent.stop();
      scratch.remove();
    }
  });

  it('stays in protect when it is confirmed', async () => {
    const scratch = new Scratch();
    const secret = scratch.write('secret');
    const agent = await Agent.start(scratch, protecting(scratch), { args: ['--confirm', '60s'] });
    try {
      const { code, stdout } = await fileward(scratch, 'confirm');
      assert.equal(code, 0);
      assert.match(stdout, /host/);
      const { stdout: status } = await fileward(scratch, 'status', '--json');
      assert.equal(JSON.parse(status).unconfirmed, null);
      assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
    } finally {
      await agent.stop();
      scratch.remove();
    }
  });
});

describe('break glass', () => {
  it('FILEWARD_MODE=monitor lets everything through and reports it', async () => {
    const scratch = new Scratch();
    const secret = scratch.write('secret');
    const agent = await Agent.start(scratch, protecting(scratch), {
      env: { FILEWARD_MODE: 'monitor' },
    });
    try {
      assert.equal(await openInChild(secret, 'O_RDONLY'), 'ok');
      const record = await agent.record({ event: 'fileward.file.violated', path: secret });
      assert.equal(record.attributes['fileward.mode'], 'monitor');
      await agent.record({ event: 'fileward.enforcement.paused' });
    } finally {
      await agent.stop();
      scratch.remove();
    }
  });

  it('a pause outlives the agent', async () => {
    const scratch = new Scratch();
    const secret = scratch.write('secret');
    const first = await Agent.start(scratch, protecting(scratch));
    await fileward(scratch, 'pause', '--for', '10m', '--reason', 'maintenance');
    await first.stop();
    const second = await Agent.start(scratch, protecting(scratch));
    try {
      assert.equal(await openInChild(secret, 'O_RDONLY'), 'ok');
    } finally {
      await second.stop();
      scratch.remove();
    }
  });
});

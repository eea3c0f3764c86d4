/** Start, reload under load, end: nobody is left hanging, nothing is answered wrongly, nothing is lost. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { attributesOf, Collector } from '../otlp/collector.ts';
import { copyHelper, helper, openInChild, run, shell } from './children.ts';
import { Agent, commandLine } from './harness.ts';
import { Scratch } from './scratch.ts';

const block = (name: string, files: string, apps: readonly string[] = []) => ({
  name,
  path: files,
  behavior: 'block',
  operations: ['read'],
  apps,
});
const host = (rules: readonly unknown[], mode = 'protect') => ({
  groups: [{ name: 'host', members: { host: true }, mode, rules }],
});

describe('200 reloads while 4 processes open covered files', () => {
  const scratch = new Scratch();
  const kept = scratch.write('kept/file');
  const changing = scratch.write('changing/file');
  const listed = path.join(scratch.base, 'listed');
  let agent: Agent;

  const policy = (i: number) =>
    host([
      // In both versions, once before and once behind the rule that comes and goes.
      ...(i % 2 === 0 ? [block('changing', `${scratch.path('changing')}/**`)] : []),
      block('kept', `${scratch.path('kept')}/**`, [listed]),
      ...(i % 3 === 0 ? [block('extra', `${scratch.path('extra')}/**`)] : []),
    ]);

  before(async () => {
    copyHelper('opener', listed);
    agent = await Agent.start(scratch, policy(0));
  });
  after(async () => {
    await agent?.stop();
    scratch.remove();
  });

  it('give not one wrong verdict', { timeout: 280_000 }, async () => {
    let reloading = true;
    const keepOpening = async (app: string, file: string, expected: readonly string[]) => {
      let opens = 0;
      while (reloading) {
        const answer = await openInChild(file, 'O_RDONLY', { app });
        assert.ok(expected.includes(answer), `${answer} for ${file} by ${app} at open ${opens}`);
        opens++;
      }
      return opens;
    };
    const openers = [
      keepOpening(listed, kept, ['ok']),
      keepOpening(helper('opener'), kept, ['EPERM']),
      keepOpening(helper('opener'), kept, ['EPERM']),
      keepOpening(helper('opener'), changing, ['ok', 'EPERM']),
    ];
    try {
      for (let i = 1; i <= 200; i++) {
        const { event, body } = await agent.reconfigure(policy(i));
        assert.equal(event, 'fileward.policy.loaded', body);
      }
    } finally {
      reloading = false;
    }
    const opens = await Promise.all(openers);
    assert.ok(opens.every((n) => n > 0));
  });

  it('and the last policy is the one that holds', async () => {
    await agent.reconfigure(policy(1));
    assert.equal(await openInChild(changing, 'O_RDONLY'), 'ok');
    await agent.reconfigure(policy(2));
    assert.equal(await openInChild(changing, 'O_RDONLY'), 'EPERM');
  });
});

describe('the end of the agent', () => {
  it('by SIGKILL frees whoever waits', async () => {
    const scratch = new Scratch();
    const secret = scratch.write('secret');
    const agent = await Agent.start(scratch, host([block('secret', secret)]));
    // Stopped, it answers nobody: the openers wait.
    const openers = Array.from({ length: 4 }, () => openInChild(secret, 'O_RDONLY'));
    agent.signal('SIGSTOP');
    openers.push(...Array.from({ length: 4 }, () => openInChild(secret, 'O_RDONLY')));
    await shell('sleep 0.2');
    agent.signal('SIGKILL');
    await agent.exited;
    const answers = await Promise.all(openers);
    assert.ok(answers.every((answer) => answer === 'ok' || answer === 'EPERM'));
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'ok');
    scratch.remove();
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`by ${signal} flushes what was told, with status 0`, async () => {
      const scratch = new Scratch();
      const secrets = Array.from({ length: 20 }, (_, i) => scratch.write(`secret-${i}`));
      const agent = await Agent.start(scratch, {
        records: { window: '60s' },
        ...host([block('secret', scratch.path('secret-*'))]),
      });
      // The second of each is folded away for a minute, if nobody flushes.
      for (const secret of secrets) await openInChild(secret, 'O_RDONLY', { times: 1 });
      for (const secret of secrets) await openInChild(secret, 'O_RDONLY', { times: 1 });
      assert.deepEqual(await agent.stop(signal), { code: 0, signal: null });
      for (const secret of secrets) {
        const records = agent.matching({ event: 'fileward.file.denied', path: secret });
        const counts = records.map(({ attributes }) => Number(attributes['fileward.count']));
        assert.equal(
          counts.reduce((sum, n) => sum + n, 0),
          2,
          secret,
        );
      }
      assert.equal(existsSync(path.join('/run/fileward', `${agent.pid}.json`)), false);
      assert.equal(await openInChild(secrets[0] ?? '', 'O_RDONLY'), 'ok');
      scratch.remove();
    });
  }

  it('is not held up by a console that nobody reads', async () => {
    const scratch = new Scratch();
    const secret = scratch.write('secret');
    // For its configuration file only.
    await (await Agent.start(scratch, host([block('secret', `${scratch.files}/**`)]))).stop();
    const file = path.join(scratch.base, 'fileward.config.yaml');
    const [node, command] = commandLine(['run', '-c', file, '--console', '--no-export']);
    const child = spawn(node, command, { stdio: ['ignore', 'pipe', 'pipe'] });
    const ready = new Promise<void>((resolve) => {
      let log = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        log += text;
        if (log.includes('"msg":"ready"')) resolve();
      });
    });
    await ready;
    // Far more records than a pipe holds; each name is a record of its own.
    await shell(`for i in $(seq 500); do : > ${scratch.path('new')}-$i; : < ${secret}-$i; done`);
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    assert.equal(await exited, 0);
    scratch.remove();
  });

  it('and a new one starts where it was', async () => {
    const scratch = new Scratch();
    const secret = scratch.write('secret');
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      const agent = await Agent.start(scratch, host([block('secret', secret)]));
      assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
      await agent.stop(signal);
    }
    scratch.remove();
  });
});

describe("the agent's own opens", () => {
  it('of covered files never block it: its configuration, its state, its programs', async () => {
    const scratch = new Scratch();
    const secret = scratch.write('secret');
    const rules = [
      block('secret', secret),
      { ...block('own', `${scratch.base}/*`), operations: ['read', 'write'] },
      { ...block('state', `${scratch.base}/state/**`), operations: ['read', 'write'] },
    ];
    const agent = await Agent.start(scratch, host(rules));
    try {
      assert.equal(await openInChild(agent.configurationFile, 'O_RDONLY'), 'EPERM');
      agent.signal('SIGHUP');
      await agent.record({ event: 'fileward.policy.loaded', attributes: {} });
      await agent.logged((line) => line['cause'] === 'SIGHUP', 'the reload');
      assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
      assert.deepEqual(
        agent.records.filter(({ attributes }) => attributes['process.pid'] === agent.pid),
        [],
      );
    } finally {
      await agent.stop();
      scratch.remove();
    }
  });
});

describe('a start that can not be', () => {
  it('without privileges says which are missing and leaves with 3', async () => {
    const scratch = new Scratch();
    const agent = await Agent.start(scratch, host([block('secret', scratch.path('x'))]));
    await agent.stop();
    const [node, command] = commandLine(['run', '-c', agent.configurationFile, '--no-export']);
    const { code, stderr } = await run('setpriv', [
      '--bounding-set=-sys_admin',
      '--inh-caps=-all',
      node,
      ...command,
    ]);
    assert.equal(code, 3, stderr);
    assert.match(stderr, /CAP_SYS_ADMIN/);
    scratch.remove();
  });

  it('with a bad configuration names each problem and leaves with 2', async () => {
    const scratch = new Scratch();
    const agent = await Agent.start(scratch, 'version: 1\ngrups: []\ngroups:\n  - name: A\n', {
      waitForReady: false,
    });
    const { code } = await agent.exited;
    assert.equal(code, 2);
    assert.match(agent.stderr, /fileward\.config\.yaml:2:1: .*grups/);
    assert.match(agent.stderr, /fileward\.config\.yaml:4:\d+: /);
    scratch.remove();
  });
});

describe('systemd', () => {
  it('is told when the agent is ready and when it stops', async () => {
    const scratch = new Scratch();
    const address = path.join(scratch.base, 'notify');
    const log = path.join(scratch.base, 'notified');
    const script =
      'use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0); bind(S, sockaddr_un($ARGV[0])) or die;' +
      'open(O, ">", $ARGV[1]); O->autoflush(1); while (defined recv(S, $m, 4096, 0)) { print O "$m\\n" }';
    const listener = spawn('perl', ['-MIO::Handle', '-e', script, address, log], {
      stdio: 'ignore',
    });
    try {
      while (!existsSync(address)) await shell('sleep 0.02');
      const agent = await Agent.start(scratch, host([block('secret', scratch.path('x'))]), {
        env: { NOTIFY_SOCKET: address },
      });
      await agent.stop();
      while (!readFileSync(log, 'utf8').includes('STOPPING=1')) await shell('sleep 0.02');
      assert.match(readFileSync(log, 'utf8'), /^READY=1$/m);
    } finally {
      listener.kill('SIGKILL');
      scratch.remove();
    }
  });
});

it('an agent that waits for a file for ever leaves in time all the same', async () => {
  const [scratch, other] = [new Scratch(), new Scratch()];
  const file = scratch.write('watched/file', 'x');
  const watch = { name: 'w', path: `${scratch.path('watched')}/**`, behavior: 'watch' };
  const agent = await Agent.start(scratch, host([watch]));
  // Its openers wait as long as it is stopped: as for a server that is dead.
  const stopped = await Agent.start(other, host([block('b', file, [helper('opener')])]));
  try {
    const write = 'open F, ">>", $ARGV[0]; $| = 1; print "open"; <STDIN>; print F "y"; close F';
    const writer = spawn('perl', ['-e', write, file], { stdio: ['pipe', 'pipe', 'ignore'] });
    await once(writer.stdout, 'data');
    stopped.signal('SIGSTOP');
    writer.stdin.end('go');
    await once(writer, 'close');
    // It is being hashed.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const began = performance.now();
    assert.deepEqual(await agent.stop(), { code: 0, signal: null });
    assert.ok(performance.now() - began < 5000);
  } finally {
    stopped.signal('SIGCONT');
    await stopped.stop();
    agent.kill();
    scratch.remove();
    other.remove();
  }
});

describe('changes in the moment before the end', () => {
  const scratch = new Scratch();
  let collector: Collector;
  before(async () => {
    collector = await Collector.start({ protocol: 'grpc' });
  });
  after(async () => {
    await collector.close();
    scratch.remove();
  });

  it('are told, or told to be lost', async () => {
    scratch.directory('watched');
    const watched = scratch.path('watched');
    const rule = {
      name: 'watched',
      path: `${watched}/**`,
      behavior: 'watch',
      operations: ['write'],
    };
    const agent = await Agent.start(
      scratch,
      { ...host([rule]), telemetry: { endpoint: collector.url } },
      { exports: true },
    );
    const files = 20_000;
    // Faster than they can be looked into.
    const make = `for (1 .. ${files}) { open F, '>', "$ARGV[0]/$_" and close F } kill 'TERM', $ARGV[1]`;
    const { code } = await run('perl', ['-e', make, watched, String(agent.pid)]);
    assert.equal(code, 0);
    await agent.stop();
    // What the collector had no time to take is on disk, for an agent that looks for no changes of its own.
    const next = await Agent.start(
      scratch,
      { groups: [], telemetry: { endpoint: collector.url } },
      { exports: true },
    );
    const seen = () => {
      const records = collector.records().map(({ eventName, attributes }) => {
        return { eventName, attributes: attributesOf(attributes) };
      });
      const told = records.filter(({ attributes }) => {
        const operation = attributes['fileward.operation'];
        return operation && 'stringValue' in operation && operation.stringValue === 'create';
      }).length;
      const lost = records
        .filter(({ eventName }) => eventName === 'fileward.record.lost')
        .reduce((sum, { attributes }) => {
          const count = attributes['fileward.count'];
          return sum + (count && 'intValue' in count ? Number(count.intValue) : 0);
        }, 0);
      return { told, lost };
    };
    for (let before = -1; before !== collector.records().length; await sleep(3000)) {
      before = collector.records().length;
    }
    await next.stop();
    const { told, lost } = seen();
    assert.ok(told + lost >= files, `${told} told, ${lost} lost`);
  });
});

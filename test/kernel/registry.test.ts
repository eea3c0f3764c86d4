/** All that a running agent can be made to say, held to the telemetry registry as the collector got it. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Collector } from '../otlp/collector.ts';
import { problemsOf, registry, seenIn } from '../registry/conformance.ts';
import { openInChild, run, shell } from './children.ts';
import { Agent, commandLine } from './harness.ts';
import { Scratch } from './scratch.ts';

/** What test/containers/records.test.ts does. */
const CANT_BE_MADE = new Set(['fileward.workload.started', 'fileward.workload.stopped']);

describe('a running agent', () => {
  const scratch = new Scratch('ext4');
  const tool = scratch.path('bin/tool');
  let collector: Collector;
  let agent: Agent;

  before(async () => {
    for (const name of ['sealed/a', 'sealed/b', 'open/a', 'open/b', 'watched/a', 'learned/a']) {
      scratch.write(name);
    }
    scratch.directory('bin');
    copyFileSync('/bin/cat', tool);
    collector = await Collector.start({ protocol: 'grpc' });
    agent = await start();
  });
  after(async () => {
    await agent.stop();
    await collector.close();
    scratch.remove();
  });

  function start(): Promise<Agent> {
    const env = { OTEL_METRIC_EXPORT_INTERVAL: '500' };
    return Agent.start(scratch, configuration(), { exports: true, env });
  }

  function configuration() {
    const block = (name: string, given: object) => ({
      name,
      path: `${scratch.path(name)}/**`,
      behavior: 'block',
      apps: [],
      ...given,
    });
    const about = {
      description: 'What',
      reference: 'https://example.com',
      tags: { mitre: 'T1565' },
    };
    const rules = [
      block('sealed', { mode: 'protect', apps: [tool], ...about }),
      block('bin', { operations: ['write'] }),
      block('open', about),
      block('learned', { mode: 'discover', ...about }),
      block('needed', { required: true }),
      {
        ...{ name: 'watched', path: `${scratch.path('watched')}/**`, behavior: 'watch' },
        ...{ operations: ['read', 'write'], ...about },
      },
    ];
    return {
      telemetry: { endpoint: collector.url },
      records: { window: '1s' },
      groups: [
        { name: 'host', members: { host: true }, mode: 'monitor', labels: { team: 'a' }, rules },
      ],
    };
  }

  async function fileward(...args: string[]): Promise<void> {
    const [node, command] = commandLine(args);
    const state = ['--state', path.join(scratch.base, 'state')];
    const { code, stderr } = await run(node, [...command, ...state]);
    assert.equal(code, 0, stderr);
  }

  /** Waits until a record or metric has come, or one with an attribute, or a value of an attribute. */
  async function seen(...wanted: string[]): Promise<void> {
    for (const deadline = Date.now() + 20_000; ; ) {
      const found = seenIn(collector);
      const missing = wanted.filter((each) => !found.has(each));
      if (missing.length === 0) return;
      if (Date.now() > deadline) assert.fail(`not seen: ${missing.join(', ')}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  it('tells files, rules and apps', async () => {
    assert.equal(await openInChild(scratch.path('sealed/a'), 'O_RDONLY'), 'EPERM');
    assert.equal(await openInChild(scratch.path('sealed/c'), 'O_WRONLY|O_CREAT'), 'EPERM');
    await shell(`cd ${scratch.files}
      rm sealed/b
      for i in 1 2 3 4 5 6 7 8; do cat open/a watched/a learned/a >/dev/null; done
      sleep 0.2; echo more >>open/a; sleep 0.2
      mv open/a open/b; ln open/b open/c; chmod 600 open/b; sleep 0.2
      truncate -s 0 open/b; sleep 0.5; rm open/b
      printf x >"open/$(printf '\\377')"`);
    await seen(
      'fileward.file.accessed fileward.last_seen',
      'fileward.file.modified fileward.file.sha256',
      'fileward.file.modified fileward.file.sha256_before',
      'fileward.file.modified fileward.file.replaced',
      'fileward.file.modified fileward.file.path_bytes',
      'fileward.file.violated fileward.file.new_path',
      'fileward.file.violated fileward.last_seen',
      'fileward.rule.learned',
      ...['app_not_listed', 'not_enforceable', 'empty_file_left'].map(
        (reason) => `fileward.reason ${reason}`,
      ),
      ...['read', 'write', 'create', 'delete', 'rename', 'attributes', 'truncate'].map(
        (operation) => `fileward.operation ${operation}`,
      ),
    );
  });

  it('tells what is not covered, until it is', async () => {
    await seen('fileward.coverage.degraded security_rule.name', 'error.type absent');
    scratch.write('needed/file');
    await seen('fileward.coverage.restored security_rule.name');
    await shell(`cp /bin/sleep ${tool}.new && mv ${tool}.new ${tool}`);
    await seen('fileward.coverage.degraded file.path', 'error.type identity_mismatch');
  });

  it('tells what an operator does', async () => {
    await fileward(
      'pause',
      '--group',
      'host',
      '--rule',
      'sealed',
      '--for',
      '1m',
      '--reason',
      'test',
    );
    await seen('fileward.enforcement.paused security_rule.name');
    await fileward('resume');
    await seen('fileward.enforcement.resumed security_rule.name');
    await agent.reconfigure('version: 2');
    await seen('fileward.policy.rejected');
    await agent.reconfigure(configuration());
  });

  it('tells that its guardian answered while it was stopped', async () => {
    agent.signal('SIGSTOP');
    try {
      assert.equal(await openInChild(scratch.path('sealed/a'), 'O_RDONLY'), 'ok');
    } finally {
      agent.signal('SIGCONT');
    }
    await seen(
      'fileward.enforcement.degraded fileward.first_seen',
      'fileward.enforcement.restored fileward.enforcement.allowed',
      'error.type not_reading',
      'error.type deadline',
    );
  });

  it('tells that it was killed, and what changed meanwhile', async () => {
    await agent.settle();
    await agent.stop('SIGKILL');
    scratch.write('open/c', 'changed unseen\n');
    agent = await start();
    await seen('fileward.record.lost', 'error.type crash', 'fileward.reason found_on_rescan');
  });

  it('has said all that is registered and not planned only', () => {
    const found = seenIn(collector);
    const missing = [...registry.events, ...registry.metrics]
      .filter(({ name, planned }) => !planned && !CANT_BE_MADE.has(name))
      .map((signal) => ('unit' in signal ? `metric ${signal.name}` : signal.name))
      .filter((each) => !found.has(each));
    assert.deepEqual(missing, []);
  });

  it('has said it as the registry has it', () => assert.deepEqual(problemsOf(collector), []));
});

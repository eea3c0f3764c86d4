/**
 * What has an end, reached: it is told once, clearly, and costs nobody an open. The table of all bounds is in
 * docs/hardening.md; those that need no kernel are tested in test/unit and test/native.
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openInChild, run } from './children.ts';
import { Agent } from './harness.ts';
import { Scratch } from './scratch.ts';

const block = (name: string, files: string, more: object = {}) => ({
  ...{ name, path: files, behavior: 'block', operations: ['read'], apps: [] },
  ...more,
});
const host = (rules: readonly unknown[], limits: object) => ({
  limits,
  records: { command_args: true },
  groups: [{ name: 'host', members: { host: true }, mode: 'protect', rules }],
});

describe('limits of marks and depth', () => {
  const scratch = new Scratch();
  const secret = scratch.write('secret');
  const deep = scratch.write('deep/1/2/3/4/5/6/file');
  const directories = 300;
  const rules = [
    block('secret', secret),
    block('many', `${scratch.path('many')}/**`),
    block('deep', `${scratch.path('deep')}/**`),
  ];
  const gaps = (event: 'degraded' | 'restored', type: string) =>
    agent.matching({
      event: `fileward.coverage.${event}`,
      attributes: { 'error.type': type },
    });
  let agent: Agent;

  before(async () => {
    for (let index = 0; index < directories; index++) scratch.write(`many/${index}/file`);
    agent = await Agent.start(scratch, host(rules, { marks: 200, depth: 4 }));
  });
  after(async () => {
    await agent?.stop();
    scratch.remove();
  });

  it('are told once for each rule that they leave uncovered', async () => {
    const attributes = { 'security_rule.name': 'deep', 'error.type': 'depth_limit' };
    const { severity } = await agent.record({ event: 'fileward.coverage.degraded', attributes });
    assert.equal(severity, 13);
    await agent.record({
      attributes: { 'security_rule.name': 'many', 'error.type': 'mark_limit' },
    });
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
    assert.equal(await openInChild(deep, 'O_RDONLY'), 'ok');
    agent.signal('SIGHUP');
    await agent.logged((line) => line['cause'] === 'SIGHUP', 'the reload');
    await agent.settle();
    for (const type of ['depth_limit', 'mark_limit']) {
      const names = gaps('degraded', type).map((each) => each.attributes['security_rule.name']);
      assert.equal(new Set(names).size, names.length, `${type}: ${names.join(' ')}`);
    }
  });

  it('are over when they are raised', async () => {
    await agent.reconfigure(host(rules, {}));
    await agent.record({
      event: 'fileward.coverage.restored',
      attributes: { 'security_rule.name': 'deep', 'error.type': 'depth_limit' },
    });
    assert.ok(gaps('restored', 'mark_limit').length > 0);
    for (const file of [deep, scratch.path('many/0/file'), scratch.path('many/299/file')]) {
      assert.equal(await openInChild(file, 'O_RDONLY'), 'EPERM', file);
    }
  });

  it('a record holds the longest path there is, and 4 KiB of arguments', async () => {
    // Relative steps: no single call takes such a path.
    const step = 'd'.repeat(200);
    let folder = scratch.path('deep');
    while (folder.length + step.length + 2 < 4000) folder = path.join(folder, step);
    mkdirSync(folder, { recursive: true });
    const long = path.join(folder, 'f'.repeat(4095 - folder.length - 1));
    assert.equal(Buffer.byteLength(long), 4095);
    await agent.reconfigure(
      host([...rules, block('long', `${scratch.path('deep')}/**`)], { depth: 64 }),
    );
    const made = await run('perl', ['-e', 'open F, ">", $ARGV[0] or die $!', long]);
    assert.equal(made.code, 0, made.stderr);
    // As many arguments as one exec takes.
    const many = Array.from({ length: 1000 }, (_, index) => `${index}\u001b[31m${'x'.repeat(100)}`);
    await run('perl', ['-e', 'open F, "<", $ARGV[-1]', ...many, long]);
    const { attributes, body } = await agent.record({ event: 'fileward.file.denied', path: long });
    const args = attributes['process.command_args'];
    assert.ok(Array.isArray(args) && args.length > 30);
    assert.ok(Buffer.byteLength(args.join('\0')) <= 4096);
    assert.doesNotMatch(body, /\p{Cc}/u);
  });
});

it('a few descriptors are enough for many openers: none is denied for want of one', async () => {
  const scratch = new Scratch();
  const file = scratch.write('file');
  const rules = [block('file', file, { apps: ['/usr/bin/perl'] })];
  const agent = await Agent.start(scratch, host(rules, {}), {
    entrance: ['sh', '-c', 'ulimit -n 256; exec "$@"', 'sh'],
  });
  try {
    const openers = 300;
    const script = `
      pipe R, W; my @kids;
      for (1 .. ${openers}) {
        my $pid = fork;
        if (!$pid) { close W; <R>; for (1 .. 20) { open F, '<', $ARGV[0] or exit 1; close F } exit 0 }
        push @kids, $pid;
      }
      close W; my $failed = 0;
      for (@kids) { waitpid $_, 0; $failed++ if $? }
      print $failed;`;
    const { stdout, stderr } = await run('perl', ['-e', script, file], { timeoutMs: 60_000 });
    assert.equal(stdout, '0', stderr);
    assert.deepEqual(agent.matching({ event: 'fileward.file.denied' }), []);
    assert.equal(await openInChild(file, 'O_RDONLY'), 'EPERM');
  } finally {
    await agent.stop();
    scratch.remove();
  }
});

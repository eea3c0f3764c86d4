/** The ledger of a running agent: what was offered is what was told and what was lost, when the ring overflows too. */
import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StatusResult } from '../../src/control/protocol.ts';
import { helper, run } from './children.ts';
import { Agent, commandLine } from './harness.ts';
import { Scratch } from './scratch.ts';

/** More than the ring holds: 16 MiB, some 400 bytes each. */
const OPENS = 60_000;

const scratch = new Scratch();
after(() => scratch.remove());

async function statusOf(agent: Agent, ...options: string[]): Promise<string> {
  const [node, args] = commandLine(['status', '-c', agent.configurationFile, ...options]);
  const { stdout, stderr, code } = await run(node, args);
  assert.equal(code, 0, stderr);
  return stdout;
}

async function ledgerOf(agent: Agent) {
  const { ledger }: StatusResult = JSON.parse(await statusOf(agent, '--json'));
  return Object.fromEntries(ledger.map((stage) => [stage.stage, stage]));
}

/** The JavaScript thread alone: SIGSTOP would hold the threads that fill the ring, too. */
async function holdMainThread(
  agent: Agent,
): Promise<ChildProcessByStdio<Writable, Readable, null>> {
  const holder = spawn(helper('hold'), [String(agent.pid)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  await once(holder.stdout, 'data');
  return holder;
}

/** Opens a file so often and says how many of the opens were denied. */
async function deniedOpens(file: string, times: number): Promise<number> {
  const code = `$! = 0; for (1..$ARGV[1]) { open(my $f, '<', $ARGV[0]) or $n += $!{EPERM} } print $n`;
  const { stdout, stderr } = await run(
    '/usr/bin/perl',
    ['-MErrno', '-e', code, file, String(times)],
    {
      timeoutMs: 120_000,
    },
  );
  assert.equal(stderr, '');
  return Number(stdout);
}

async function until(holds: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !holds(); ) {
    assert.ok(Date.now() < deadline);
    await sleep(50);
  }
}

function countsOf(agent: Agent, event: string): number {
  return agent
    .matching({ event })
    .reduce((sum, { attributes }) => sum + Number(attributes['fileward.count']), 0);
}

describe('the ledger', () => {
  it('adds up when nothing is lost, in JSON and as text', async (t) => {
    const secret = scratch.write('a/secret');
    const rules = [
      { name: 'secret', path: secret, behavior: 'block', operations: ['read'], apps: [] },
      { name: 'watched', path: scratch.path('w/**'), behavior: 'watch' },
    ];
    scratch.directory('w');
    const agent = await Agent.start(scratch, {
      groups: [{ name: 'host', members: { host: true }, mode: 'protect', rules }],
      records: { window: '1s' },
    });
    t.after(() => agent.kill());
    assert.equal(await deniedOpens(secret, 500), 500);
    for (let i = 0; i < 200; i++) scratch.write(`w/${i}`);
    await agent.settle();
    const { kernel, ring, records } = await ledgerOf(agent);
    assert.ok(kernel && ring && records);
    for (const stage of [kernel, ring, records]) assert.equal(stage.unaccounted, 0, stage.stage);
    assert.ok((kernel.in['permission'] ?? 0) >= 500);
    assert.ok((kernel.in['notification'] ?? 0) >= 200);
    assert.ok((records.in['drained'] ?? 0) >= 700);
    assert.ok((records.out['folded'] ?? 0) + records.waiting >= 498);
    assert.deepEqual(ring.dropped, { ring_full: 0 });
    const text = await statusOf(agent);
    assert.match(text, /^kernel +in permission \d+, notification \d+ +out judged/m);
    assert.match(text, /^records +in drained \d+ +out told \d+, folded \d+/m);
    assert.doesNotMatch(text, /unaccounted/);
    await agent.stop();
    assert.deepEqual(
      agent.log.filter(({ level }) => Number(level) >= 50),
      [],
    );
  });

  it('adds up when the ring overflows: what was denied is what was told and what was lost', async (t) => {
    const secret = scratch.write('b/secret');
    const rules = [
      { name: 'secret', path: secret, behavior: 'block', operations: ['read'], apps: [] },
    ];
    const agent = await Agent.start(scratch, {
      groups: [{ name: 'host', members: { host: true }, mode: 'protect', rules }],
      records: { window: '1s' },
    });
    t.after(() => agent.kill());
    const before = Date.now();
    const holder = await holdMainThread(agent);
    // Nobody waits for JavaScript: all of them are decided meanwhile.
    assert.equal(await deniedOpens(secret, OPENS), OPENS);
    holder.stdin.end();
    const [code] = await once(holder, 'exit');
    assert.equal(code, 0);
    const lost = await agent.record({ event: 'fileward.record.lost' });
    assert.equal(lost.attributes['error.type'], 'ring_full');
    assert.equal(lost.attributes['fileward.lost.stage'], 'ring');
    const [from, to] = ['fileward.first_seen', 'fileward.last_seen'].map((name) =>
      Date.parse(String(lost.attributes[name])),
    );
    assert.ok(from && to && before <= from && from < to && to <= Date.now());
    await agent.settle();
    const { ring, records } = await ledgerOf(agent);
    assert.ok(ring && records);
    assert.ok((ring.dropped['ring_full'] ?? 0) > 1000, 'it did overflow');
    assert.equal(ring.unaccounted, 0);
    assert.equal(records.unaccounted, 0);
    await agent.stop();
    const told = countsOf(agent, 'fileward.file.denied');
    assert.ok(told > 10_000);
    assert.equal(told + countsOf(agent, 'fileward.record.lost'), OPENS);
    assert.equal(countsOf(agent, 'fileward.record.lost'), ring.dropped['ring_full']);
  });

  it('has what waited when the agent was killed lie in the gap that the next one tells', async (t) => {
    const secret = scratch.write('c/secret');
    const rules = [
      { name: 'secret', path: secret, behavior: 'block', operations: ['read'], apps: [] },
    ];
    const configuration = {
      groups: [{ name: 'host', members: { host: true }, mode: 'protect', rules }],
      records: { window: '60s' },
    };
    const killed = await Agent.start(scratch, configuration);
    t.after(() => killed.kill());
    assert.equal(await deniedOpens(secret, 1), 1);
    const before = Date.now();
    assert.equal(await deniedOpens(secret, 50), 50);
    // Folded into a record that the end of the window would have told; the agent goes on living for a while.
    const alive = path.join(scratch.base, 'state/alive');
    const { mtimeMs } = statSync(alive);
    await until(() => statSync(alive).mtimeMs > mtimeMs);
    await sleep(2500);
    await killed.stop('SIGKILL');
    const told = countsOf(killed, 'fileward.file.denied');
    assert.equal(told, 1);
    const agent = await Agent.start(scratch, configuration);
    t.after(() => agent.kill());
    const { attributes } = await agent.record({
      event: 'fileward.record.lost',
      attributes: { 'error.type': 'crash' },
    });
    assert.equal(attributes['fileward.lost.stage'], 'agent');
    assert.ok(!('fileward.count' in attributes), 'nobody knows the number');
    // The first of them came within the time that perl takes to start.
    assert.ok(Date.parse(String(attributes['fileward.first_seen'])) <= before + 2000);
    assert.ok(Date.parse(String(attributes['fileward.last_seen'])) >= before + 2500);
    await agent.stop();
  });
});

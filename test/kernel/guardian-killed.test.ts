/** An agent that dies: whoever waits is answered, and where a rule says `on_deadline: deny` the kill is not a way in. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openInChild } from './children.ts';
import {
  byDeadline,
  decided,
  eventually,
  GuardedSite,
  hasEnded,
  released,
  tell,
} from './guardian-site.ts';
import type { Agent } from './harness.ts';
import { OpenLoad } from './load/open-load.ts';
import { entering, TestCgroup } from './test-cgroup.ts';

/** Leaves a cgroup without memory until the kernel has killed its agent. */
async function runOutOfMemory(cgroup: TestCgroup, agent: Agent): Promise<void> {
  // The one to choose.
  writeFileSync(`/proc/${agent.pid}/oom_score_adj`, '1000');
  const [limit, usage] = cgroup.isV2
    ? (['memory.max', 'memory.current'] as const)
    : (['memory.limit_in_bytes', 'memory.usage_in_bytes'] as const);
  cgroup.write(limit, Number(cgroup.read(usage)) + 16 * 1024 * 1024);
  const [enter = '', ...args] = entering([cgroup]);
  const grow = `my @x; push @x, 'x' x 65536 for 1 .. 2048; sleep 60`;
  const child = spawn(enter, [...args, 'perl', '-e', grow], { stdio: 'ignore', timeout: 60_000 });
  const closed = once(child, 'close');
  const { signal } = await agent.exited;
  child.kill('SIGKILL');
  await closed;
  assert.equal(signal, 'SIGKILL');
}

describe('an agent that dies', () => {
  let site: GuardedSite;
  let agent: Agent | undefined;
  let socket: string;

  beforeEach(() => {
    site = new GuardedSite();
    socket = path.join(site.state, 'guardian.sock');
  });
  afterEach(async () => site.remove(agent));

  async function start(keeps: boolean, options = {}): Promise<number> {
    agent = await site.start(options, site.configuration(keeps));
    return await site.guardian();
  }

  it('releases everybody where no rule says on_deadline: deny, its guardian too', async () => {
    const guardian = await start(false);
    agent?.signal('SIGSTOP');
    const waiting = site.answers();
    await agent?.stop('SIGKILL');
    for (const answer of await waiting) assert.match(answer, /: (ok|EPERM)$/);
    await site.answersAre(released);
    await eventually('its end', () => hasEnded(guardian) || undefined);
    assert.equal(existsSync(socket), false);
  });

  const memory = TestCgroup.make('memory');
  process.once('exit', () => memory?.remove());
  const deaths: [string, string[], () => Promise<unknown>][] = [
    ['SIGKILL', [], async () => agent?.stop('SIGKILL')],
    ['SIGSEGV', [], async () => agent?.stop('SIGSEGV')],
    ...(memory === undefined
      ? []
      : ([
          [
            'the OOM killer',
            entering([memory]),
            async () => agent && runOutOfMemory(memory, agent),
          ],
        ] satisfies typeof deaths)),
  ];
  for (const [how, entrance, die] of deaths) {
    it(`by ${how}: its guardian keeps what is denied until the next agent decides`, async () => {
      const guardian = await start(true, { entrance });
      await site.answersAre(decided);
      const load = await OpenLoad.running({ files: { [site.sealed]: 'EPERM' }, pauseUs: 500 });
      await die();
      await site.answersAre(byDeadline);
      assert.equal(hasEnded(guardian), false);
      await eventually('its socket', () => existsSync(socket) || undefined);
      const look = JSON.parse(await tell(socket, 'look'));
      assert.ok(Number(look.denied) > 0);
      agent = await site.start();
      await site.answersAre(decided);
      const { wrong, opens } = await load.end();
      assert.deepEqual([wrong, opens > 0], [0, true]);
      await site.guardian();
      assert.ok(hasEnded(guardian));
      assert.equal(existsSync(socket), false);
      const about = { 'error.type': 'agent_gone' };
      const degraded = await agent.record({
        event: 'fileward.enforcement.degraded',
        attributes: about,
      });
      assert.ok(Number(degraded.attributes['fileward.enforcement.denied']) > 0);
      await agent.record({ event: 'fileward.enforcement.restored', attributes: about });
      await agent.record({
        event: 'fileward.record.lost',
        attributes: { 'error.type': 'deadline', 'fileward.count': (n: unknown) => Number(n) > 0 },
      });
    });
  }

  it('after a reload without on_deadline: deny releases everybody', async () => {
    const guardian = await start(true);
    await agent?.reconfigure(site.configuration(false));
    await agent?.stop('SIGKILL');
    await site.answersAre(released);
    await eventually('its end', () => hasEnded(guardian) || undefined);
  });

  it('and dies again before it is ready leaves one guardian, not two', async () => {
    const first = await start(true);
    await agent?.stop('SIGKILL');
    agent = await site.start({ waitForReady: false });
    const registered = path.join('/run/fileward', `${agent.pid}.json`);
    await eventually('its session', () => existsSync(registered) || undefined);
    await agent.stop('SIGKILL');
    await site.answersAre(byDeadline);
    agent = await site.start();
    await site.answersAre(decided);
    await site.guardian();
    assert.ok(hasEnded(first));
  });

  it('together with its guardian releases everybody', async () => {
    const guardian = await start(true);
    agent?.signal('SIGSTOP');
    const waiting = site.answers();
    await sleep(20);
    process.kill(guardian, 'SIGSTOP');
    agent?.signal('SIGKILL');
    process.kill(guardian, 'SIGKILL');
    for (const answer of await waiting) assert.match(answer, /: (ok|EPERM)$/);
    await site.answersAre(released);
  });

  it('whose guardian was stopped then: the next agent releases who waits', async () => {
    const guardian = await start(true);
    await agent?.stop('SIGKILL');
    await eventually('its socket', () => existsSync(socket) || undefined);
    process.kill(guardian, 'SIGSTOP');
    const waiting = openInChild(site.lenient, 'O_RDONLY', { timeoutMs: 60_000 });
    agent = await site.start();
    assert.match(await waiting, /ok|EPERM/);
    assert.ok(hasEnded(guardian));
    await site.answersAre(decided);
  });
});

describe('a clean stop', () => {
  it('ends the guardian and leaves nobody waiting, whatever on_deadline says', async () => {
    const site = new GuardedSite();
    const agent = await site.start();
    const guardian = await site.guardian();
    const load = await OpenLoad.running({ files: { [site.lenient]: 'any' }, pauseUs: 500 });
    assert.deepEqual(await agent.stop(), { code: 0, signal: null });
    assert.ok(hasEnded(guardian));
    await site.answersAre(released);
    await load.end();
    assert.equal(existsSync(path.join(site.state, 'guardian.sock')), false);
    assert.deepEqual(
      agent.records.filter(({ event }) => event.startsWith('fileward.enforcement.')),
      [],
    );
    await site.remove(agent);
  });
});

/**
 * An agent that lives and doesn't answer: its guardian does, by `on_deadline`, and the agent tells so afterwards. No time
 * is held here but that of a child, which would wait for ever: test/bench/guardian.bench.ts measures.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Collector, labelsOf } from '../otlp/collector.ts';
import { openInChild } from './children.ts';
import {
  byDeadline,
  decided,
  eventually,
  GuardedSite,
  hasEnded,
  Hold,
  threadsOf,
} from './guardian-site.ts';
import type { Agent, RecordLine } from './harness.ts';
import { entering, TestCgroup } from './test-cgroup.ts';

const cgroups = (['freezer', 'v2'] as const).flatMap((kind) => TestCgroup.make(kind) ?? []);
process.once('exit', () => {
  for (const cgroup of cgroups) {
    cgroup.freeze(false);
    cgroup.remove();
  }
});

const answersOf = (list: readonly string[], answer: string) =>
  list.filter((line) => line.endsWith(`: ${answer}`)).length;

describe('an agent that does not answer', () => {
  const site = new GuardedSite();
  let agent: Agent;
  let seen = 0;

  before(async () => {
    agent = await site.start({ entrance: entering(cgroups) });
    await site.guardian();
  });
  after(async () => {
    for (const cgroup of cgroups) cgroup.freeze(false);
    await site.remove(agent);
  });

  /** The trouble since the last call: that it began, and that it was over. */
  async function told(reason: string): Promise<[RecordLine, RecordLine]> {
    const restored = await eventually('the end', () =>
      agent.records
        .slice(seen)
        .find(
          ({ event, attributes }) =>
            event === 'fileward.enforcement.restored' && attributes['error.type'] === reason,
        ),
    );
    const degraded = agent.records
      .slice(seen)
      .find(({ event }) => event === 'fileward.enforcement.degraded');
    assert.ok(degraded);
    seen = agent.records.length;
    return [degraded, restored];
  }

  const stops: [string, (run: () => Promise<void>) => Promise<void>][] = [
    [
      'stopped by SIGSTOP',
      async (run) => {
        agent.signal('SIGSTOP');
        await run().finally(() => agent.signal('SIGCONT'));
      },
    ],
    [
      'held by a debugger',
      async (run) => {
        await using _ = await Hold.begin('hold', ...threadsOf(agent.pid));
        await run();
      },
    ],
    [
      'whose decision thread alone is held',
      async (run) => {
        await using _ = await Hold.begin('hold', ...threadsOf(agent.pid, 'fw-decision'));
        await run();
      },
    ],
    ...cgroups.map((cgroup): (typeof stops)[number] => [
      `whose cgroup is frozen (${cgroup.isV2 ? 'v2' : 'v1'})`,
      async (run) => {
        cgroup.freeze(true);
        await run().finally(() => cgroup.freeze(false));
      },
    ]),
  ];
  for (const [how, stop] of stops) {
    it(`${how}: its guardian answers, and it says so when it is back`, async () => {
      await site.answersAre(decided);
      seen = agent.records.length;
      await stop(async () => {
        assert.deepEqual(await site.answers(), byDeadline);
        // Again, when the guardian reads already.
        assert.deepEqual(await site.answers(), byDeadline);
        // What an opener wants can be told only once it waits, which takes it a while on a busy machine.
        await eventually('a reader let in', async () => {
          return (await openInChild(site.program, 'O_RDONLY')) === 'ok' || undefined;
        });
      });
      await site.answersAre(decided);
      const [degraded, restored] = await told('not_reading');
      assert.equal(degraded.severity, 17);
      assert.equal(degraded.attributes['error.type'], 'not_reading');
      assert.equal(restored.severity, 9);
      const { attributes } = restored;
      assert.equal(attributes['fileward.first_seen'], degraded.attributes['fileward.first_seen']);
      assert.ok(
        String(attributes['fileward.last_seen']) > String(attributes['fileward.first_seen']),
      );
      // Openers are read by nobody but the guardian; of programs that start there may be more.
      const least = 2 * answersOf(byDeadline, 'EPERM');
      assert.ok(Number(attributes['fileward.enforcement.denied']) >= least, restored.body);
      assert.ok(Number(attributes['fileward.enforcement.allowed']) > 0, restored.body);
      const lost = await agent.record({
        event: 'fileward.record.lost',
        attributes: { 'error.type': 'deadline', 'fileward.lost.stage': 'kernel' },
      });
      assert.ok(Number(lost.attributes['fileward.count']) >= least);
      const { ready, ledger } = await site.status();
      assert.equal(ready, true);
      assert.deepEqual(
        ledger.map(({ unaccounted }) => unaccounted),
        ledger.map(() => 0),
      );
    });
  }

  it('is what `status` shows while it lasts', async () => {
    await using _ = await Hold.begin('hold', ...threadsOf(agent.pid, 'fw-decision'));
    assert.equal(await openInChild(site.lenient, 'O_RDONLY'), 'ok');
    const { ready, degraded, guardian } = await site.status();
    assert.deepEqual([ready, guardian.standing_in], [false, 'not_reading']);
    assert.match(degraded.join('\n'), /guardian answers by on_deadline/);
  });
});

describe('an agent that answers far too late', () => {
  const site = new GuardedSite();
  let collector: Collector;
  let agent: Agent;

  before(async () => {
    collector = await Collector.start({ protocol: 'grpc' });
    agent = await site.start(
      { exports: true, env: { OTEL_METRIC_EXPORT_INTERVAL: '200' } },
      { ...site.configuration(true, '5s'), telemetry: { endpoint: collector.url } },
    );
    await site.guardian();
  });
  after(async () => {
    await site.remove(agent);
    await collector.close();
  });

  const active = () => {
    const points = collector.metric('fileward.enforcement.active')?.gauge?.dataPoints ?? [];
    return points.find((point) => Object.values(labelsOf(point)).includes('host'))?.asInt;
  };

  it('misses its canary, stops deciding, says so, and tries again', async () => {
    await eventually('enforcement', () => (active() === '1' ? true : undefined));
    {
      await using _ = await Hold.begin('slow', ...threadsOf(agent.pid, 'fw-decision'), '1500');
      const degraded = await agent.record({
        event: 'fileward.enforcement.degraded',
        attributes: { 'error.type': 'canary' },
      });
      assert.equal(degraded.severity, 17);
      await eventually('0 as the metric', () => (active() === '0' ? true : undefined));
    }
    await agent.record({
      event: 'fileward.enforcement.restored',
      attributes: { 'error.type': 'canary' },
    });
    await site.answersAre(decided);
    await eventually('1 as the metric', () => (active() === '1' ? true : undefined));
    const { guardian } = await site.status();
    assert.ok(guardian.canary.misses >= 2);
    const canary = collector.metric('fileward.canary.duration')?.histogram?.dataPoints ?? [];
    assert.ok(canary.some(({ count }) => Number(count) > 0));
  });
});

describe('a guardian', () => {
  const site = new GuardedSite();
  let agent: Agent;

  before(async () => {
    agent = await site.start();
  });
  after(async () => site.remove(agent));

  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    it(`that gets ${signal} is replaced, and nobody waits meanwhile`, async () => {
      const pid = await site.guardian();
      const before = agent.records.length;
      process.kill(pid, signal);
      await site.answersAre(decided);
      const next = await eventually('another guardian', async () => {
        const found = (await site.status()).guardian.pid;
        return found !== 0 && found !== pid ? found : undefined;
      });
      assert.equal(await site.guardian(), next);
      assert.ok(hasEnded(pid));
      const told = await eventually('both records', () => {
        const found = agent.records
          .slice(before)
          .filter(({ attributes }) => attributes['error.type'] === 'no_guardian')
          .map(({ event }) => event);
        return found.length >= 2 ? found : undefined;
      });
      const events = ['fileward.enforcement.degraded', 'fileward.enforcement.restored'];
      assert.deepEqual(told, events);
      // The next one answers as the first would have.
      agent.signal('SIGSTOP');
      try {
        assert.deepEqual(await site.answers(), byDeadline);
      } finally {
        agent.signal('SIGCONT');
      }
      await site.answersAre(decided);
    });
  }
});

/**
 * Nothing is lost on the way to the collector: a real agent makes records of real denials while the collector, the agent
 * itself, the network or the disk fails. What is said of each: every denial that the opener has seen arrives at least
 * once, with one uid however often, or lies within a gap that a `fileward.record.lost` tells.
 */
// Long because one promise is held to under many failures.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StatusResult } from '../../src/control/protocol.ts';
import { run } from '../kernel/children.ts';
import { Agent, commandLine } from '../kernel/harness.ts';
import { Scratch } from '../kernel/scratch.ts';
import { type Answer, Collector } from '../otlp/collector.ts';
import { Network } from '../otlp/network.ts';
import { type Arrived, ArrivalsFile, arrivedAt } from './arrived.ts';
import { Denials, denials, makeFiles } from './denials.ts';
import { missingBackends } from './programs.ts';
import { stopServers, until } from './server-process.ts';
import { startCollector } from './servers.ts';

after(stopServers);

function configurationOf(stem: string, telemetry: object, more: object = {}) {
  const rule = {
    name: 'denied',
    path: `${stem}*`,
    behavior: 'block',
    operations: ['read'],
    apps: [],
  };
  return {
    telemetry,
    groups: [{ name: 'host', members: { host: true }, mode: 'protect', rules: [rule] }],
    ...more,
  };
}

async function startAgent(
  t: TestContext,
  scratch: Scratch,
  configuration: ReturnType<typeof configurationOf>,
  env: Record<string, string> = {},
): Promise<Agent> {
  const agent = await Agent.start(scratch, configuration, { exports: true, env });
  t.after(() => agent.kill());
  return agent;
}

async function statusOf(agent: Agent): Promise<StatusResult> {
  const [node, args] = commandLine(['status', '--json', '-c', agent.configurationFile]);
  const { stdout, stderr, code } = await run(node, args);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

/** Waits until the outbox is empty, and says that every stage adds up. */
async function delivered(agent: Agent): Promise<StatusResult> {
  const status = await until('outbox that is empty', async () => {
    const status = await statusOf(agent);
    return status.export['waiting'] === 0 && status;
  });
  for (const stage of status.ledger) assert.equal(stage.unaccounted, 0, JSON.stringify(stage));
  return status;
}

/** Resident now, or at most since the agent began; MiB. */
function memoryOf(agent: Agent, what: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
  const [, kibibytes] = new RegExp(`^${what}:\\s+(\\d+) kB$`, 'm').exec(status) ?? [];
  return Number(kibibytes) / 1024;
}

describe('50,000 records', { skip: missingBackends() }, () => {
  const DENIALS = 50_000;

  it('arrive though the collector is killed three times, the agent twice, the network gone for 30 s', async (t) => {
    const scratch = new Scratch();
    t.after(() => scratch.remove());
    const stem = scratch.path('secret/file');
    makeFiles(stem, DENIALS);
    const collector = await startCollector({ arrivals: true });
    const file = new ArrivalsFile(collector);
    const network = await Network.start(Number(new URL(collector.grpcUrl).port));
    t.after(() => network.refuse());
    const configuration = configurationOf(stem, { endpoint: network.url });
    let agent = await startAgent(t, scratch, configuration);
    const restartAgent = async () => {
      await agent.stop('SIGKILL');
      agent = await startAgent(t, scratch, configuration);
    };

    const opener = new Denials(stem, { last: DENIALS - 1, rate: 750 });
    await opener.reach(4_000);
    await collector.kill();
    await opener.reach(6_000);
    await collector.start();
    await opener.reach(10_000);
    await restartAgent();
    await opener.reach(14_000);
    await collector.kill();
    await opener.reach(16_000);
    await collector.start();
    await opener.reach(18_000);
    await network.refuse();
    const back = sleep(30_000).then(() => network.accept());
    // What was denied until here is on disk only.
    await opener.reach(26_000);
    await restartAgent();
    const recovered = (await statusOf(agent)).ledger.at(-1)?.in['recovered'] ?? 0;
    assert.ok(recovered >= 7_000, `${recovered} records found on disk`);
    await back;
    await opener.reach(44_000);
    await collector.kill();
    await opener.reach(46_000);
    await collector.start();
    const denied = await opener.all();
    assert.equal(denied.size, DENIALS);

    await delivered(agent);
    const arrived = file.read();
    assert.deepEqual(arrived.missing(denied), []);
    for (const [name, uids] of arrived.denied) assert.equal(uids.size, 1, `${name} has one uid`);
    const gaps = [...arrived.gaps.values()];
    assert.deepEqual(
      gaps.map(({ reason }) => reason),
      ['crash', 'crash'],
    );
    const inGaps = [...denied.keys()].filter((name) => !arrived.denied.has(name)).length;
    t.diagnostic(
      `${denied.size} denials: ${arrived.denied.size} arrived, ${inGaps} lie in the gaps of the two crashes; ` +
        `${arrived.records - arrived.uids.size} duplicates; ${recovered} records found on disk by the third agent`,
    );
    // A gap is no excuse for more than the moment before a kill.
    assert.ok(inGaps < 2 * 2 * 750, String(inGaps));
    await agent.stop();
  });
});

describe('a full disk under the outbox', () => {
  it('is said, costs what does not fit into memory by number, and is over when there is room', async (t) => {
    const scratch = new Scratch();
    const state = smallDisk(t, scratch);
    t.after(() => scratch.remove());
    // Long names make large records: fewer of them fill the memory.
    const stem = scratch.path(`secret/${'long-name-'.repeat(20)}`);
    const first = 200;
    const last = 45_000;
    makeFiles(stem, last);
    const gone = await Collector.start({ protocol: 'grpc' });
    await gone.close();
    const agent = await startAgent(
      t,
      scratch,
      configurationOf(stem, { endpoint: gone.url }, { state }),
    );
    const before = await denials(stem, { last: first - 1 });
    const filler = fillDisk(state);
    const during = await denials(stem, { first, last: last - 1 });
    const said = await agent.logged(
      ({ msg }) => /kept on disk/.test(msg ?? ''),
      'that the disk is full',
    );
    assert.equal(said.level, 50);
    assert.match(String(said['problem']), /full/);
    const { degraded } = await statusOf(agent);
    assert.ok(degraded.some((reason) => /kept on disk.*full/.test(reason)));
    const lost = await agent.record({
      event: 'fileward.record.lost',
      attributes: { 'error.type': 'outbox_write_failed' },
    });
    assert.equal(lost.attributes['fileward.lost.stage'], 'outbox');
    t.diagnostic(
      `${during.size} denials on a full disk, peak memory ${memoryOf(agent, 'VmHWM').toFixed(0)} MiB`,
    );

    rmSync(filler);
    await agent.logged(({ msg }) => /on disk again/.test(msg ?? ''), 'that it is over', 60_000);
    const collector = await Collector.start({ protocol: 'grpc', port: gone.port });
    t.after(() => collector.close());
    await delivered(agent);
    await agent.stop();
    const arrived = arrivedAt(collector);
    const missing = [...before.keys(), ...during.keys()].filter(
      (name) => !arrived.denied.has(name),
    );
    assert.ok(missing.length > 0, 'not all fitted into memory');
    assert.equal(arrived.lost('outbox_write_failed'), missing.length);
    assert.deepEqual(arrived.missing(new Map([...before, ...during])), []);
    assert.ok([...before.keys()].every((name) => arrived.denied.has(name)));
  });
});

/** A file system of 160 MiB, for `state`. */
function smallDisk(t: TestContext, scratch: Scratch): string {
  const image = path.join(scratch.base, 'disk');
  const mount = path.join(scratch.base, 'small');
  execFileSync('truncate', ['-s', '160M', image]);
  execFileSync('mkfs.ext4', ['-q', '-m', '0', image]);
  execFileSync('mkdir', [mount]);
  execFileSync('mount', ['-o', 'loop', image, mount]);
  t.after(() => execFileSync('umount', ['--lazy', mount]));
  return path.join(mount, 'state');
}

/** Leaves no byte free. @returns what took them */
function fillDisk(state: string): string {
  const filler = path.join(path.dirname(state), 'filler');
  for (const bytes of [1 << 16, 1 << 12, 1]) {
    try {
      for (;;) writeFileSync(filler, Buffer.alloc(bytes), { flag: 'a' });
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    }
  }
  assert.ok(statSync(filler).size > 0);
  return filler;
}

for (const protocol of ['grpc', 'http/protobuf'] as const) {
  describe(`a collector over ${protocol}`, () => {
    const EACH = 3_000;
    const scratch = new Scratch();
    const stem = scratch.path('secret/file');
    after(() => scratch.remove());
    makeFiles(stem, EACH);

    /** Starts both with a network between them, has every file denied once, and says that nothing is missing. */
    async function behaving(
      t: TestContext,
      misbehave: (collector: Collector, network: Network) => Promise<void> | void,
    ): Promise<{ status: StatusResult; arrived: Arrived; collector: Collector }> {
      const collector = await Collector.start({ protocol });
      t.after(() => collector.close());
      const network = await Network.start(collector.port);
      t.after(() => network.refuse());
      const agent = await startAgent(
        t,
        scratch,
        configurationOf(stem, { protocol, endpoint: network.url }),
      );
      const misbehaving = misbehave(collector, network);
      const denied = await denials(stem, { last: EACH - 1 });
      await misbehaving;
      const status = await delivered(agent);
      await agent.stop();
      const arrived = arrivedAt(collector);
      assert.equal(denied.size, EACH);
      assert.deepEqual(arrived.missing(denied), []);
      for (const [name, uids] of arrived.denied) assert.equal(uids.size, 1, `${name} has one uid`);
      return { status, arrived, collector };
    }

    /** For the next requests. */
    function answers(number: number, answer: Answer): (collector: Collector) => void {
      return (collector) => collector.answers.push(...Array.from({ length: number }, () => answer));
    }

    it('that answers slowly gets all', async (t) => {
      const { status, arrived } = await behaving(t, answers(6, { delayMs: 1500 }));
      assert.equal(status.export['lost'], 0);
      assert.equal(arrived.gaps.size, 0);
    });

    it('that is exhausted and says when to come again gets all', async (t) => {
      const busy = { grpc: 8, http: 429, retryAfterMs: 1000 };
      const { status, arrived } = await behaving(t, answers(8, busy));
      assert.ok(Number(status.export['retries']) > 0);
      assert.equal(arrived.gaps.size, 0);
    });

    it('that is exhausted and says no more gets all', async (t) => {
      const { status, arrived } = await behaving(t, answers(8, { grpc: 8, http: 429 }));
      assert.ok(Number(status.export['retries']) > 0);
      assert.equal(arrived.gaps.size, 0);
    });

    it('that takes them but whose answer is lost gets some twice, under the same uid', async (t) => {
      const lost = { grpc: 14, http: 503, taken: true };
      const { arrived } = await behaving(t, answers(6, lost));
      assert.ok(arrived.records > arrived.uids.size, 'some came twice');
      assert.equal(arrived.gaps.size, 0);
    });

    it('that accepts a part is believed: what it rejects is lost by number and not sent again', async (t) => {
      const { status, arrived, collector } = await behaving(t, answers(3, { rejected: 1 }));
      assert.equal(status.ledger.at(-1)?.dropped['export_rejected'], 3);
      // It keeps them, being only a test; each came once.
      const uids = [...arrived.denied.values()].flatMap((each) => [...each]);
      assert.equal(new Set(uids).size, uids.length);
      assert.equal(collector.records().length, arrived.records);
      const rejected = [...arrived.gaps.values()].filter(
        ({ reason }) => reason === 'export_rejected',
      );
      assert.ok(rejected.length > 0);
    });

    it('that breaks the connection in the middle of a request gets all', async (t) => {
      const { status, arrived } = await behaving(t, async (_, network) => {
        network.cutAfter(50_000);
        await until('connections that were cut', () => network.cuts >= 4);
        network.cutAfter();
      });
      assert.ok(Number(status.export['retries']) > 0);
      assert.equal(arrived.gaps.size, 0);
    });
  });
}

describe('memory', () => {
  /**
   * What may lie in memory for a collector that is too slow, beyond what the same events take with a fast one: 32 MiB
   * that the worker has not taken yet, 4 MiB ready in each of two lanes of evidence, four requests of 2 MiB in flight in
   * each with what they are made of, 8 MiB of cache of the database: 80 MiB; and what the garbage collector has not taken
   * back yet, of which V8 is told to leave little, so that the number is about what is kept.
   */
  const BOUND_MIB = 160;
  const TIDY = { NODE_OPTIONS: '--max-semi-space-size=2 --max-old-space-size=192' };

  it('is bounded with a collector that is too slow for what comes', async (t) => {
    const scratch = new Scratch();
    t.after(() => scratch.remove());
    // A kilobyte of path makes some 3 KB of record.
    const stem = scratch.path(`secret/${`${'long-name-'.repeat(20)}/`.repeat(5)}file`);
    const warm = 20_000;
    const count = 110_000;
    makeFiles(stem, count);
    const collector = await Collector.start({ protocol: 'grpc' });
    t.after(() => collector.close());
    const agent = await startAgent(
      t,
      scratch,
      configurationOf(stem, { endpoint: collector.url, outbox: { max_size: '1GiB' } }),
      TIDY,
    );
    const before = await denials(stem, { last: warm - 1 });
    await delivered(agent);
    const base = memoryOf(agent, 'VmRSS');
    writeFileSync(`/proc/${agent.pid}/clear_refs`, '5'); // the peak is counted anew

    collector.answer = () => ({ delayMs: 3000 });
    const during = await denials(stem, { first: warm, last: count - 1 });
    const { export: slow } = await statusOf(agent);
    const waiting = Number(slow['waitingBytes']) / (1 << 20);
    const more = memoryOf(agent, 'VmHWM') - base;
    collector.answer = undefined;
    const status = await delivered(agent);
    const afterwards = memoryOf(agent, 'VmHWM') - base;
    t.diagnostic(
      `${waiting.toFixed(0)} MiB waited; ${base.toFixed(0)} MiB before, ${more.toFixed(0)} MiB more at most, ` +
        `${afterwards.toFixed(0)} MiB when all was sent`,
    );
    assert.ok(waiting > BOUND_MIB, 'it would not fit below the bound');
    assert.ok(more < BOUND_MIB);
    assert.ok(afterwards < BOUND_MIB, 'also while what was on disk is sent');
    assert.equal(status.export['lost'], 0);
    await agent.stop();
    assert.deepEqual(arrivedAt(collector).missing(new Map([...before, ...during])), []);
  });
});

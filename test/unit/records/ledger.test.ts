import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SessionStats } from '../../../src/native/addon.ts';
import type { EventChange } from '../../../src/native/event-layout.ts';
import { EventAccount, Ledger, type Stage, stagesOf } from '../../../src/records/ledger.ts';
import type { Loss } from '../../../src/records/loss.ts';
import { guardianStats } from '../native/guardian-stats.ts';
import {
  configurationOf,
  encode,
  type EventWords,
  fact,
  rule,
  startNs,
  type UnderTest,
  underTest,
} from './support.ts';

/** Numbers that look random and are the same on every run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function ended({ pipeline }: UnderTest): number {
  const { told, folded, quiet, lossReports, dropped } = pipeline.books().account;
  const lost = Object.values(dropped).reduce((sum, each) => sum + each, 0);
  return told + folded + quiet + lossReports + lost;
}

const changes: readonly EventChange[] = [
  'created',
  'written',
  'written',
  'closed_write',
  'attributes',
  'renamed',
  'deleted',
  'linked',
  'made',
  'directory_moved',
  'directory_deleted',
];

/** Any event that the native core could send, and some that it should not. */
function anyEvent(random: (below: number) => number): Buffer {
  const one = <Item>(...items: readonly [Item, ...Item[]]): Item =>
    items[random(items.length)] ?? items[0];
  const ino = BigInt(random(12));
  const common: EventWords = {
    mode: one('protect', 'monitor', 'discover'),
    flags: [
      ...(random(4) === 0 ? (['listed'] as const) : []),
      ...(random(40) === 0 ? (['own'] as const) : []),
    ],
    fields: {
      ino,
      pid: 4700 + random(3),
      rule_index: random(3),
      ruleset_version: random(30) === 0 ? 9n : 1n,
      size: BigInt(random(3)),
      mtime_ns: BigInt(random(3)),
      ...(random(2) === 0 && {
        before_known: 1,
        before_size: BigInt(random(3)),
        before_mtime_ns: BigInt(random(3)),
        before_mode: 0o100640,
        before_uid: 0,
        before_gid: 42,
      }),
    },
    strings: { path: `/srv/data/${ino}`, exe: one('/usr/bin/cat', '/usr/bin/dd', '') },
  };
  switch (random(12)) {
    case 0:
      return encode({ ...common, kind: 'lost', fields: { detail: 1, count: 0n } });
    case 1:
      return encode({ ...common, kind: 'app_replaced' });
    case 2:
    case 3:
    case 4:
      return encode({
        ...common,
        flags: [...(common.flags ?? []), ...(random(2) === 0 ? (['o_creat_fresh'] as const) : [])],
        outcome: one('denied', 'violated', 'learned', 'quiet'),
        operation: one('read', 'write', 'exec'),
      });
    case 5:
      return encode({ ...common, kind: 'access', outcome: one('accessed', 'learned') });
    case 6:
      // A word that we don't know.
      return random(10) === 0
        ? encode({ ...common, fields: { ...common.fields, outcome: 99 } })
        : encode(common);
    default:
      return fact(changes[random(changes.length)] ?? 'written', {
        ...common,
        outcome: one('violated', 'modified', 'quiet', 'learned'),
      });
  }
}

describe('the account of events', () => {
  const rules = [
    rule('data', { hash: false }),
    rule('limited', { hash: false, maxRecords: { count: 3, windowMs: 700 } }),
    rule('watched', { behavior: 'watch', hash: false }),
  ];

  for (const seed of [1, 2, 3, 4, 5]) {
    it(`has each of 20,000 events of all kinds end once, or wait (seed ${seed})`, async () => {
      const random = randomFrom(seed);
      const test = underTest(configurationOf(rules, { windowMs: 300 }));
      let given = 0;
      while (given < 20_000) {
        const events = Array.from({ length: 1 + random(50) }, () => anyEvent(random));
        try {
          test.accept(...events);
        } catch {
          // What could not be understood is counted; the rest of the batch was taken.
        }
        given += events.length;
        if (random(3) === 0) test.pass(50 * random(12));
        if (random(5) === 0) test.processes.set(4700 + random(3), `2049:${random(12)}`);
        if (random(5) === 0) test.processes.delete(4700 + random(3));
        const { waiting } = test.pipeline.books();
        assert.equal(ended(test) + waiting, given);
        if (waiting > 0) assert.equal(test.pipeline.oldestWaitingNs(), startNs);
      }
      await test.pipeline.flush();
      const { account, waiting, emitted, unknownGaps } = test.pipeline.books();
      assert.equal(waiting, 0);
      assert.equal(test.pipeline.oldestWaitingNs(), undefined);
      assert.equal(ended(test), given);
      assert.equal(emitted, test.records.length);
      for (const kind of ['told', 'folded', 'quiet', 'lossReports'] as const) {
        assert.ok(account[kind] > 0, kind);
      }
      assert.deepEqual(Object.keys(account.dropped).sort(), ['event_malformed', 'policy_gone']);
      assert.equal(unknownGaps['kernel']?.['queue_overflow'], account.lossReports);
      assert.equal(test.lost.get('policy_gone'), account.dropped['policy_gone']);
      // Each occurrence that the metrics count is in the `fileward.count` of one record.
      const counts = test.records
        .filter(({ event }) => event.startsWith('fileward.file.'))
        .reduce((sum, { attributes }) => sum + Number(attributes['fileward.count']), 0);
      const counted = test.counted.filter((each) => !each.startsWith('quiet'));
      assert.equal(counts, counted.length);
    });
  }

  it('tells the events behind one that it does not understand', () => {
    const test = underTest();
    const bad = encode({ fields: { outcome: 99 } });
    assert.throws(() => test.accept(encode({}), bad, encode({ operation: 'write' })), RangeError);
    assert.deepEqual(test.told(), ['denied read /srv/data/a', 'denied write /srv/data/a']);
    assert.equal(test.lost.get('event_malformed'), 1);
  });

  it('tells both of two denied opens that could have created one file', () => {
    const test = underTest();
    const open = (pid: number) => encode({ flags: ['o_creat_fresh'], fields: { pid } });
    test.accept(open(1), open(2));
    test.accept(fact('created', { fields: { pid: 1 } }));
    test.pass(11_000);
    const told = test.records.map(({ attributes }) => [
      attributes['process.pid'],
      attributes['fileward.reason'],
    ]);
    assert.deepEqual(told, [
      [2, 'app_not_listed'],
      [1, 'empty_file_left'],
    ]);
    const { told: events, folded } = test.pipeline.books().account;
    assert.deepEqual([events, folded], [2, 1]);
  });
});

const noVerdicts = { bounds_seconds: [], counts: [], sum_seconds: 0 };
const session: SessionStats = {
  quiet: [],
  verdicts: { allow: { ...noVerdicts, counts: [3n, 1n] }, deny: { ...noVerdicts, counts: [2n] } },
  failures: { coverage_queue_full: 4n, queue_overflow: 1n },
  marks: { permission: 1, notification: 1 },
  ring: { published: 20, drained: 15, dropped: 7 },
  notification: { read: 100, handled: 90 },
  guardian: guardianStats({ answered: { allowed: 2n, denied: 1n } }),
};

function accountOf(numbers: Partial<EventAccount>): EventAccount {
  return Object.assign(new EventAccount(), numbers);
}

describe('the ledger', () => {
  const records = {
    account: accountOf({ told: 5, folded: 4, quiet: 3, lossReports: 1 }),
    waiting: 2,
    emitted: 9,
    unknownGaps: { kernel: { queue_overflow: 1 } },
  };
  const outbox = { recovered: 10, exported: 12, waiting: 6, lost: { outbox_full: 1 } };

  it('says of each stage what came in, went out, was dropped and waits', () => {
    assert.deepEqual(stagesOf({ session, records, outbox }), [
      {
        stage: 'kernel',
        in: { permission: 9, notification: 100 },
        out: { judged: 6, looked_into: 90 },
        dropped: { coverage_queue_full: 4, deadline: 3 },
        waiting: 6,
        unaccounted: 0,
        gaps: { queue_overflow: 1 },
      },
      {
        stage: 'ring',
        in: { offered: 27 },
        out: { drained: 15 },
        dropped: { ring_full: 7 },
        waiting: 5,
        unaccounted: 0,
        gaps: {},
      },
      {
        stage: 'records',
        in: { drained: 15 },
        out: { told: 5, folded: 4, quiet: 3, loss_reports: 1 },
        dropped: {},
        waiting: 2,
        unaccounted: 0,
        gaps: {},
      },
      {
        stage: 'outbox',
        in: { emitted: 9, recovered: 10 },
        out: { exported: 12 },
        dropped: { outbox_full: 1 },
        waiting: 6,
        unaccounted: 0,
        gaps: {},
      },
    ]);
  });

  it('has no outbox where nothing is exported', () => {
    const stages = stagesOf({ session, records, outbox: undefined }).map(({ stage }) => stage);
    assert.deepEqual(stages, ['kernel', 'ring', 'records']);
  });

  it('tells a difference once, and again when it grows', () => {
    let told = 5;
    const losses: Loss[] = [];
    const wrong: Stage[] = [];
    const ledger = new Ledger({
      stages: () =>
        stagesOf({
          session,
          records: { ...records, account: accountOf({ ...records.account, told }) },
          outbox,
        }),
      onUnaccounted: (stage, loss) => {
        wrong.push(stage);
        losses.push(loss);
      },
    });
    ledger.check();
    assert.deepEqual(losses, []);
    told = 2;
    ledger.check();
    ledger.check();
    assert.deepEqual(losses, [{ reason: 'unaccounted', stage: 'records', count: 3 }]);
    assert.equal(wrong[0]?.unaccounted, 3);
    told = 1;
    ledger.check();
    assert.deepEqual(losses[1], { reason: 'unaccounted', stage: 'records', count: 1 });
  });

  it('says that the number is not known when more came out than went in', () => {
    const losses: Loss[] = [];
    const ledger = new Ledger({
      stages: () => stagesOf({ session, records, outbox: { ...outbox, exported: 20 } }),
      onUnaccounted: (_, loss) => losses.push(loss),
    });
    ledger.check();
    assert.deepEqual(losses, [{ reason: 'unaccounted', stage: 'outbox' }]);
  });
});

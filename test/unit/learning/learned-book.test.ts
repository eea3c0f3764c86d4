/** What a group learned: once, with bounded evidence, through restarts and changed policies. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runningAppKind } from '../../../src/config/machine.ts';
import { allOf, bookUnderTest, groupOf, rule, sighting, startMs } from './support.ts';

const data = rule('data');
const day = 24 * 3600 * 1000;

describe('a pair', () => {
  it('is new once for each app, operation, user and origin', () => {
    const { book } = bookUnderTest();
    const each = [
      {},
      { operation: 'write' },
      { app: '/bin/sh' },
      { user: 'www-data' },
      { origin: 'host' },
      { origin: 'container' },
      { app: '/bin/cp', ancestors: ['/usr/bin/dpkg'] },
    ] as const;
    const yaml = each.map((given) => book.add(sighting(data, given))?.yaml);
    const add = (entry: string) =>
      `overrides:\n  - { rule: host/data, apps: { add: [ ${entry} ] } }\n`;
    assert.deepEqual(yaml, [
      add('{ exe: /usr/bin/cat, operations: [ read ] }'),
      add('{ exe: /usr/bin/cat, operations: [ write ] }'),
      add('{ exe: /bin/sh, operations: [ read ] }'),
      add('{ exe: /usr/bin/cat, operations: [ read ], user: www-data }'),
      add('{ exe: /usr/bin/cat, operations: [ read ], workload: host }'),
      '# a program of another container: no entry of this group can list it\n',
      add('{ package_manager: true, operations: [ read ] }'),
    ]);
    for (const given of each) assert.equal(book.add(sighting(data, given)), undefined);
    assert.equal(book.countOf('host'), each.length);
  });

  it('is the same with a package manager above it and without, and knows of both', () => {
    for (const order of [
      [[], ['/usr/bin/dpkg']],
      [['/usr/bin/dpkg'], []],
    ]) {
      const { book } = bookUnderTest();
      const told = order.map((ancestors) => book.add(sighting(data, { ancestors })) !== undefined);
      assert.deepEqual(told, [true, false]);
      const [pair, ...others] = allOf(book).pairs;
      assert.deepEqual([pair?.packageManager, pair?.alsoAlone, others], ['dpkg', true, []]);
      assert.equal(book.countOf('host'), 1);
    }
  });

  it('gathers evidence, a few examples of each kind', () => {
    const { book } = bookUnderTest();
    for (let i = 0; i < 50; i += 1) {
      const path = i === 0 ? `/srv/data/${'x'.repeat(5000)}` : `/srv/data/${i}`;
      const timeNs = BigInt(startMs + i) * 1_000_000n;
      book.add(sighting(data, { path, timeNs, userName: `u${i}`, workload: `web-${i}` }));
    }
    const [pair] = allOf(book).pairs;
    const { count, firstMs, lastMs, users, paths, workloads } = pair ?? assert.fail();
    assert.deepEqual([count, firstMs, lastMs], [50, startMs, startMs + 49]);
    assert.deepEqual([users.length, paths.length, workloads.length], [8, 5, 8]);
    assert.ok(paths.every((path) => path.length < 600));
  });

  it('is known after a restart', () => {
    const { book } = bookUnderTest();
    book.add(sighting(data));
    const { book: again } = bookUnderTest(allOf(book));
    assert.equal(again.countOf('host'), 1);
    assert.equal(again.add(sighting(data)), undefined);
    assert.equal(allOf(again).pairs[0]?.count, 2);
    assert.ok(again.add(sighting(data, { operation: 'exec' })));
  });

  it('knows a file of many names, and one that was replaced while it ran', () => {
    const { book } = bookUnderTest(undefined, {
      appKind: runningAppKind,
      exeNames: (pid) => [1, 300, 0][pid] ?? null,
    });
    const kinds = ['/bin/cat', '/bin/ls', '/bin/dash', '/opt/x'].map(
      (app, pid) => book.add(sighting(data, { app, pid }))?.kind,
    );
    assert.deepEqual(kinds, ['binary', 'multicall', 'interpreter', 'binary']);
    const { pairs } = allOf(book);
    assert.deepEqual(
      pairs.map(({ replaced }) => replaced),
      [undefined, undefined, true, undefined],
    );
  });

  it('has the scripts of an interpreter where arguments are told', () => {
    const { book } = bookUnderTest();
    const lines = [
      ['sh', '/usr/bin/backup', '/etc'],
      ['sh', '-e', '-u', '/opt/job'],
      ['sh', '-c', '/not/a/script; true'],
      ['sh', '-ec', '/not/a/script'],
      ['sh'],
      ['sh', 'relative'],
    ];
    for (const args of lines) book.add(sighting(data, { app: '/bin/sh', args }));
    assert.deepEqual(allOf(book).pairs[0]?.scripts, ['/usr/bin/backup', '/opt/job']);
  });

  it('comes in pages', () => {
    const { book } = bookUnderTest();
    for (let i = 0; i < 1200; i += 1) book.add(sighting(data, { app: `/opt/${i}` }));
    assert.deepEqual(
      [book.page().pairs.length, book.page(book.page().next).pairs.length],
      [500, 500],
    );
    assert.equal(new Set(allOf(book).pairs.map(({ app }) => app)).size, 1200);
  });
});

describe('a full group', () => {
  it('learns no more, says so once and counts', () => {
    const { book, full } = bookUnderTest(undefined, { mostOfGroup: 2 });
    for (const app of ['/a', '/b', '/c', '/d', '/a']) book.add(sighting(data, { app }));
    assert.deepEqual(
      full.map(({ group }) => group),
      ['host'],
    );
    const { pairs, refusals } = allOf(book);
    assert.deepEqual(
      pairs.map(({ app, count }) => [app, count]),
      [
        ['/a', 2],
        ['/b', 1],
      ],
    );
    assert.deepEqual(refusals, [{ group: 'host', sinceMs: startMs, count: 2 }]);
    assert.ok(book.add(sighting(data, {}, 'other')), 'other groups have room');
  });

  it('is full together with all others', () => {
    const { book, full } = bookUnderTest(undefined, { mostOfAll: 1 });
    book.add(sighting(data));
    assert.equal(book.add(sighting(data, {}, 'other')), undefined);
    assert.equal(full[0]?.group, 'other');
  });

  it('makes room by what no rule asks for any more', () => {
    const { book, full, room } = bookUnderTest(undefined, { mostOfGroup: 1 });
    book.add(sighting(data));
    book.add(sighting(data, { app: '/b' }));
    const other = rule('other');
    book.usePolicy([groupOf('host', [other])], 'p', startMs);
    assert.deepEqual([full.length, room], [1, ['host']]);
    assert.ok(book.add(sighting(other)));
    assert.deepEqual(allOf(book).refusals, []);
  });
});

describe('a changed policy', () => {
  const learn = () => {
    const { book } = bookUnderTest();
    book.usePolicy([groupOf('host', [data])], 'first', startMs);
    book.add(sighting(data));
    book.takeUpdate(true);
    return book;
  };

  it('keeps what was learned of a rule that is gone for a while', () => {
    const book = learn();
    const later = (days: number) =>
      book.usePolicy([groupOf('host', [])], 'p', startMs + days * day);
    later(1);
    later(30);
    assert.equal(allOf(book).rules[0]?.goneMs, startMs + day);
    book.usePolicy([groupOf('host', [data])], 'back', startMs + 31 * day);
    assert.equal(allOf(book).rules[0]?.goneMs, undefined);
    later(40);
    later(71);
    const { rules, pairs } = allOf(book);
    assert.deepEqual([rules, pairs, book.countOf('host')], [[], [], 0]);
    assert.equal(book.takeUpdate(true)?.goneRules.length, 1);
  });

  it('takes it along when the rule or its group got another name', () => {
    for (const [group, name] of [
      ['host', 'files'],
      ['servers', 'data'],
    ] as const) {
      const book = learn();
      const renamed = { ...data, name };
      book.usePolicy([groupOf(group, [renamed])], 'p', startMs);
      assert.equal(book.add(sighting(renamed, {}, group)), undefined);
      assert.equal(book.countOf(group), 1);
      assert.equal(book.takeUpdate(true)?.rules[0]?.rule, name);
    }
  });

  it('does not take it along when two could be meant', () => {
    const book = learn();
    const [a, b] = [
      { ...data, name: 'a' },
      { ...data, name: 'b' },
    ];
    book.usePolicy([groupOf('host', [a, b])], 'p', startMs);
    assert.ok(book.add(sighting(a)));
  });

  it('is told apart: under which policy first, under which rule last', () => {
    const book = learn();
    const wider = rule('data', { path: ['/srv/**'] });
    book.usePolicy([groupOf('host', [wider])], 'second', startMs);
    const before = allOf(book).pairs[0];
    book.add(sighting(wider));
    const after = allOf(book).pairs[0];
    assert.deepEqual([before?.policy, after?.policy], ['first', 'first']);
    assert.notEqual(before?.fingerprint, after?.fingerprint);
    assert.equal(allOf(book).rules[0]?.fingerprint, after?.fingerprint);
  });
});

describe('what is to be written', () => {
  it('is taken once, new pairs first, and given back when it could not be', () => {
    const { book } = bookUnderTest();
    for (let i = 0; i < 700; i += 1) book.add(sighting(data, { app: `/opt/${i}` }));
    const first = book.takeUpdate(false) ?? assert.fail();
    assert.deepEqual([first.pairs.length, first.rules.length], [500, 1]);
    assert.equal(book.takeUpdate(false)?.pairs.length, 200);
    assert.equal(book.takeUpdate(false), undefined);
    book.add(sighting(data, { app: '/opt/1' }));
    assert.equal(book.takeUpdate(false), undefined);
    book.giveBack(first);
    assert.equal(book.takeUpdate(false)?.pairs.length, 500);
    assert.equal(book.takeUpdate(true)?.pairs.length ?? 0, 0);
    book.forgetWritten();
    assert.equal(book.takeUpdate(false)?.rules.length, 1);
  });
});

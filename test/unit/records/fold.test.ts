import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MOST_WINDOWS } from '../../../src/records/fold.ts';
import { configurationOf, encode, fact, rule, startNs, underTest } from './support.ts';

function at(ms: number, pid = 4711): Buffer {
  return encode({ fields: { time_ns: startNs + BigInt(ms) * 1_000_000n, pid } });
}

describe('folding', () => {
  it('tells the first at once and the rest at the end of the window, as the last one was', () => {
    const test = underTest();
    test.accept(at(0), at(1), at(2, 5000));
    assert.equal(test.records.length, 1);
    test.pass(9900);
    assert.equal(test.records.length, 1);
    test.pass(200);
    const [first, rest, ...others] = test.records;
    assert.deepEqual(others, []);
    assert.equal(first?.attributes['fileward.count'], 1);
    assert.ok(first && !('fileward.first_seen' in first.attributes));
    assert.equal(rest?.attributes['fileward.count'], 2);
    assert.equal(rest?.attributes['fileward.first_seen'], '2026-09-21T14:13:20.124456789Z');
    assert.equal(rest?.attributes['fileward.last_seen'], '2026-09-21T14:13:20.125456789Z');
    assert.equal(rest?.attributes['process.pid'], 5000);
    assert.equal(rest?.time, startNs + 2_000_000n);
  });

  it('tells nothing at the end when nothing followed, and begins anew', () => {
    const test = underTest();
    test.accept(at(0));
    test.pass(10_100);
    assert.equal(test.records.length, 1);
    test.accept(at(10_100));
    assert.equal(test.records.length, 2);
  });

  const different = {
    path: { strings: { path: '/srv/data/b' } },
    app: { strings: { exe: '/usr/bin/dd' } },
    user: { fields: { euid: 1 } },
    operation: { operation: 'exec' },
    mode: { mode: 'monitor' },
    reason: { reason: 'identity_mismatch' },
    rule: { fields: { rule_index: 1 } },
    'bytes of the path': { strings: { path: Buffer.from('/srv/data/a\xfe', 'latin1') } },
  } as const;
  for (const [what, words] of Object.entries(different)) {
    it(`keeps apart what differs in ${what}`, () => {
      const test = underTest(configurationOf([rule('data'), rule('other')]));
      test.accept(encode({}), encode(words), encode({}), encode(words));
      assert.equal(test.records.length, 2);
      test.pass(10_100);
      assert.deepEqual(
        test.records.map(({ attributes }) => attributes['fileward.count']),
        [1, 1, 1, 1],
      );
    });
  }

  it('keeps apart changes that lead to something else', () => {
    const test = underTest(configurationOf([rule('data', { hash: false })]));
    const listed = { outcome: 'modified', reason: 'none', flags: ['listed'] } as const;
    const owner = (uid: number) => fact('attributes', { ...listed, fields: { file_uid: uid } });
    const strings = { new_path: '/srv/outside' };
    const out = fact('renamed', { ...listed, strings });
    const back = fact('renamed', {
      ...listed,
      strings,
      flags: ['listed', 'rename_target_covered'],
    });
    test.accept(owner(1), owner(2), owner(1), out, back, out);
    assert.deepEqual(
      test.records.map(({ attributes }) => attributes['fileward.operation']),
      ['attributes', 'attributes', 'rename', 'rename'],
    );
  });

  it('keeps apart names that look the same as text', () => {
    const test = underTest();
    for (const byte of ['\xfe', '\xff']) {
      test.accept(encode({ strings: { path: Buffer.from(`/srv/data/${byte}`, 'latin1') } }));
    }
    assert.equal(test.records.length, 2);
  });

  it('loses nothing when there are too many different ones', () => {
    const test = underTest();
    test.accept(encode({}), encode({}), encode({}));
    for (let i = 0; i < MOST_WINDOWS; i += 1) {
      test.accept(encode({ strings: { path: `/srv/data/f${i}` } }));
    }
    const ofFirst = test.records.filter(
      ({ attributes }) => attributes['file.path'] === '/srv/data/a',
    );
    assert.deepEqual(
      ofFirst.map(({ attributes }) => attributes['fileward.count']),
      [1, 2],
    );
  });

  it('hands on what waits when it ends', async () => {
    const test = underTest();
    test.accept(at(0), at(1));
    await test.pipeline.flush();
    assert.equal(test.records.length, 2);
  });
});

describe('max_records', () => {
  it('tells the rest of a window as one record of each kind, with counts', () => {
    const limited = rule('data', { maxRecords: { count: 3, windowMs: 10_000 } });
    const test = underTest(configurationOf([limited], { windowMs: 1000 }));
    for (let i = 0; i < 10; i += 1) test.accept(encode({ strings: { path: `/srv/data/f${i}` } }));
    test.accept(encode({ outcome: 'violated', mode: 'monitor' }));
    assert.equal(test.records.length, 3);
    test.pass(10_100);
    const rest = test.records.slice(3);
    assert.deepEqual(
      rest.map(({ event, attributes }) => `${event} ${attributes['fileward.count']}`),
      ['fileward.file.denied 7', 'fileward.file.violated 1'],
    );
    assert.equal(rest[0]?.attributes['security_rule.name'], 'data');
    assert.ok(rest[0] && !('file.path' in rest[0].attributes));
    test.accept(encode({ strings: { path: '/srv/data/next' } }));
    assert.equal(test.records.length, 6);
  });

  it('does not limit a rule without it', () => {
    const test = underTest();
    for (let i = 0; i < 500; i += 1) test.accept(encode({ strings: { path: `/srv/data/f${i}` } }));
    assert.equal(test.records.length, 500);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toNdjson } from '../../../src/telemetry/ndjson.ts';
import { configurationOf, encode, rule, startNs, underTest } from './support.ts';

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('the record of a denied open', () => {
  const test = underTest(
    configurationOf([
      rule('data', { description: 'Data', tags: { mitre: 'T1554', pci_dss: '11.5.2' } }),
    ]),
  );
  test.accept(encode({ strings: { protected_path: '/srv/data/original' } }));
  const [record] = test.records;
  assert.ok(record);

  it('goes out at once', () => assert.equal(test.records.length, 1));

  it('has name, severity, time and sentence of the contract', () => {
    assert.equal(record.event, 'fileward.file.denied');
    assert.equal(record.severity, 13);
    assert.equal(record.time, startNs);
    assert.equal(record.body, 'cat (pid 4711) was denied read access to /srv/data/a');
  });

  it('has the attributes of the contract and no others', () => {
    const { 'log.record.uid': uid, ...attributes } = record.attributes;
    assert.match(String(uid), uuidV7);
    assert.deepEqual(attributes, {
      'otel.event.name': 'fileward.file.denied',
      'file.path': '/srv/data/a',
      'file.inode': '77',
      'file.mode': '0640',
      'file.owner.id': '0',
      'file.group.id': '42',
      'file.size': 12,
      'fileward.file.protected_path': '/srv/data/original',
      'fileward.operation': 'read',
      'fileward.verdict': 'deny',
      'fileward.mode': 'protect',
      'fileward.reason': 'app_not_listed',
      'security_rule.name': 'data',
      'security_rule.ruleset.name': 'host',
      'security_rule.version': '3f2c1ab',
      'security_rule.description': 'Data',
      'fileward.rule.tag.mitre': 'T1554',
      'fileward.rule.tag.pci_dss': '11.5.2',
      'fileward.group.label.team': 'platform',
      'process.pid': 4711,
      'process.parent_pid': 1,
      'process.executable.path': '/usr/bin/cat',
      'process.executable.name': 'cat',
      'process.user.id': 0,
      'process.user.name': 'root',
      'process.real_user.id': 1000,
      'process.creation.time': '2026-09-21T14:13:19.500000000Z',
      'process.linux.cgroup': '/user.slice',
      'fileward.process.ancestors': ['/usr/bin/bash', '/usr/sbin/sshd'],
      'fileward.count': 1,
    });
  });

  it('is one NDJSON line with nanoseconds', () => {
    const line = toNdjson(record);
    assert.ok(!line.includes('\n'));
    assert.deepEqual(Object.keys(JSON.parse(line)), [
      'time',
      'event',
      'severity',
      'body',
      'attributes',
      'resource',
    ]);
    assert.equal(JSON.parse(line).time, '2026-09-21T14:13:20.123456789Z');
  });
});

describe('severities', () => {
  const cases = [
    { what: 'violated', words: { outcome: 'violated', mode: 'monitor' }, severity: 13 },
    { what: 'accessed', words: { kind: 'access', outcome: 'accessed' }, severity: 9 },
    {
      what: 'an ungated change in protect',
      words: { kind: 'change', change: 'deleted', outcome: 'violated', operation: 'write' },
      severity: 17,
    },
    {
      what: 'an ungated change in monitor',
      words: {
        kind: 'change',
        change: 'deleted',
        outcome: 'violated',
        operation: 'write',
        mode: 'monitor',
      },
      severity: 13,
    },
  ] as const;
  for (const { what, words, severity } of cases) {
    it(`${what}: ${severity}`, () => {
      const test = underTest();
      test.accept(encode(words));
      assert.equal(test.records[0]?.severity, severity);
    });
  }

  it("takes a rule's own for what it denies, not for what it reports", () => {
    const test = underTest(configurationOf([rule('data', { severity: 'error' })]));
    test.accept(encode({}), encode({ kind: 'access', outcome: 'accessed' }));
    assert.deepEqual(
      test.records.map(({ severity }) => severity),
      [17, 9],
    );
  });
});

describe('names', () => {
  it('gives a path that is not UTF-8 as text and as bytes', () => {
    const test = underTest();
    const path = Buffer.from('/srv/data/\xff\n', 'latin1');
    test.accept(encode({ strings: { path } }));
    const { attributes, body } = test.records[0] ?? assert.fail();
    assert.equal(attributes['file.path'], '/srv/data/\u{fffd}\n');
    assert.equal(attributes['fileward.file.path_bytes'], path.toString('base64'));
    assert.ok(!body.includes('\n'));
  });

  it('gives no bytes for a UTF-8 name, the replacement character in it included', () => {
    const test = underTest();
    test.accept(encode({ strings: { path: '/srv/data/😀\u{fffd}' } }));
    const { attributes } = test.records[0] ?? assert.fail();
    assert.equal(attributes['file.path'], '/srv/data/😀\u{fffd}');
    assert.ok(!('fileward.file.path_bytes' in attributes));
  });

  it('leaves out what a user id has no name for', () => {
    const test = underTest();
    test.accept(encode({ fields: { euid: 4242 } }));
    const { attributes } = test.records[0] ?? assert.fail();
    assert.equal(attributes['process.user.id'], 4242);
    assert.ok(!('process.user.name' in attributes));
  });

  it('tells nothing of a process that is not proven but its pid', () => {
    const test = underTest();
    test.accept(
      encode({
        kind: 'change',
        change: 'deleted',
        operation: 'write',
        outcome: 'violated',
        reason: 'process_gone',
        actor: 'gone',
      }),
    );
    for (const { attributes, body } of test.records) {
      const told = Object.keys(attributes).filter((name) => name.includes('process.'));
      assert.deepEqual(told, ['process.pid']);
      assert.equal(attributes['fileward.reason'], 'process_gone');
      assert.match(body, /a process that is not known \(pid 4711\)/);
    }
    assert.equal(test.records.length, 2);
  });
});

describe('what is told of opens', () => {
  it('nothing of the agent itself', () => {
    const test = underTest();
    test.accept(encode({ flags: ['own'] }));
    assert.deepEqual(test.told(), []);
  });

  it('nothing of a rule that is gone', () => {
    const test = underTest();
    test.accept(encode({ fields: { ruleset_version: 9n } }));
    assert.deepEqual(test.told(), []);
  });

  it('under the rule of its own ruleset version after a reload', () => {
    const test = underTest();
    const reloaded = underTest(configurationOf([rule('other'), rule('data')]));
    test.pipeline.usePolicy(2n, reloaded.policy, configurationOf([]));
    test.accept(
      encode({}),
      encode({ fields: { ruleset_version: 2n, rule_index: 1 }, operation: 'exec' }),
    );
    const rules = test.records.map(({ attributes }) => attributes['security_rule.name']);
    assert.deepEqual(rules, ['data', 'data']);
  });

  it('counts each, folded or not', () => {
    const test = underTest();
    test.accept(encode({}), encode({}), encode({ outcome: 'violated', operation: 'exec' }));
    assert.deepEqual(test.counted, ['denied read', 'denied read', 'violated exec']);
  });
});

describe('learning', () => {
  const learned = { outcome: 'learned', mode: 'discover', reason: 'app_not_listed' } as const;

  it('tells a (rule, app, operation) once, with text to paste', () => {
    const test = underTest(configurationOf([rule('data')], { mode: 'discover' }));
    test.accept(encode(learned), encode(learned));
    test.accept(encode({ ...learned, fields: { euid: 33 } }));
    test.accept(encode({ ...learned, operation: 'write' }));
    test.accept(encode({ ...learned, strings: { exe: '/usr/bin/python3' } }));
    assert.deepEqual(test.told(), [
      'rule.learned read /srv/data/a',
      'rule.learned write /srv/data/a',
      'rule.learned read /srv/data/a',
    ]);
    const { attributes, severity } = test.records[0] ?? assert.fail();
    assert.equal(severity, 10);
    assert.equal(attributes['fileward.app.kind'], 'binary');
    assert.equal(attributes['security_rule.name'], 'data');
    assert.equal(
      attributes['fileward.rule.yaml'],
      'overrides:\n  - { rule: host/data, apps: { add: [ { exe: /usr/bin/cat, operations: [ read ] } ] } }\n',
    );
    assert.equal(test.records[2]?.attributes['fileward.app.kind'], 'interpreter');
    assert.deepEqual(
      test.counted,
      Array.from({ length: 5 }, (_, i) => `quiet ${i === 3 ? 'write' : 'read'}`),
    );
  });

  it('tells users apart when asked to', () => {
    const test = underTest(configurationOf([rule('data')], { mode: 'discover', learnUsers: true }));
    test.accept(encode(learned), encode({ ...learned, fields: { euid: 33 } }), encode(learned));
    assert.equal(test.records.length, 2);
    assert.match(String(test.records[1]?.attributes['fileward.rule.yaml']), /user: www-data/);
  });

  it('learns what a watch rule reports in discover', () => {
    const test = underTest();
    test.accept(encode({ kind: 'access', outcome: 'accessed', mode: 'discover' }));
    assert.deepEqual(test.told(), ['rule.learned read /srv/data/a', 'accessed read /srv/data/a']);
  });
});

describe('losses', () => {
  it('tells a gap with its stage, time and number once it has ended', () => {
    const test = underTest();
    const gap = { kind: 'lost', outcome: 'not_covered', mode: 'none' } as const;
    const strings = { path: '', exe: '' };
    test.accept(encode({ ...gap, fields: { detail: 2, count: 3n }, strings }));
    test.pass(500);
    test.accept(
      encode({
        ...gap,
        fields: { detail: 2, count: 4n, time_ns: startNs + 500_000_000n },
        strings,
      }),
    );
    assert.deepEqual(test.told(), []);
    test.pass(1100);
    const { event, severity, attributes, body } = test.records[0] ?? assert.fail();
    assert.equal(event, 'fileward.record.lost');
    assert.equal(severity, 17);
    assert.equal(body, '7 records were lost: ring_full');
    assert.equal(attributes['error.type'], 'ring_full');
    assert.equal(attributes['fileward.lost.stage'], 'ring');
    assert.equal(attributes['fileward.count'], 7);
    assert.equal(attributes['fileward.first_seen'], '2026-09-21T14:13:20.123456789Z');
    assert.equal(attributes['fileward.last_seen'], '2026-09-21T14:13:20.623456789Z');
    assert.equal(test.lost.get('ring_full'), 7);
    assert.equal(test.records.length, 1);
  });

  it('says that a number is not known', () => {
    const test = underTest();
    const words = {
      kind: 'lost',
      fields: { detail: 1, count: 0n },
      strings: { path: '/srv' },
    } as const;
    test.accept(encode(words), encode({ ...words, fields: { detail: 1, count: 5n } }));
    test.pass(1100);
    const { attributes, body } = test.records[0] ?? assert.fail();
    assert.ok(!('fileward.count' in attributes));
    assert.equal(attributes['fileward.lost.tree'], '/srv');
    assert.equal(body, 'An unknown number of records were lost: queue_overflow below /srv');
  });

  it('tells a gap that lasts every ten seconds', () => {
    const test = underTest();
    for (let second = 0; second < 25; second += 0.5) {
      test.pipeline.lost({ reason: 'outbox_full', stage: 'export', count: 1 });
      test.pass(500);
    }
    assert.equal(test.records.length, 2);
  });
});

describe('events about the agent', () => {
  it('have the severity of their name and are never folded', () => {
    const test = underTest();
    test.pipeline.agentEvent('fileward.policy.rejected', 'Rejected', { 'error.type': 'x' });
    test.pipeline.agentEvent('fileward.policy.rejected', 'Rejected', { 'error.type': 'x' });
    assert.deepEqual(
      test.records.map(({ severity, body }) => `${severity} ${body}`),
      ['17 Rejected', '17 Rejected'],
    );
    const uids = new Set(test.records.map(({ attributes }) => attributes['log.record.uid']));
    assert.equal(uids.size, 2);
  });

  it('tell that an app was replaced and is listed no more', () => {
    const test = underTest();
    const words = { kind: 'app_replaced', outcome: 'not_covered' } as const;
    test.accept(encode({ ...words, flags: ['listed'] }));
    assert.deepEqual(test.told(), []);
    test.accept(encode({ ...words, strings: { path: '/usr/bin/app', exe: '/usr/bin/cp' } }));
    const { event, attributes } = test.records[0] ?? assert.fail();
    assert.equal(event, 'fileward.coverage.degraded');
    assert.equal(attributes['error.type'], 'identity_mismatch');
    assert.equal(attributes['process.executable.path'], '/usr/bin/cp');
  });
});

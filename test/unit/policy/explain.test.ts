import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { queryFromRecord } from '../../../src/policy/record-query.ts';
import { contractExample, loadText } from './load-text.ts';

describe('explain', () => {
  it('names the entry that lists the app', async () => {
    const { explain, file } = await loadText(contractExample);
    const [answer] = explain({ path: '/etc/shadow', operation: 'write', app: '/usr/bin/passwd' });
    assert.deepEqual(
      [answer?.verdict, answer?.outcome, answer?.rule?.rule],
      ['allow', 'quiet', 'shadow'],
    );
    assert.equal(answer?.why, `host/shadow lists /usr/bin/passwd for write, at ${file}:19.`);
    assert.equal(answer?.change, undefined);
    const [sudo] = explain({ path: '/etc/shadow', operation: 'read', app: '/usr/bin/sudo' });
    assert.equal(sudo?.why, `host/shadow lists /usr/bin/sudo for read, by set:pam at ${file}:5.`);
  });

  it('gives the smallest change that allows what is denied, and that change allows it', async () => {
    const { explain, file } = await loadText(contractExample);
    const query = { path: '/etc/shadow', operation: 'read', app: '/usr/bin/cat' } as const;
    const [denied] = explain(query);
    assert.deepEqual(
      [denied?.verdict, denied?.outcome, denied?.reason],
      ['deny', 'denied', 'app_not_listed'],
    );
    assert.equal(
      denied?.why,
      'host/shadow does not list /usr/bin/cat for read; it blocks, and protects.',
    );
    assert.equal(denied?.change?.yaml, '- { exe: /usr/bin/cat, operations: [ read ] }\n');
    assert.equal(denied?.change?.place, `in 'apps' of rule 'shadow', ${file}:12`);
    const changed = contractExample.replace(
      '          - /usr/bin/passwd\n',
      `          - /usr/bin/passwd\n          ${denied?.change?.yaml}`,
    );
    const [allowed] = (await loadText(changed)).explain(query);
    assert.equal(allowed?.verdict, 'allow');
    const [stillDenied] = (await loadText(changed)).explain({ ...query, operation: 'write' });
    assert.equal(stillDenied?.verdict, 'deny');
  });

  it('gives an override for a rule of a pack, and that override allows it', async () => {
    const pack = 'version: 1\nimport: pack:linux-base\ngroups: [ { name: host, mode: protect } ]\n';
    const query = { path: '/etc/shadow', operation: 'read', app: '/opt/my tool*' } as const;
    const [denied] = (await loadText(pack)).explain(query);
    assert.equal(denied?.verdict, 'deny');
    assert.match(denied?.change?.yaml ?? '', /^overrides:\n {2}- \{ rule: host\/shadow, apps: /);
    const [allowed] = (await loadText(pack + denied?.change?.yaml)).explain(query);
    assert.equal(allowed?.verdict, 'allow');
  });

  it('says by which key a near entry fails', async () => {
    const { explain, file } = await loadText(contractExample);
    const why = (query: object) =>
      explain({ path: '/etc/shadow', operation: 'read', app: '/usr/sbin/sshd', ...query })[0]?.why;
    const head = 'host/shadow does not list /usr/sbin/sshd for';
    assert.equal(
      why({ operation: 'write', user: '0' }),
      `${head} write (the entry at ${file}:20 is for read only); it blocks, and protects.`,
    );
    assert.equal(
      why({ user: '1000' }),
      `${head} read (the entry at ${file}:20 asks for user too); it blocks, and protects.`,
    );
  });

  it('answers for each operation when none is given', async () => {
    const { explain } = await loadText(contractExample);
    assert.deepEqual(
      explain({ path: '/usr/bin/ls', app: '/bin/sh' }).map(({ operation, outcome }) => [
        operation,
        outcome,
      ]),
      [
        ['read', 'not_covered'],
        ['write', 'denied'],
        ['exec', 'not_covered'],
      ],
    );
  });

  it('tells what covers without deciding', async () => {
    const { explain } = await loadText(`
version: 1
groups:
  - name: host
    members: { host: true }
    rules:
      - { name: reads, path: /etc/**, behavior: watch, operations: [read] }
      - { name: first, path: /etc/a, behavior: block, operations: [write] }
      - { name: later, path: /etc/*, behavior: watch }
  - name: other
    members: { host: true }
    rules: [ { name: softer, path: /etc/a, behavior: watch } ]
`);
    const [answer] = explain({ path: '/etc/a', operation: 'write' });
    assert.deepEqual(
      answer?.covering.map(({ rule, decides, note }) => [rule.rule, decides, note]),
      [
        ['reads', false, 'only read'],
        ['first', true, 'decides'],
        ['later', false, "'first' comes first in the group"],
        ['softer', false, 'another group or rule is stricter, or as strict and earlier'],
      ],
    );
  });

  it('knows the groups of containers by name only', async () => {
    const { explain } = await loadText(contractExample);
    const query = { path: '/etc/nginx/a', operation: 'read', app: '/bin/sh' } as const;
    assert.equal(explain(query)[0]?.outcome, 'not_covered');
    assert.equal(explain({ ...query, group: 'web' })[0]?.outcome, 'learned');
    assert.throws(() => explain({ ...query, group: 'wib' }), /no group 'wib'; there is host, web/);
    assert.equal(explain({ ...query, groups: ['host', 'web'] })[0]?.outcome, 'learned');
    const [none] = explain({ ...query, groups: [] });
    assert.equal(none?.why, 'No group holds this workload: fileward leaves it alone.');
  });

  it('asks again what a record was about', async () => {
    const { explain } = await loadText(contractExample);
    const record = {
      attributes: {
        'file.path': '/tmp/link',
        'fileward.file.protected_path': '/etc/shadow',
        'fileward.operation': 'read',
        'process.executable.path': '/usr/bin/cat',
        'process.user.id': '0',
        'fileward.process.ancestors': ['/bin/bash'],
        'security_rule.ruleset.name': 'host',
      },
    };
    assert.equal(explain(queryFromRecord(record))[0]?.outcome, 'denied');
    const rename = { attributes: { ...record.attributes, 'fileward.operation': 'rename' } };
    const [answer] = explain(queryFromRecord(rename));
    assert.deepEqual([answer?.outcome, answer?.reason], ['violated', 'not_enforceable']);
    assert.throws(() => queryFromRecord({ attributes: {} }), /it is not one of a file/);
  });
});

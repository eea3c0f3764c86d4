import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compile, noCaps } from '../../../src/policy/compile.ts';
import { UserTable } from '../../../src/policy/users.ts';
import { contractExample, loadText } from './load-text.ts';

describe('compile', () => {
  it("makes what the core needs of the contract's example", async () => {
    const { configuration } = await loadText(contractExample);
    const users = new UserTable('root:x:0:0::/root:/bin/sh\n');
    const { ruleset, json, rules } = compile(configuration, noCaps, users);
    assert.deepEqual(JSON.parse(json), ruleset);
    assert.deepEqual(ruleset.verdict, { deadline_ns: 100e6, on_deadline: 'allow' });
    assert.deepEqual(
      ruleset.groups.map(({ name, host }) => [name, host]),
      [
        ['host', true],
        ['web', false],
      ],
    );
    const [shadow, binaries] = ruleset.groups[0]?.rules ?? [];
    const pattern = (index: number | undefined) => ruleset.exes[index ?? -1]?.pattern;
    assert.deepEqual(
      shadow?.apps.map((app) => [
        pattern(app.exe),
        app.operations,
        app.user_id,
        pattern(app.ancestor),
      ]),
      [
        ...[
          '/usr/sbin/unix_chkpwd',
          '/usr/bin/sudo',
          '/usr/bin/su',
          '/usr/bin/login',
          '/usr/bin/passwd',
        ].map((exe) => [exe, ['read', 'write'], undefined, undefined]),
        ['/usr/sbin/sshd', ['read'], 0, undefined],
        ['/usr/bin/python3.*', ['read', 'write'], undefined, '/usr/sbin/cron'],
      ],
    );
    assert.deepEqual(
      binaries?.apps.map((app) => app.package_manager),
      [true],
    );
    assert.equal(binaries?.changes_listed, 'quiet');
    const [conf, token, keys] = ruleset.groups[1]?.rules ?? [];
    assert.equal(conf?.apps[0]?.children, true);
    const kubelet = ruleset.exes[token?.apps[1]?.exe ?? -1];
    assert.deepEqual(kubelet, { pattern: '/usr/bin/kubelet', host: true });
    assert.equal(keys?.regex, '/home/[^/]+/\\.ssh/.*');
    assert.equal(keys?.path, undefined);
    assert.deepEqual(
      rules.map(({ index, group, rule, mode }) => [index, group, rule, mode]),
      [
        [0, 'host', 'shadow', 'protect'],
        [1, 'host', 'binaries', 'protect'],
        [2, 'web', 'conf', 'discover'],
        [3, 'web', 'token', 'discover'],
        [4, 'web', 'keys', 'discover'],
      ],
    );
    assert.deepEqual(
      [rules[0]?.labels, rules[0]?.policyVersion],
      [{ team: 'platform' }, '3f2c1ab'],
    );
    assert.equal(rules[1]?.severity, 'error');
    // The one user that is given by name.
    assert.deepEqual(ruleset.users, { 0: 'root' });
  });

  it('names the container runtimes of the host where a group may hold containers', async () => {
    const { policy } = await loadText(contractExample);
    const { runtimes, exes } = policy.ruleset;
    const programs = runtimes.map((index) => exes[index]);
    assert.ok(programs.length > 0 && programs.every((exe) => exe?.host));
    const onHost = await loadText(`
version: 1
groups:
  - name: host
    members: { host: true }
    rules: [ { name: a, path: /a, behavior: block, apps: [ { exe: /b, user: 1000 } ] } ]
`);
    assert.deepEqual(onHost.policy.ruleset.runtimes, []);
    assert.deepEqual(onHost.policy.ruleset.users, {});
  });

  it('names each executable once', async () => {
    const { policy } = await loadText(contractExample);
    const names = policy.ruleset.exes.map(({ pattern, host }) => `${pattern} ${host}`);
    assert.equal(new Set(names).size, names.length);
  });

  it('leaves out disabled rules and keeps numbers in step', async () => {
    const { policy } = await loadText(`
version: 1
groups:
  - name: host
    members: { host: true }
    rules:
      - { name: a, path: /a, behavior: watch, enabled: false }
      - { name: b, path: /b, behavior: watch }
`);
    assert.deepEqual(
      policy.rules.map(({ index, rule }) => [index, rule]),
      [[0, 'b']],
    );
    assert.deepEqual(
      policy.ruleset.groups[0]?.rules.map((rule) => rule.name),
      ['b'],
    );
  });

  it('caps protect at monitor, where told, and nothing else', async () => {
    const caps = (_: string, rule: string) => (rule === 'binaries' ? undefined : 'monitor');
    const { policy } = await loadText(contractExample, caps);
    assert.deepEqual(
      policy.rules.map(({ mode, configuredMode }) => [mode, configuredMode]),
      [
        ['monitor', 'protect'],
        ['protect', 'protect'],
        ['discover', 'discover'],
        ['discover', 'discover'],
        ['discover', 'discover'],
      ],
    );
  });

  it("takes of a set's entry the operations that the rule holds", async () => {
    const { policy } = await loadText(`
version: 1
sets: { tools: [ { exe: /one, operations: [exec] }, { exe: /two, operations: [read, exec] } ] }
groups:
  - name: host
    members: { host: true }
    rules: [ { name: a, path: /a, behavior: block, operations: [read, write], apps: [ set:tools ] } ]
`);
    const [rule] = policy.ruleset.groups[0]?.rules ?? [];
    assert.deepEqual(
      rule?.apps.map((app) => [policy.ruleset.exes[app.exe ?? -1]?.pattern, app.operations]),
      [['/two', ['read']]],
    );
    assert.deepEqual(
      policy.rules[0]?.apps.map((app) => app.exe),
      ['/two'],
    );
  });

  it('gives a user that is not on this machine a number of its own', () => {
    const users = new UserTable('root:x:0:0::/root:/bin/sh\nweb:x:33:33::/:/bin/sh\n');
    assert.deepEqual([users.idOf('web'), users.idOf('1000')], [33, 1000]);
    assert.notEqual(users.idOf('one'), users.idOf('two'));
    assert.equal(users.idOf('one'), users.idOf('one'));
    assert.ok(users.idOf('one') > 0x7fffffff);
  });

  it('makes a ruleset of 10,000 rules that the core accepts', async () => {
    const rules = Array.from(
      { length: 10_000 },
      (_, i) =>
        `      - { name: r${i}, path: /srv/${i}/**, behavior: block, operations: [write], apps: [ /usr/bin/app${i} ] }`,
    );
    const head = 'version: 1\ngroups:\n  - name: host\n    members: { host: true }\n    rules:\n';
    const { policy, explain } = await loadText(`${head}${rules.join('\n')}\n`);
    assert.equal(policy.rules.length, 10_000);
    const [answer] = explain({
      path: '/srv/9999/a/b',
      operation: 'write',
      app: '/usr/bin/app9999',
    });
    assert.deepEqual([answer?.rule?.rule, answer?.outcome], ['r9999', 'quiet']);
  });
});

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { formatProblem } from '../../../src/config/problem.ts';
import { loadPolicyTests } from '../../../src/config/test-file.ts';
import { runPolicyTests } from '../../../src/policy/policy-tests.ts';
import { contractExample, loadText } from './load-text.ts';

describe('policy tests', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fileward-tests-'));
  });
  after(() => rm(folder, { recursive: true }));

  const load = async (text: string) => {
    const file = join(folder, 'fileward.test.yaml');
    await writeFile(file, text);
    return loadPolicyTests(file);
  };
  const run = async (text: string) => {
    const loaded = await load(text);
    assert.ok(loaded.ok, JSON.stringify(loaded));
    const { configuration, policy, evaluator } = await loadText(contractExample);
    return runPolicyTests(loaded.tests, configuration, policy, evaluator);
  };

  it("pass for the contract's example", async () => {
    const results = await run(`
- { name: passwd may write, group: host, path: /etc/shadow, app: /usr/bin/passwd, operation: write, expect: { verdict: allow } }
- { name: cat may not read, group: host, path: /etc/shadow, app: /usr/bin/cat, operation: read, expect: { verdict: deny, rule: shadow } }
- { name: web, workload: { image: "nginx:1.27", labels: { app: web } }, path: /etc/nginx/a, app: /bin/sh, operation: write, expect: { verdict: allow, event: learned } }
`);
    assert.deepEqual(
      results.map(({ test, failures }) => [test.name, failures]),
      [
        ['passwd may write', []],
        ['cat may not read', []],
        ['web', []],
      ],
    );
  });

  it('say each expectation that does not hold', async () => {
    const [result] = await run(`
- name: wrong
  path: /etc/shadow
  app: /usr/bin/cat
  operation: read
  expect: { verdict: allow, rule: binaries, event: quiet, reason: identity_mismatch }
`);
    assert.deepEqual(result?.failures, [
      'expected verdict allow, got deny',
      'expected rule binaries, got shadow',
      'expected event quiet, got denied',
      'expected reason identity_mismatch, got app_not_listed',
    ]);
    assert.equal(result?.passed, false);
  });

  it("say whose program it is: the container's own, the host's or another container's", async () => {
    const kubelet = 'group: web, path: /var/run/secrets/t, app: /usr/bin/kubelet, operation: write';
    const server = 'group: web, path: /var/run/secrets/t, app: /app/server, operation: write';
    const results = await run(`
- { name: a, ${kubelet}, origin: host, expect: { event: quiet } }
- { name: b, ${kubelet}, expect: { event: learned } }
- { name: c, ${server}, expect: { event: quiet } }
- { name: d, ${server}, origin: host, expect: { event: learned } }
- { name: e, ${server}, origin: container, expect: { event: learned } }
- { name: f, path: /etc/shadow, app: /usr/bin/passwd, operation: read, origin: container, expect: { verdict: deny } }
`);
    assert.deepEqual(
      results.filter(({ passed }) => !passed).map(({ test, event }) => [test.name, event]),
      [],
    );
  });

  it('ask with user, ancestors, unit and script', async () => {
    const python = 'path: /etc/shadow, app: /usr/bin/python3.11, operation: read';
    const results = await run(`
- { name: all, ${python}, ancestors: [ /bin/sh, /usr/sbin/cron ], unit: backup.service, expect: { verdict: allow } }
- { name: no unit, ${python}, ancestors: [ /bin/sh, /usr/sbin/cron ], expect: { verdict: deny } }
- { name: no ancestor, ${python}, unit: backup.service, expect: { verdict: deny } }
- { name: root, path: /etc/shadow, app: /usr/sbin/sshd, user: root, operation: read, expect: { verdict: allow } }
- { name: other, path: /etc/shadow, app: /usr/sbin/sshd, user: 1000, operation: read, expect: { verdict: deny } }
- { name: dpkg, path: /usr/bin/ls, app: /bin/cp, ancestors: [ /usr/bin/dpkg ], operation: write, expect: { verdict: allow, event: quiet } }
- { name: nothing, path: /srv/x, app: /bin/cp, operation: write, expect: { event: none } }
- { name: listed, path: /etc/shadow, app: /usr/bin/passwd, operation: write, expect: { event: modified, rule: host/shadow } }
`);
    assert.deepEqual(
      results.filter((result) => !result.passed).map(({ test, failures }) => [test.name, failures]),
      [],
    );
  });

  it('know a user of the rules that this machine does not have', async () => {
    const loaded = await load(`
- { name: deploy, path: /srv/a, app: /bin/cp, user: deploy, operation: write, expect: { verdict: allow } }
- { name: other, path: /srv/a, app: /bin/cp, user: other, operation: write, expect: { verdict: deny } }
`);
    assert.ok(loaded.ok);
    const { configuration, policy, evaluator } = await loadText(`
version: 1
groups:
  - name: host
    members: { host: true }
    mode: protect
    rules:
      - name: a
        path: /srv/a
        behavior: block
        operations: [write]
        apps: [ { exe: /bin/x, user: someone }, { exe: /bin/cp, user: deploy } ]
`);
    const results = runPolicyTests(loaded.tests, configuration, policy, evaluator);
    assert.deepEqual(
      results.flatMap(({ failures }) => failures),
      [],
    );
  });

  it('fail when the workload or the group does not fit', async () => {
    const rest = 'path: /etc/nginx/a, app: /bin/sh, operation: read, expect: { verdict: allow }';
    const results = await run(`
- { name: a, group: wib, ${rest} }
- { name: b, group: web, workload: { image: redis }, ${rest} }
- { name: c, group: web, workload: { image: nginx, kubernetes: { namespace: shop } }, ${rest} }
`);
    assert.deepEqual(
      results.map(({ failures }) => failures),
      [["there is no group 'wib'"], ["the workload is no member of group 'web'"], []],
    );
  });

  it('are validated with every problem at its place', async () => {
    const result = await load(
      [
        '- { name: a, path: etc/a, app: /b, operation: raed, expect: { verdict: deny } }',
        '- { name: b, path: /a, app: /b, operation: read, expect: {} }',
        '- { name: c, path: /a, operation: read, expects: { verdict: deny } }',
      ].join('\n'),
    );
    assert.ok(!result.ok);
    assert.deepEqual(
      result.problems.map((problem) => formatProblem(problem).replace(/^.*\.yaml:/, '')),
      [
        "1:20: 'etc/a' is not an absolute path",
        "1:47: 'operation' must be one of read, write, exec, not 'raed'; did you mean 'read'?",
        "2:58: 'expect' is empty; give verdict, rule, event or reason",
        "3:3: 'app' is missing",
        "3:41: unknown key 'expects'; did you mean 'expect'?",
      ],
    );
  });
});

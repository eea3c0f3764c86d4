import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadConfiguration } from '../../../src/config/load.ts';

const watch = (name: string, path: string, more = '') =>
  `{ name: ${name}, path: ${path}, behavior: watch${more} }`;
const app = (entry: string) =>
  `{ name: a, path: /etc/a, behavior: block, operations: [read], apps: [ ${entry} ] }`;
const hidden = (line: number, column = 9) =>
  `${line}:${column}: rule 'b' never decides: 'a' at FILE:6 comes first and covers the same`;

/** What, the rules of a group `host` from line 6 on, the warnings. */
const cases: readonly [what: string, rules: readonly string[], warnings: readonly string[]][] = [
  ['the same path again', [watch('a', '/etc/a'), watch('b', '/etc/a')], [hidden(7)]],
  ['a path below a tree', [watch('a', '/etc/**'), watch('b', '/etc/x/y')], [hidden(7)]],
  ['a glob below a tree', [watch('a', '/etc/**'), watch('b', "'/etc/x/*.conf'")], [hidden(7)]],
  ['one of several', [watch('a', "'/etc/{a,b}'"), watch('b', '[ /etc/b, /etc/a ]')], [hidden(7)]],
  ['part of it only', [watch('a', '/etc/a'), watch('b', "'/etc/{a,b}'")], []],
  ['a tree after a path', [watch('a', '/etc/a'), watch('b', '/etc/**')], []],
  ['other operations', [watch('a', '/etc/a'), watch('b', '/etc/a', ', operations: [read]')], []],
  [
    'an earlier one that excepts',
    [watch('a', '/etc/**', ', except: /etc/a'), watch('b', '/etc/a')],
    [],
  ],
  [
    'an earlier one that is off',
    [watch('a', '/etc/a', ', enabled: false'), watch('b', '/etc/a')],
    [],
  ],
  [
    'block with implicit operations',
    ['{ name: a, path: /a, behavior: block }'],
    ["6:9: without 'operations' the rule blocks read, write and exec; say which are meant"],
  ],
  [
    'an interpreter',
    [app('/usr/bin/python3.*')],
    [
      "6:79: '/usr/bin/python3.*' is an interpreter: whatever it runs is listed; add script, unit or ancestor",
    ],
  ],
  ['an interpreter with its script', [app('{ exe: /usr/bin/perl, script: /a/b }')], []],
  ['an interpreter below a program', [app('{ exe: /bin/sh, ancestor: /usr/sbin/cron }')], []],
  [
    'a multi-call binary',
    [app('/bin/busybox')],
    ["6:79: '/bin/busybox' is many programs in one file: all of them are listed"],
  ],
  [
    'severity on watch',
    [watch('a', '/a', ', severity: error')],
    ["6:9: 'severity' has no effect on a watch rule: it denies nothing"],
  ],
  [
    'strict on watch',
    [watch('a', '/a', ', strict: true')],
    ["6:9: 'strict' has no effect on a watch rule: it denies nothing"],
  ],
  [
    'changes without write',
    [watch('a', '/a', ', operations: [read], changes: report')],
    ["6:76: 'changes' has no effect: write is not among the rule's operations"],
  ],
  ['everything', [watch('a', '/**')], ["6:9: '/**' covers every file of the workload"]],
  [
    'an app that anybody may replace',
    [
      '{ name: a, path: /a, behavior: block, operations: [read], mode: protect, apps: [ /opt/tool ] }',
    ],
    [
      '6:9: whoever may write /opt/tool becomes a listed app, as no block rule covers it; add one with operations: [write]',
    ],
  ],
  [
    'an app that a block rule guards',
    [
      '{ name: a, path: /a, behavior: block, operations: [read], mode: protect, apps: [ /opt/tool ] }',
      '{ name: b, path: /opt/**, behavior: block, operations: [write], apps: [] }',
    ],
    [],
  ],
];

describe('warnings', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fileward-warn-'));
  });
  after(() => rm(folder, { recursive: true }));

  const load = async (text: string) => {
    const file = join(folder, 'main.yaml');
    await writeFile(file, text);
    const result = await loadConfiguration({ file, env: {} });
    assert.ok(result.ok, JSON.stringify(result));
    return result.warnings.map(({ line, column, message }) =>
      `${line}:${column}: ${message}`.replaceAll(file, 'FILE'),
    );
  };

  for (const [what, rules, warnings] of cases) {
    it(what, async () => {
      const head = 'version: 1\ngroups:\n  - name: host\n    members: { host: true }\n    rules:\n';
      assert.deepEqual(
        await load(head + rules.map((rule) => `      - ${rule}\n`).join('')),
        warnings,
      );
    });
  }

  it('a group without rules, and no groups', async () => {
    assert.deepEqual(await load('version: 1\n'), ['1:1: there are no groups: nothing is covered']);
    const empty = 'version: 1\ngroups: [ { name: host, members: { host: true } } ]\n';
    assert.deepEqual(await load(empty), ["2:19: group 'host' has no rules"]);
  });

  it('gRPC at the port of HTTP', async () => {
    const text = 'version: 1\ngroups: []\ntelemetry: { endpoint: "http://localhost:4318" }\n';
    assert.match((await load(text)).join(), /3:24: port 4318 is that of OTLP over HTTP/);
  });
});

/** The group that guards fileward itself, as the evaluator that decides at run time reads it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadNative } from '../../../src/native/load.ts';
import {
  BUILT_IN_GROUP,
  builtInGroup,
  type OwnFiles,
  withBuiltIn,
} from '../../../src/policy/built-in.ts';
import { compile, noCaps } from '../../../src/policy/compile.ts';
import { explain } from '../../../src/policy/explain.ts';
import { contractExample, loadText } from './load-text.ts';

const ownFiles: OwnFiles = {
  // Nothing in a path is a pattern.
  state: '/var/lib/{a,b}[1]*?\\x',
  socket: '/run/other.sock',
  canary: '/var/lib/{a,b}[1]*?\\x/canary',
  guardian: '/opt/fileward/build/Release/fileward_guardian',
  node: '/opt/node/bin/node',
  packageFolder: '/opt/fileward',
  program: ['dist/**', 'build/Release/fileward*', 'package.json'],
  npm: '/usr/lib/node_modules/npm/bin/npm-cli.js',
  configuration: ['/etc/fileward/fileward.config.yaml'],
};

async function compiled(protects = true) {
  const { configuration } = await loadText(contractExample);
  const policy = compile(withBuiltIn(configuration, builtInGroup(ownFiles, protects)), noCaps);
  const evaluator = loadNative().createEvaluator(policy.json);
  const ask = (path: string, operation: 'read' | 'write' | 'exec', exe = '/usr/bin/cat') => {
    const answer = evaluator.evaluate({ paths: [path], operation, exe, user_id: 0 });
    const { rule = 'none' } = policy.rules[answer.rule_index] ?? {};
    return `${answer.verdict} ${rule}`;
  };
  return { configuration, policy, evaluator, ask };
}

describe('the built-in group', () => {
  it('leaves the numbers of other rules as they are', async () => {
    const { configuration, policy } = await compiled();
    const without = compile(configuration, noCaps);
    const names = (rules: typeof policy.rules) =>
      rules.map(({ group, rule }) => `${group}/${rule}`);
    const ours = ['canary', 'state', 'program', 'shared', 'configuration'];
    assert.deepEqual(names(policy.rules), [
      ...names(without.rules),
      ...ours.map((rule) => `${BUILT_IN_GROUP}/${rule}`),
    ]);
  });

  it("denies others to write what is fileward's alone, and to read nothing", async () => {
    const { ask } = await compiled();
    const { state } = ownFiles;
    for (const file of [`${state}/learned.db`, `${state}/a/b`, ownFiles.socket]) {
      assert.equal(ask(file, 'write'), 'deny state', file);
      assert.equal(ask(file, 'write', ownFiles.guardian), 'allow state', file);
      assert.match(ask(file, 'read'), /^allow/, file);
    }
    for (const file of ['dist/main.js', 'build/Release/fileward.node', 'package.json']) {
      assert.equal(ask(`/opt/fileward/${file}`, 'write'), 'deny program', file);
      assert.equal(ask(`/opt/fileward/${file}`, 'write', '/usr/bin/dpkg'), 'allow program', file);
      assert.match(ask(`/opt/fileward/${file}`, 'exec'), /^allow/, file);
    }
    for (const file of ['/var/lib/a1zzx/f', '/var/lib/b1zzx/f', '/opt/fileward/other', '/run/x']) {
      assert.equal(ask(file, 'write'), 'allow none', file);
    }
  });

  it('tells who changes what others may change', async () => {
    const { ask, evaluator } = await compiled();
    for (const [file, rule] of [
      [ownFiles.node, 'shared'],
      [ownFiles.configuration[0] ?? '', 'configuration'],
    ] as const) {
      assert.equal(ask(file, 'write'), `allow ${rule}`);
      const query = {
        paths: [file],
        operation: 'write',
        exe: '/usr/bin/vi',
        gate: 'change',
      } as const;
      assert.equal(evaluator.evaluate(query).outcome, 'modified');
    }
  });

  it('is quiet about who reads the canary, which it keeps when nothing else is guarded', async () => {
    for (const protects of [true, false]) {
      const { ask, evaluator } = await compiled(protects);
      assert.equal(ask(ownFiles.canary, 'read'), 'allow canary');
      assert.equal(ask(`${ownFiles.state}/x`, 'write'), protects ? 'deny state' : 'allow none');
      const other = {
        paths: [ownFiles.canary],
        operation: 'read',
        exe: '/bin/x',
        user_id: 7,
      } as const;
      assert.equal(evaluator.evaluate(other).outcome, 'violated', 'only root can open it');
    }
  });

  it('keeps nobody out while nobody decides', async () => {
    const { configuration } = await loadText(contractExample);
    const verdict = { deadlineMs: 100, onDeadline: 'deny' } as const;
    const own = builtInGroup(ownFiles, true);
    const policy = compile(withBuiltIn({ ...configuration, verdict }, own), noCaps);
    assert.equal(policy.ruleset.verdict.on_deadline, 'deny');
    const group = policy.ruleset.groups.find(({ name }) => name === BUILT_IN_GROUP);
    assert.ok(group?.rules.every((rule) => rule.on_deadline === 'allow'));
  });

  it('is in no configuration: explain says what it is', async () => {
    const { configuration } = await loadText(contractExample);
    const policy = compile(configuration, noCaps);
    const evaluator = loadNative().createEvaluator(policy.json);
    const query = { path: '/x', group: BUILT_IN_GROUP };
    assert.throws(() => explain(policy, configuration, evaluator, query), {
      name: 'RangeError',
      message: "group 'fileward.self' guards fileward itself, whatever the configuration says",
    });
  });
});

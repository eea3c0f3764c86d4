import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import type { Evaluator } from '../../../src/native/addon.ts';
import { compile, noCaps } from '../../../src/policy/compile.ts';
import type { Rule } from '../../../src/policy/document.ts';
import { baselineFiles } from '../../../src/records/baseline.ts';
import { configurationOf, rule } from './support.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fileward-baseline-'));
after(() => rmSync(folder, { recursive: true }));
const at = (...names: string[]) => path.join(folder, ...names);

mkdirSync(at('etc/deep/er'), { recursive: true });
for (const name of ['etc/shadow', 'etc/gshadow', 'etc/other', 'etc/deep/er/file']) {
  writeFileSync(at(name), name);
}
writeFileSync(at('etc/large'), Buffer.alloc(1024 * 1024 + 1));
symlinkSync(at('etc/other'), at('etc/link'));

/** Says yes to what one of the expressions matches, as the native evaluator would. */
function evaluatorOf(...covered: RegExp[]): Evaluator {
  return {
    evaluate: ({ paths }) => ({
      outcome: covered.some((each) => each.test(paths[0] ?? '')) ? 'modified' : 'not_covered',
      verdict: 'allow',
      rule_index: 0,
      path: '',
      mode: 'monitor',
      reason: '',
      listed: false,
      app_index: -1,
      covering: [],
    }),
  };
}

async function found(evaluator: Evaluator, given: Partial<Rule>): Promise<string[]> {
  const policy = compile(configurationOf([rule('data', given)]), noCaps);
  const files = await baselineFiles(policy.rules, evaluator);
  return files.map((file) => path.relative(folder, file)).sort();
}

describe('the baseline', () => {
  const all = evaluatorOf(/./);

  it('has the files that a rule names', async () => {
    const given = { path: [at('etc/shadow'), at('etc/absent')] };
    assert.deepEqual(await found(all, given), ['etc/shadow']);
  });

  it('asks the evaluator what a pattern covers', async () => {
    const given = { path: [at('etc/{shadow,gshadow}')] };
    assert.deepEqual(await found(evaluatorOf(/shadow$/), given), ['etc/gshadow', 'etc/shadow']);
  });

  it('looks as deep as a pattern goes', async () => {
    assert.deepEqual(await found(all, { path: [at('etc/deep/*')] }), []);
    assert.deepEqual(await found(all, { path: [at('etc/deep/*/*')] }), ['etc/deep/er/file']);
    assert.deepEqual(await found(all, { path: [at('etc/deep/**')] }), ['etc/deep/er/file']);
  });

  it('leaves out what is large, no regular file, or never hashed', async () => {
    const given = { path: [at('etc/*')] };
    assert.deepEqual(await found(all, given), ['etc/gshadow', 'etc/other', 'etc/shadow']);
    assert.deepEqual(await found(all, { ...given, hash: false }), []);
    assert.deepEqual(await found(all, { ...given, operations: ['read'] }), []);
  });
});

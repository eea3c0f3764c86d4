// The compiler and the native evaluator against test/fuzz/reference-evaluator.ts, which reads the contract and nothing
// else: any configuration, any question, one answer.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { loadConfiguration } from '../../../src/config/load.ts';
import { formatProblem } from '../../../src/config/problem.ts';
import { loadNative } from '../../../src/native/load.ts';
import { compile, type ModeCaps, noCaps } from '../../../src/policy/compile.ts';
import { evaluationQuery } from '../../../src/policy/explain.ts';
import { configuration, question } from '../../fuzz/arbitrary-policy.ts';
import { tries } from '../../fuzz/property.ts';
import { type ConfigurationMap, judge, type Question } from '../../fuzz/reference-evaluator.ts';

const native = loadNative();
const folder = mkdtempSync(path.join(tmpdir(), 'fileward-property-'));
const file = path.join(folder, 'fileward.config.json');
writeFileSync(file, '{}');
after(() => rmSync(folder, { recursive: true }));

/** Rules whose patterns are refused are left out: which those are is test/fuzz/path_patterns_fuzz.cc's to ask. */
function withGoodPatterns(wanted: ConfigurationMap): ConfigurationMap {
  const good = (pattern: string) => native.checkGlob(pattern) === null;
  const groups = wanted.groups.map((each) => ({
    ...each,
    rules: each.rules.filter((rule) => {
      const globs = [rule.path ?? [], rule.except ?? []].flat(2);
      const allTaken = rule.path && [rule.path].flat().every((one) => rule.except?.includes(one));
      return globs.every(good) && !allTaken;
    }),
  }));
  return { ...wanted, groups };
}

async function answersOf(wanted: ConfigurationMap, questions: readonly Question[], caps: ModeCaps) {
  const result = await loadConfiguration({
    file,
    offline: true,
    instead: new Map([[file, JSON.stringify(wanted)]]),
  });
  assert.ok(result.ok, result.ok ? '' : result.problems.map(formatProblem).join('\n'));
  const policy = compile(result.configuration, caps);
  const evaluator = native.createEvaluator(policy.json);
  const containers = [...policy.ruleset.groups.keys()].filter(
    (index) => !policy.ruleset.groups[index]?.host,
  );
  return questions.map(({ paths: [first = '', ...otherPaths], of, origin, ...rest }) => {
    const groups = of === 'host' ? undefined : containers;
    const asked = { ...rest, path: first, otherPaths, ...(of === 'box' && { origin }) };
    const answer = evaluator.evaluate(evaluationQuery(asked, rest.operation, groups, policy.users));
    const rule = policy.rules[answer.rule_index];
    const { outcome, verdict, reason } = answer;
    return { outcome, verdict, rule: rule ? `${rule.group}/${rule.rule}` : '', reason };
  });
}

describe('compile and the native evaluator', () => {
  it('say what the contract says, whatever the configuration and the question', async () => {
    await fc.assert(
      fc.asyncProperty(
        configuration.map(withGoodPatterns),
        fc.array(question, { minLength: 1, maxLength: 40, size: 'max' }),
        fc.constantFrom(undefined, 'monitor' as const),
        async (wanted, questions, cap) => {
          const answers = await answersOf(wanted, questions, cap ? () => cap : noCaps);
          for (const [index, asked] of questions.entries()) {
            const right = judge(wanted, asked, cap);
            const found = answers[index];
            assert.ok(
              right.some((each) => JSON.stringify(each) === JSON.stringify(found)),
              `asked ${JSON.stringify(asked)}\nthe reference: ${JSON.stringify(right)}\nthe evaluator: ${JSON.stringify(found)}`,
            );
          }
        },
      ),
      tries(300),
    );
  });
});

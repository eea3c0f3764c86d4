// Configurations that nobody would write: never a crash, every problem with its place, nothing accepted wrongly.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { type LoadResult, loadConfiguration } from '../../../src/config/load.ts';
import { formatProblem } from '../../../src/config/problem.ts';
import { loadNative } from '../../../src/native/load.ts';
import { compile, noCaps } from '../../../src/policy/compile.ts';
import { configuration } from '../../fuzz/arbitrary-policy.ts';
import { wrongWith } from '../../fuzz/contract-check.ts';
import { mutated } from '../../fuzz/mutated-text.ts';
import { tries } from '../../fuzz/property.ts';
import { contractExample } from '../policy/load-text.ts';
import { badConfigurations } from './bad-configurations.ts';

const native = loadNative();
const folder = mkdtempSync(path.join(tmpdir(), 'fileward-property-'));
after(() => rmSync(folder, { recursive: true }));
const yaml = path.join(folder, 'fileward.config.yaml');
writeFileSync(yaml, 'version: 1\n');

function load(text: string): Promise<LoadResult> {
  return loadConfiguration({ file: yaml, offline: true, instead: new Map([[yaml, text]]) });
}

/** What must hold of every answer, whatever was asked. */
function checkAnswer(result: LoadResult, text: string): void {
  if (result.ok) {
    const policy = compile(result.configuration, noCaps);
    native.createEvaluator(policy.json);
    assert.equal(wrongWith(parse(text, { merge: true, maxAliasCount: -1 })), undefined, text);
  } else {
    assert.ok(result.problems.length > 0);
  }
  const lines = text.split('\n').length;
  for (const problem of result.ok ? result.warnings : result.problems) {
    const { file, line, column } = problem;
    assert.equal(file, yaml);
    assert.ok(line >= 1 && line <= lines && column >= 1, formatProblem(problem));
    // One line for people, that can't drive their terminal.
    assert.match(formatProblem(problem), /^[^\p{Cc}]+$/u);
  }
}

describe('a configuration', () => {
  it('of changed text is refused with places, or is one by the contract', async () => {
    const texts = [contractExample, ...badConfigurations.map(([, text]) => text)];
    await fc.assert(
      fc.asyncProperty(mutated(texts), async (text) => checkAnswer(await load(text), text)),
      tries(400),
    );
  });

  it('of any text is no crash', async () => {
    const words = fc.constantFrom(
      ...[
        'version: 1',
        'groups:',
        '- ',
        '  ',
        '\n',
        '{',
        '}',
        '[',
        ']',
        '&a ',
        '*a',
        '<<: ',
        '!!js ',
        '|',
        '>',
      ],
      ...[
        '? ',
        ': ',
        '"',
        "'",
        '%YAML 1.2\n',
        '---\n',
        '...\n',
        '#',
        '\t',
        '\0',
        '\u2028',
        '\ud800',
        '﻿',
        'x',
        ',',
      ],
      ...[
        'rules:',
        'path: ',
        'import: ',
        '__proto__: ',
        'constructor: ',
        '1e999',
        '0x1',
        '.nan',
        'null',
        '~',
        '\u001b[2J',
      ],
    );
    const text = fc.oneof(
      fc.array(words, { maxLength: 30 }).map((all) => all.join('')),
      fc.string({ unit: 'binary', maxLength: 60 }),
    );
    await fc.assert(
      fc.asyncProperty(text, async (some) => checkAnswer(await load(some), some)),
      tries(400),
    );
  });

  it('with one thing wrong is refused where that stands', async () => {
    await fc.assert(
      fc.asyncProperty(broken, async (value) => {
        const text = JSON.stringify(value, null, 1);
        const result = await load(text);
        assert.ok(!result.ok, `accepted: ${text}`);
        checkAnswer(result, text);
        const at = text.split('\n').findIndex((line) => line.includes(marker)) + 1;
        const lines = result.problems.map((each) => each.line);
        assert.ok(
          lines.some((line) => Math.abs(line - at) <= 1),
          `line ${at} of ${text}\n${result.problems.map(formatProblem).join('\n')}`,
        );
      }),
      tries(400),
    );
  });
});

/** No name, no key and no value of a configuration holds this. */
const marker = '\u00a7';

/** A configuration in which one value has become a map that has no place anywhere, or one map has a key too many. */
const broken = fc
  .tuple(configuration, fc.nat(), fc.constantFrom('value', 'key'))
  .map(([good, pick, what]) => {
    const copy = structuredClone(good) as unknown as Record<string, unknown>;
    const places: (() => void)[] = [];
    const visit = (container: Record<string, unknown>): void => {
      const isList = Array.isArray(container);
      if (what === 'key' && !isList) places.push(() => Object.assign(container, { [marker]: 1 }));
      for (const key of Object.keys(container)) {
        const value = container[key];
        if (what === 'value') {
          places.push(() => {
            container[key] = { [marker]: 1 };
          });
        }
        if (typeof value === 'object' && value !== null) visit(value as Record<string, unknown>);
      }
    };
    visit(copy);
    places[pick % places.length]?.();
    return copy;
  });

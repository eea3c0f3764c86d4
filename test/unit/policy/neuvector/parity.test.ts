/** Holds docs/neuvector.md to the truth: each test that it names is there, and each defect has a row. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

const root = path.resolve(import.meta.dirname, '../../../..');
const doc = readFileSync(path.join(root, 'docs/neuvector.md'), 'utf8');

interface NamedTest {
  readonly file: string;
  readonly name: string;
}

/** Of a table: its rows, the cells trimmed. */
function rows(heading: string): string[][] {
  const [, section = ''] =
    new RegExp(`^## ${heading}$([\\s\\S]*?)(?=^## |(?![\\s\\S]))`, 'm').exec(doc) ?? [];
  return section
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
    .slice(1)
    .map((line) =>
      line
        .slice(1, -1)
        .split(' | ')
        .map((cell) => cell.trim()),
    );
}

/** `native/x: Suite.Name` is test/native/x_test.cc, `kernel/x: name` test/kernel/x.test.ts. */
function namedTests(cell: string): NamedTest[] {
  return [...cell.matchAll(/`([a-z0-9/_-]+): ([^`]+)`/g)].map(([, file = '', name = '']) => ({
    file: file.startsWith('native/') ? `test/${file}_test.cc` : `test/${file}.test.ts`,
    name,
  }));
}

function isIn({ file, name }: NamedTest): boolean {
  if (!existsSync(path.join(root, file))) return false;
  const text = readFileSync(path.join(root, file), 'utf8');
  if (file.endsWith('.cc')) {
    const [suite = '', test = ''] = name.split('.');
    return new RegExp(`^TEST(_F|_P)?\\(${suite}, ${test}\\)`, 'm').test(text);
  }
  return [...text.matchAll(/\b(?:it|describe)\(\s*(['"`])((?:\\.|(?!\1).)*)\1/g)].some(
    (match) => match[2]?.replaceAll('\\', '') === name || isMadeOf(match[2] ?? '', name),
  );
}

/** A name with `${…}` in it, at one of its values. */
function isMadeOf(template: string, name: string): boolean {
  if (!template.includes('${')) return false;
  const parts = template
    .split(/\$\{[^}]*\}/)
    .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  return parts.join('').length > 10 && new RegExp(`^${parts.join('.+')}$`).test(name);
}

const features = rows('Feature by feature');
const defects = rows('Its defects');
/** Rows about what fileward has not: there is nothing to test. */
const without = features.filter((cells) => cells.at(-1) === '-');

describe('docs/neuvector.md', () => {
  it('names only tests that there are', () => {
    const named = [...features, ...defects]
      .filter((cells) => !without.includes(cells))
      .flatMap((cells) => {
        const tests = namedTests(cells.at(-1) ?? '');
        assert.ok(tests.length > 0, cells.join(' | '));
        return tests;
      });
    assert.ok(named.length > 100, `${named.length}`);
    assert.deepEqual(
      named.filter((each) => !isIn(each)).map(({ file, name }) => `${file}: ${name}`),
      [],
    );
  });

  it('says theirs, ours, the difference and a test in each row', () => {
    for (const cells of features) {
      assert.equal(cells.length, 5, cells.join(' | '));
      for (const cell of cells) assert.ok(cell, cells.join(' | '));
    }
    assert.ok(without.length <= 2);
  });

  it('has every defect, in order', () => {
    const numbers = defects.map(([number]) => number);
    assert.deepEqual(
      numbers,
      Array.from({ length: 22 }, (_, index) => `W${index + 1}`),
    );
    for (const cells of defects) assert.equal(cells.length, 4, cells.join(' | '));
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { printable, printableOutput } from '../../../src/policy/printable.ts';
import { columns, count } from '../../../src/commands/terminal.ts';

describe('printable', () => {
  it('shows what would act on a terminal', () => {
    assert.equal(printable('a\u001b[31mb\u0007'), 'a\\x1b[31mb\\x07');
    assert.equal(printable('two\nlines\tx'), 'two\\nlines\\tx');
    assert.equal(printable('\u202egpj.exe'), '\\u202egpj.exe');
    assert.equal(printable('\u009b31m'), '\\x9b31m');
  });

  it('leaves names of people alone', () => {
    assert.equal(printable('naïve 🦊 日本'), 'naïve 🦊 日本');
  });
});

describe('printableOutput', () => {
  it('leaves lines, columns and colours, and nothing else that acts on a terminal', () => {
    const ours = 'a\n\tb \u001b[31mred\u001b[39m';
    assert.equal(printableOutput(ours), ours);
    assert.equal(
      printableOutput('\u001b[2Jx\u001b]0;title\u0007'),
      '\\u001b[2Jx\\u001b]0;title\\u0007',
    );
    assert.equal(printableOutput('\n[31m\u0007[31m'), '\n[31m\\u0007[31m');
    assert.equal(printableOutput('a\rb\u009b2J\u202e'), 'a\\u000db\\u009b2J\\u202e');
  });

  it('keeps JSON the same value', () => {
    const value = { name: 'x\u009b31m\u2028\u{e0041}\u001b[31m' };
    const shown = printableOutput(JSON.stringify(value));
    assert.doesNotMatch(shown, /[\p{Cc}\p{Cf}\p{Zl}]/u);
    assert.deepEqual(JSON.parse(shown), value);
  });
});

describe('columns', () => {
  it('aligns all but the last, whatever the colour', () => {
    assert.deepEqual(
      columns([
        ['\u001b[31ma\u001b[39m', 'x'],
        ['long', 'y'],
      ]),
      ['\u001b[31ma\u001b[39m     x', 'long  y'],
    );
  });
});

it('count', () => {
  assert.equal(count(1, 'rule'), '1 rule');
  assert.equal(count(0, 'directory', 'directories'), '0 directories');
});

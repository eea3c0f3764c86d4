import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { columns, count, printable } from '../../../src/commands/terminal.ts';

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

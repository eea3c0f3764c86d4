/** Texts that were once right: parts taken out, doubled, moved, put in from elsewhere. */
import fc from 'fast-check';

const odd = [
  '\0',
  '\n',
  ' ',
  '\t',
  '"',
  "'",
  '{',
  '}',
  '[',
  ']',
  ':',
  ',',
  '-',
  '&a ',
  '*a',
  '<<: *a',
  '\u001b[31m',
  '\ud83d\ude00',
  '\ud800',
  '/',
  '..',
  '**',
  '-1',
  '1e400',
  '99999999999999999999',
  'null',
  'true',
  '__proto__',
  'a'.repeat(300),
];

interface Edit {
  readonly kind: 'drop' | 'repeat' | 'insert' | 'move';
  readonly at: number;
  readonly length: number;
  readonly to: number;
  readonly text: string;
}

const edit: fc.Arbitrary<Edit> = fc.record({
  kind: fc.constantFrom('drop', 'repeat', 'insert', 'move'),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 200 })),
  to: fc.double({ min: 0, max: 1, noNaN: true }),
  text: fc.constantFrom(...odd),
});

function apply(text: string, { kind, at, length, to, text: put }: Edit): string {
  const from = Math.floor(at * text.length);
  const part = text.slice(from, from + length);
  const without = text.slice(0, from) + text.slice(from + length);
  const target = Math.floor(to * without.length);
  switch (kind) {
    case 'drop':
      return without;
    case 'repeat':
      return text.slice(0, from) + part + text.slice(from);
    case 'insert':
      return text.slice(0, from) + put + text.slice(from);
    case 'move':
      return without.slice(0, target) + part + without.slice(target);
  }
}

/** One of `texts` with one to four changes. */
export function mutated(texts: readonly string[]): fc.Arbitrary<string> {
  return fc
    .tuple(fc.constantFrom(...texts), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([text, edits]) => edits.reduce(apply, text));
}

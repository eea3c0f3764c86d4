/** What commands print: colours and columns on a terminal, plain text otherwise, and never a raw control character. */
import { stripVTControlCharacters, styleText } from 'node:util';

export type Style = Parameters<typeof styleText>[0];

/** Styled when `stream` is a terminal and `NO_COLOR` doesn't forbid it. */
export function paint(
  style: Style,
  text: string,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  return styleText(style, text, { stream });
}

export function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}

export function printError(line: string): void {
  process.stderr.write(`${line}\n`);
}

// Also what turns the direction of text round: a file name must not be able to dress up a line.
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** Text from a file name or a process, safe to show on a terminal. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code === 10) return '\\n';
    if (code === 9) return '\\t';
    return code < 256
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** Rows as lines with their columns aligned; the last column is left as it is. */
export function columns(rows: readonly (readonly string[])[], gap = 2): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.slice(0, -1).entries()) {
      widths[i] = Math.max(widths[i] ?? 0, visibleWidth(cell));
    }
  }
  return rows.map((row) =>
    row
      .map((cell, i) =>
        i === row.length - 1
          ? cell
          : cell + ' '.repeat((widths[i] ?? 0) - visibleWidth(cell) + gap),
      )
      .join('')
      .trimEnd(),
  );
}

export function visibleWidth(text: string): number {
  return [...stripVTControlCharacters(text)].length;
}

/** `1 rule`, `2 rules`. */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}

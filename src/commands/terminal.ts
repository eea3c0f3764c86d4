/**
 * What commands print: colours and columns on a terminal, plain text otherwise. Text of others goes through `printable`
 * first; what does not is held to lines and colours here.
 */
import { stripVTControlCharacters, styleText } from 'node:util';
import { printableOutput } from '../policy/printable.ts';

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
  process.stdout.write(`${printableOutput(line)}\n`);
}

export function printError(line: string): void {
  process.stderr.write(`${printableOutput(line)}\n`);
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

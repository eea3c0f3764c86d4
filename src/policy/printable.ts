/**
 * Text of others on a terminal: names of files, processes and containers are anybody's, and must neither move the cursor,
 * nor begin a line, nor turn the direction of text round to dress one up.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
/** As far as a whole output may not hold it: lines and colours are ours. */
const UNPRINTABLE_IN_OUTPUT = /\p{Cc}(\[[0-9;]*m)?|[\p{Cf}\p{Zl}\p{Zp}]/gu;

/** One piece of such text, on one line. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code === 10) return '\\n';
    if (code === 9) return '\\t';
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : escaped(character);
  });
}

/** Whole lines, whatever is in them: what is escaped stays the same JSON. */
export function printableOutput(text: string): string {
  return text.replace(UNPRINTABLE_IN_OUTPUT, (found, colour: string | undefined) => {
    const [first = ''] = found;
    const isColour = colour !== undefined && first === '\u001b';
    if (isColour || first === '\n' || first === '\t') return found;
    return escaped(first) + found.slice(first.length);
  });
}

/** In UTF-16, as JSON has it. */
function escaped(character: string): string {
  const unit = (index: number) => character.charCodeAt(index).toString(16).padStart(4, '0');
  return Array.from({ length: character.length }, (_, index) => `\\u${unit(index)}`).join('');
}

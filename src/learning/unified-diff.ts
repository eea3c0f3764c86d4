/** The difference of two texts as `diff -u` shows it: lines, three of context. */

const CONTEXT = 3;

interface Step {
  readonly sign: ' ' | '-' | '+';
  readonly line: string;
}

/** Lines without newlines; none when the texts are equal. */
export function unifiedDiff(file: string, before: string, after: string): string[] {
  if (before === after) return [];
  const steps = stepsOf(linesOf(before), linesOf(after));
  const lines = [`--- ${file}`, `+++ ${file} (new)`];
  let from = 0;
  while (from < steps.length) {
    const first = steps.findIndex(({ sign }, index) => index >= from && sign !== ' ');
    if (first === -1) break;
    let last = first;
    for (let at = first; at < steps.length && at - last <= 2 * CONTEXT; at += 1) {
      if (steps[at]?.sign !== ' ') last = at;
    }
    const start = Math.max(from, first - CONTEXT);
    const end = Math.min(steps.length, last + CONTEXT + 1);
    lines.push(header(steps, start, end));
    for (const { sign, line } of steps.slice(start, end)) lines.push(sign + line);
    from = end;
  }
  return lines;
}

function linesOf(text: string): string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

function header(steps: readonly Step[], start: number, end: number): string {
  const range = (other: Step['sign']) => {
    const count = (part: readonly Step[]) => part.filter(({ sign }) => sign !== other).length;
    const lines = count(steps.slice(start, end));
    return `${count(steps.slice(0, start)) + (lines === 0 ? 0 : 1)},${lines}`;
  };
  return `@@ -${range('+')} +${range('-')} @@`;
}

/** Equal beginnings and ends aside, by the longest common subsequence. */
function stepsOf(before: readonly string[], after: readonly string[]): Step[] {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head += 1;
  let tail = 0;
  while (
    tail < Math.min(before.length, after.length) - head &&
    before[before.length - 1 - tail] === after[after.length - 1 - tail]
  ) {
    tail += 1;
  }
  const same = (lines: readonly string[]): Step[] => lines.map((line) => ({ sign: ' ', line }));
  const middle = commonSteps(
    before.slice(head, before.length - tail),
    after.slice(head, after.length - tail),
  );
  return [...same(before.slice(0, head)), ...middle, ...same(before.slice(before.length - tail))];
}

/** What is added or changed in a file is little: the table of a few hundred lines by as many. */
function commonSteps(before: readonly string[], after: readonly string[]): Step[] {
  const width = after.length + 1;
  const longest = new Uint32Array((before.length + 1) * width);
  const at = (i: number, j: number) => longest[i * width + j] ?? 0;
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      longest[i * width + j] =
        before[i] === after[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const steps: Step[] = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    const [old = '', added = ''] = [before[i], after[j]];
    if (i < before.length && j < after.length && old === added) {
      steps.push({ sign: ' ', line: old });
      i += 1;
      j += 1;
    } else if (i < before.length && (j === after.length || at(i + 1, j) >= at(i, j + 1))) {
      steps.push({ sign: '-', line: old });
      i += 1;
    } else {
      steps.push({ sign: '+', line: added });
      j += 1;
    }
  }
  return steps;
}

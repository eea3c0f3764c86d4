import { distance } from 'fastest-levenshtein';
import type { Position } from '../policy/document.ts';
import { printable } from '../policy/printable.ts';

/** One thing that is wrong with a configuration, or legal and surely not meant. */
export interface Problem extends Position {
  readonly message: string;
  readonly severity: 'error' | 'warning';
  /** There is no configuration at all. */
  readonly kind?: 'missing';
}

/** `FILE:LINE:COL: message`, safe to show on a terminal: it quotes what somebody wrote. */
export function formatProblem(problem: Problem): string {
  const { file, line, column, message } = problem;
  return printable(`${file}:${line}:${column}: ${message}`);
}

/** Collects problems; the same words at the same place (an alias used twice) count once. */
export class ProblemList {
  readonly #seen = new Set<string>();
  readonly #problems: Problem[] = [];

  error(position: Position, message: string): void {
    this.#add({ ...place(position), message, severity: 'error' });
  }

  warn(position: Position, message: string): void {
    this.#add({ ...place(position), message, severity: 'warning' });
  }

  missing(position: Position, message: string): void {
    this.#add({ ...place(position), message, severity: 'error', kind: 'missing' });
  }

  get errors(): readonly Problem[] {
    return this.#sorted('error');
  }

  get warnings(): readonly Problem[] {
    return this.#sorted('warning');
  }

  #add(problem: Problem): void {
    const key = formatProblem(problem);
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#problems.push(problem);
  }

  /** Files in the order in which they were first complained of, each from top to bottom. */
  #sorted(severity: Problem['severity']): Problem[] {
    const files = new Map<string, number>();
    for (const { file } of this.#problems) if (!files.has(file)) files.set(file, files.size);
    const order = (problem: Problem) => files.get(problem.file) ?? 0;
    return this.#problems
      .filter((problem) => problem.severity === severity)
      .sort((a, b) => order(a) - order(b) || a.line - b.line || a.column - b.column);
  }
}

function place({ file, line, column }: Position): Position {
  return { file, line, column };
}

/** The one of `candidates` that was surely meant by `word`, if any is near enough. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.ceil(word.length / 3) + 1;
  for (const candidate of candidates) {
    const found = distance(word.toLowerCase(), candidate.toLowerCase());
    if (found < bestDistance) [best, bestDistance] = [candidate, found];
  }
  return best;
}

/** `; did you mean 'x'?`, or nothing. */
export function suggestion(word: string, candidates: Iterable<string>, prefix = ''): string {
  const found = nearest(word, candidates);
  return found === undefined ? '' : `; did you mean '${prefix}${found}'?`;
}

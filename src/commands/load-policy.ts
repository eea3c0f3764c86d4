/** The configuration as the offline commands need it: loaded and compiled, or its problems and status 2. */
import type { Loaded } from '../agent.ts';
import { type LoadOptions, loadConfiguration } from '../config/load.ts';
import { formatProblem, type Problem } from '../config/problem.ts';
import { Failure } from '../control/failure.ts';
import { count } from './terminal.ts';

export interface LoadPolicyOptions {
  readonly config?: string | undefined;
  readonly offline?: boolean;
  readonly trust?: LoadOptions['trust'];
}

/** @throws Failure 2 with every problem, one a line. */
export async function loadPolicy(options: LoadPolicyOptions): Promise<Loaded> {
  const { config, offline = false, trust } = options;
  const result = await loadConfiguration({
    ...(config !== undefined && { file: config }),
    offline,
    ...(trust !== undefined && { trust }),
  });
  if (!result.ok) throw new Failure(2, describeProblems(result.problems));
  return result;
}

/** For people: each problem on a line of its own, as `FILE:LINE:COL: message`. */
export function describeProblems(problems: readonly Problem[]): string {
  const [first] = problems;
  if (first?.kind === 'missing') return first.message;
  return [
    `${count(problems.length, 'problem')}, nothing was done:`,
    ...problems.map(formatProblem),
  ].join('\n');
}

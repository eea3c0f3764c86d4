import type { RuleInfo } from '../policy/compile.ts';
import type { Operation } from '../policy/ruleset.ts';

/** Beyond it nothing new is learned until a restart: a group that opens by random executables would grow for ever. */
const MOST_PAIRS = 100_000;

/** Which (rule, app, operation), and user when asked for, was learned already. */
export class LearnedPairs {
  readonly #seen = new Set<string>();
  readonly #pairsOfGroup = new Map<string, number>();

  /** True the first time. */
  add(rule: RuleInfo, app: string, operation: Operation, uid?: number): boolean {
    const key = [rule.group, rule.rule, app, operation, uid ?? ''].join('\0');
    if (this.#seen.has(key) || this.#seen.size >= MOST_PAIRS) return false;
    this.#seen.add(key);
    this.#pairsOfGroup.set(rule.group, (this.#pairsOfGroup.get(rule.group) ?? 0) + 1);
    return true;
  }

  countOf(group: string): number {
    return this.#pairsOfGroup.get(group) ?? 0;
  }
}

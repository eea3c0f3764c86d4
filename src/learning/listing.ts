/** Whether the rules of a policy list an app, asked of the evaluator that decides at run time. */
import type { Evaluator, Native } from '../native/addon.ts';
import type { CompiledPolicy, RuleInfo } from '../policy/compile.ts';
import type { CompiledRuleset } from '../policy/ruleset.ts';
import type { LearnedPair } from './learned-pair.ts';
import { exeOfPackageManager } from './package-manager.ts';

/** Each rule is asked about by a path of its own: whichever files it covers, and whatever comes before it. */
const pathOf = (index: number) => `/rule/${index}`;

export class Listing {
  readonly #policy: CompiledPolicy;
  readonly #rules = new Map<string, RuleInfo>();
  readonly #evaluator: Evaluator;

  constructor(policy: CompiledPolicy, createEvaluator: Native['createEvaluator']) {
    this.#policy = policy;
    for (const info of policy.rules) this.#rules.set(`${info.group}/${info.rule}`, info);
    this.#evaluator = createEvaluator(rulesetOf(policy.ruleset));
  }

  /** Undefined: there is none, or it is disabled. */
  ruleOf({ group, rule }: Pick<LearnedPair, 'group' | 'rule'>): RuleInfo | undefined {
    return this.#rules.get(`${group}/${rule}`);
  }

  /** For what it was seen to do, of a package manager as one that it runs. */
  lists(rule: RuleInfo, pair: LearnedPair): boolean {
    const { app, operation, user, origin, packageManager } = pair;
    // The evaluator takes text; no file has such a path.
    if (!app.isWellFormed()) return false;
    const answer = this.#evaluator.evaluate({
      paths: [pathOf(rule.index)],
      operation,
      exe: app,
      ancestors: packageManager === '' ? [] : [exeOfPackageManager(packageManager)],
      groups: [rule.groupIndex],
      origin: origin === 'container' ? 'other' : origin,
      ...(user !== '' && { user_id: this.#policy.users.idOf(user) }),
    });
    return answer.listed;
  }
}

function rulesetOf(ruleset: CompiledRuleset): string {
  let index = 0;
  const groups = ruleset.groups.map((group) => ({
    ...group,
    rules: group.rules.map(({ regex: _, ...rule }) => ({
      ...rule,
      path: [pathOf(index++)],
      except: [],
    })),
  }));
  return JSON.stringify({ ...ruleset, groups });
}

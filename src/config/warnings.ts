/** What is legal and surely not meant. */
import type { Evaluator } from '../native/addon.ts';
import { compile, noCaps } from '../policy/compile.ts';
import type { AppEntry, Configuration, Group, Position, Rule } from '../policy/document.ts';
import { host, isMember } from '../policy/members.ts';
import type { Operation } from '../policy/ruleset.ts';
import { told } from './draft.ts';
import { appKind, type Machine, offline } from './machine.ts';
import { globCharacters } from './patterns.ts';
import type { ProblemList } from './problem.ts';

export function warnOfGroups(
  groups: readonly Group[],
  problems: ProblemList,
  machine: Machine,
): void {
  for (const group of groups) {
    if (group.rules.length === 0)
      problems.warn(group.position, `group '${group.name}' has no rules`);
    const earlier = new EarlierPatterns();
    const onHost = isMember(group.members, host);
    for (const rule of group.rules) {
      if (!rule.enabled) continue;
      warnOfHiding(rule, earlier, problems);
      warnOfWidth(rule, problems);
      warnOfNoEffect(rule, problems);
      for (const app of rule.apps) {
        // A container's files are not on this disk.
        const looked = onHost || app.workload === 'host' ? machine : offline;
        warnOfBroadApp(app, problems, looked);
      }
    }
  }
}

function warnOfHiding(rule: Rule, earlier: EarlierPatterns, problems: ProblemList): void {
  const hiding = earlier.hides(rule);
  if (hiding !== undefined) {
    const message = `rule '${rule.name}' never decides: '${hiding.name}' at ${told(hiding.position)} comes first and covers the same`;
    problems.warn(rule.position, message);
  }
  earlier.add(rule);
}

function warnOfWidth(rule: Rule, problems: ProblemList): void {
  if (rule.path.includes('/**') && rule.except.length === 0) {
    problems.warn(rule.position, `'/**' covers every file of the workload`);
  }
}

function warnOfNoEffect(rule: Rule, problems: ProblemList): void {
  const onlyBlock = {
    severity: rule.severity,
    on_deadline: rule.onDeadline,
    strict: rule.strict || undefined,
  };
  for (const [key, value] of Object.entries(onlyBlock)) {
    if (rule.behavior === 'watch' && value !== undefined) {
      problems.warn(rule.position, `'${key}' has no effect on a watch rule: it denies nothing`);
    }
  }
}

function warnOfBroadApp(app: AppEntry, problems: ProblemList, machine: Machine): void {
  if (app.exe === undefined || app.script !== undefined || app.sha256 !== undefined) return;
  if (app.unit !== undefined || app.ancestor !== undefined) return;
  const kind = appKind(app.exe, machine);
  if (kind === 'interpreter') {
    const message = `'${app.exe}' is an interpreter: whatever it runs is listed; add script, unit or ancestor`;
    problems.warn(app.position, message);
  } else if (kind === 'multicall') {
    problems.warn(
      app.position,
      `'${app.exe}' is many programs in one file: all of them are listed`,
    );
  }
}

/** Patterns of the rules before, found by what they cover, so that 10,000 rules are not compared in pairs. */
class EarlierPatterns {
  readonly #same = new Map<string, Rule[]>();
  readonly #below = new Map<string, Rule[]>();

  add(rule: Rule): void {
    // What it excepts is left to later rules.
    if (rule.except.length > 0) return;
    for (const pattern of rule.path.flatMap(expandBraces)) {
      push(this.#same, pattern, rule);
      const folder = pattern.endsWith('/**') ? pattern.slice(0, -3) : undefined;
      if (folder !== undefined && !globCharacters.test(folder)) push(this.#below, folder, rule);
    }
    if (rule.regex !== undefined) push(this.#same, `regex ${rule.regex}`, rule);
  }

  /** The first rule that leaves nothing to this one. */
  hides(rule: Rule): Rule | undefined {
    const patterns =
      rule.regex === undefined ? rule.path.flatMap(expandBraces) : [`regex ${rule.regex}`];
    const hiding = patterns.map((pattern) => this.#covering(pattern, rule.operations));
    return hiding.length > 0 && hiding.every((each) => each !== undefined) ? hiding[0] : undefined;
  }

  #covering(pattern: string, operations: readonly Operation[]): Rule | undefined {
    const holdsAll = (rule: Rule) => operations.every((each) => rule.operations.includes(each));
    const same = this.#same.get(pattern)?.find(holdsAll);
    if (same !== undefined) return same;
    const parts = pattern.split('/');
    for (let length = 1; length < parts.length; length += 1) {
      if (globCharacters.test(parts[length - 1] ?? '')) break;
      const below = this.#below.get(parts.slice(0, length).join('/'))?.find(holdsAll);
      if (below !== undefined) return below;
    }
    return undefined;
  }
}

function push(map: Map<string, Rule[]>, key: string, rule: Rule): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [rule]);
  else list.push(rule);
}

const maxExpansions = 64;

/** `/a/{b,c}` as `/a/b`, `/a/c`; a pattern that makes too many, or nests, stays as it is. */
function expandBraces(pattern: string): string[] {
  let done = [''];
  let rest = pattern;
  for (;;) {
    const match = /^([^{\\[]*)\{([^{}\\[]*)\}/.exec(rest);
    if (match === null) break;
    const [whole, before = '', inside = ''] = match;
    done = done.flatMap((each) => inside.split(',').map((part) => `${each}${before}${part}`));
    rest = rest.slice(whole.length);
    if (done.length > maxExpansions) return [pattern];
  }
  return done.map((each) => `${each}${rest}`);
}

const named = 3;

/**
 * Apps that protect rules trust, in files that no block rule guards: a replacement by anybody who may write them is
 * followed. The core itself is asked what covers them.
 */
export function warnOfReplaceableApps(
  configuration: Configuration,
  createEvaluator: (json: string) => Evaluator,
  problems: ProblemList,
): void {
  const trusted = trustedApps(configuration.document.groups);
  if (trusted.size === 0) return;
  const policy = compile(configuration, noCaps);
  const evaluator = createEvaluator(policy.json);
  const open = [...trusted].filter(([exe]) => {
    const question = { paths: [exe], operation: 'write', exe: '/' } as const;
    return !evaluator.evaluate(question).covering.some((index) => {
      const rule = policy.rules[index];
      return rule?.behavior === 'block' && rule.operations.includes('write');
    });
  });
  const first = open[0];
  if (first === undefined) return;
  const names = open.slice(0, named).map(([exe]) => exe);
  const more = open.length > named ? ` and ${open.length - named} more` : '';
  const which = open.length > 1 ? 'them' : 'it';
  const message = `whoever may write ${names.join(', ')}${more} becomes a listed app, as no block rule covers ${which}; add one with operations: [write]`;
  problems.warn(first[1], message);
}

function trustedApps(groups: readonly Group[]): Map<string, Position> {
  const found = new Map<string, Position>();
  for (const group of groups) {
    if (!isMember(group.members, host)) continue;
    for (const rule of group.rules) {
      const protects = rule.behavior === 'block' && (rule.mode ?? group.mode) === 'protect';
      for (const { exe } of rule.enabled && protects ? rule.apps : []) {
        const literal = exe !== undefined && !globCharacters.test(exe);
        if (literal && !found.has(exe)) found.set(exe, rule.position);
      }
    }
  }
  return found;
}

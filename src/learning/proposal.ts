/** What a configuration would have to list so that protect denies nothing that was learned, and what can't be listed. */
import type { RuleInfo } from '../policy/compile.ts';
import type { Operation } from '../policy/ruleset.ts';
import { appEntryYaml, type SnippetApp } from '../policy/snippet.ts';
import { ruleFingerprint } from './fingerprint.ts';
import { type Learned, type LearnedPair, waysOf, whyNotListable } from './learned-pair.ts';
import type { Listing } from './listing.ts';
import { isTemporary, shapeOf } from './random-parts.ts';

export interface ProposalOptions {
  /** Interpreters and multi-call binaries too: each is everything that it runs. */
  readonly allowBroad: boolean;
  /** Globs instead of paths with random parts. */
  readonly widen: boolean;
}

export interface RuleProposal {
  readonly rule: RuleInfo;
  readonly entries: readonly SnippetApp[];
  /** What each entry is for. */
  readonly pairs: ReadonlyMap<SnippetApp, readonly LearnedPair[]>;
}

/** Several programs whose paths differ in a random part, or one in a folder for temporary files. */
export interface Widening {
  readonly group: string;
  readonly rule: string;
  readonly glob: string;
  readonly examples: readonly string[];
}

export interface LeftOut {
  readonly pair: LearnedPair;
  readonly why: string;
  /** By the rule, in protect mode. */
  readonly denied: boolean;
}

export interface Proposal {
  readonly rules: readonly RuleProposal[];
  readonly widenings: readonly Widening[];
  readonly leftOut: readonly LeftOut[];
  /** Each a sentence about what is proposed. */
  readonly warnings: readonly string[];
  /** Pairs that are listed already. */
  readonly listed: number;
  /** Those that are, and those that an entry is for. */
  readonly meant: readonly LearnedPair[];
}

/** One app as one rule lists it. */
interface Wanted {
  readonly pairs: LearnedPair[];
  readonly operations: Set<Operation>;
}

export function propose(learned: Learned, listing: Listing, options: ProposalOptions): Proposal {
  const rules = new Map<RuleInfo, LearnedPair[]>();
  const leftOut: LeftOut[] = [];
  for (const pair of learned.pairs.flatMap(waysOf)) {
    const rule = listing.ruleOf(pair);
    if (rule === undefined) {
      leftOut.push({
        pair,
        why: 'the configuration has no such rule, or it is off',
        denied: false,
      });
    } else if (rule.operations.includes(pair.operation)) {
      const pairs = rules.get(rule);
      if (pairs === undefined) rules.set(rule, [pair]);
      else pairs.push(pair);
    }
  }
  const parts = [...rules].map(([rule, pairs]) => new RulePart(rule, pairs, listing, options));
  return {
    rules: parts
      .map(({ rule, entries }) => ({ rule, entries: [...entries.keys()], pairs: entries }))
      .filter(({ entries }) => entries.length > 0)
      .sort((a, b) => a.rule.index - b.rule.index),
    widenings: parts.flatMap((part) => part.widenings),
    leftOut: [...leftOut, ...parts.flatMap((part) => part.leftOut)],
    warnings: parts.flatMap((part) => part.warnings),
    listed: parts.reduce((sum, part) => sum + part.listed.length, 0),
    meant: parts.flatMap(({ listed, entries }) => [...listed, ...[...entries.values()].flat()]),
  };
}

class RulePart {
  readonly rule: RuleInfo;
  readonly entries = new Map<SnippetApp, readonly LearnedPair[]>();
  readonly widenings: Widening[] = [];
  readonly leftOut: LeftOut[] = [];
  readonly warnings: string[] = [];
  readonly listed: LearnedPair[] = [];
  readonly #name: string;
  readonly #fingerprint: string;

  constructor(
    rule: RuleInfo,
    pairs: readonly LearnedPair[],
    listing: Listing,
    { allowBroad, widen }: ProposalOptions,
  ) {
    this.rule = rule;
    this.#name = `${rule.group}/${rule.rule}`;
    this.#fingerprint = ruleFingerprint(rule.source);
    const wanted = new Map<string, Wanted>();
    for (const pair of pairs) {
      if (listing.lists(rule, pair)) {
        this.listed.push(pair);
        continue;
      }
      const why = whyNotListable(pair) ?? (allowBroad ? undefined : whyBroad(pair));
      if (why !== undefined) {
        this.leftOut.push({ pair, why, denied: rule.behavior === 'block' });
        continue;
      }
      const { app, user, origin, packageManager } = pair;
      const key = packageManager === '' ? [app, user, origin] : ['', user, origin];
      const same = entryOf(wanted, key.join('\0'));
      same.pairs.push(pair);
      same.operations.add(pair.operation);
    }
    this.#widen([...wanted.values()], widen);
    this.#warn([...wanted.values()].flatMap((each) => each.pairs));
  }

  #widen(wanted: readonly Wanted[], widen: boolean): void {
    const shapes = new Map<string, Wanted[]>();
    for (const each of wanted) {
      const shape = shapeOfApp(each);
      const key = shape === undefined ? '' : [shape, conditionsOf(each)].join('\0');
      const alike = shapes.get(key);
      if (alike === undefined) shapes.set(key, [each]);
      else alike.push(each);
    }
    const wide = new Set<Wanted>();
    for (const [key, alike] of shapes) {
      const [first] = alike;
      if (key === '' || first === undefined) continue;
      const examples = alike.flatMap(({ pairs }) => pairs.slice(0, 1).map(({ app }) => app));
      if (alike.length === 1 && !isTemporary(examples[0] ?? '')) continue;
      const glob = key.split('\0', 1)[0] ?? '';
      this.widenings.push({ group: this.rule.group, rule: this.rule.rule, glob, examples });
      if (!widen) continue;
      for (const each of alike) wide.add(each);
      const operations = new Set(alike.flatMap((each) => [...each.operations]));
      const entry = { ...this.#entryOf({ ...first, operations }), exe: glob, glob: true };
      this.entries.set(
        entry,
        alike.flatMap(({ pairs }) => pairs),
      );
    }
    for (const each of wanted) {
      if (!wide.has(each)) this.entries.set(this.#entryOf(each), each.pairs);
    }
  }

  #entryOf({ pairs, operations }: Wanted): SnippetApp {
    const [pair] = pairs;
    if (pair === undefined) throw new TypeError('an entry without a pair');
    const all = this.rule.operations.every((each) => operations.has(each));
    return {
      ...(pair.packageManager === '' && { exe: pair.app }),
      ...(!all && { operations: this.rule.operations.filter((each) => operations.has(each)) }),
      ...(pair.user !== '' && { user: pair.user }),
      ...(pair.origin === 'host' && { workload: 'host' }),
    };
  }

  #warn(pairs: readonly LearnedPair[]): void {
    const policyVersion = this.rule.policyVersion;
    const older = pairs.filter(({ fingerprint, policy, nodes }) =>
      nodes === undefined
        ? fingerprint !== this.#fingerprint
        : policy !== '' && policyVersion !== undefined && policy !== policyVersion,
    );
    if (older.length > 0) {
      this.warnings.push(
        `${this.#name}: ${older.length} of what was learned came under another policy, ` +
          `and was not seen since: ${namesOf(older)}`,
      );
    }
    const replaced = pairs.filter((pair) => pair.replaced);
    if (replaced.length > 0) {
      this.warnings.push(
        `${this.#name}: ran a file that was deleted or replaced since, and is listed only ` +
          `once it is started again: ${namesOf(replaced)}`,
      );
    }
    const temporary = pairs.filter(
      ({ app, packageManager }) => packageManager === '' && isTemporary(app),
    );
    if (temporary.length > 0) {
      this.warnings.push(
        `${this.#name}: lies where others may put a program of the same name: ${namesOf(temporary)}`,
      );
    }
  }
}

function entryOf(wanted: Map<string, Wanted>, key: string): Wanted {
  let entry = wanted.get(key);
  if (entry === undefined) {
    entry = { pairs: [], operations: new Set() };
    wanted.set(key, entry);
  }
  return entry;
}

function shapeOfApp({ pairs }: Wanted): string | undefined {
  const [pair] = pairs;
  return pair === undefined || pair.packageManager !== '' ? undefined : shapeOf(pair.app);
}

function conditionsOf({ pairs }: Wanted): string {
  return `${pairs[0]?.user} ${pairs[0]?.origin}`;
}

function whyBroad({ app, kind, packageManager, scripts = [] }: LearnedPair): string | undefined {
  if (kind === 'binary' || packageManager !== '') return undefined;
  const what = kind === 'interpreter' ? 'an interpreter' : 'a multi-call binary';
  const why = `${what}: whoever is listed as it is everything that it runs (--allow-broad)`;
  if (scripts.length === 0) return why;
  const entries = scripts.map((script) => appEntryYaml({ exe: app, script }));
  return `${why}; by its arguments ${entries.join(', ')}`;
}

function namesOf(pairs: readonly LearnedPair[]): string {
  const names = [...new Set(pairs.map(({ app }) => app))];
  const more = names.length - 5;
  return names.slice(0, 5).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

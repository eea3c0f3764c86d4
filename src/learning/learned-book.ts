/**
 * All that was learned, in memory, on the agent's thread: what the pipeline asks for each event. Owns the pairs and
 * what of them is not written yet; learned-keeper.ts takes that and gives it back when it could not be written.
 * Bounded: so many pairs in a group and in all, and little evidence for each.
 */
// Long because the evidence, the bounds and a changed policy are all about the same few maps.
import type { RuleInfo } from '../policy/compile.ts';
import type { Group, Rule } from '../policy/document.ts';
import { overrideYaml } from '../policy/snippet.ts';
import type { LearnedPairs, NewPair, Sighting } from '../records/learned.ts';
import { ruleFingerprint } from './fingerprint.ts';
import {
  type AppKind,
  entryOf,
  type Evidence,
  type Learned,
  type LearnedPair,
  type LearnedRule,
  type PairKey,
  type Refusal,
  whyNotListable,
} from './learned-pair.ts';
import type { LearnedUpdate } from './learned-store.ts';
import { packageManagerOf } from './package-manager.ts';

export interface LearnedBookOptions {
  readonly learned: Learned;
  /** @param names - how many its file has */
  readonly appKind: (path: string, names: number) => AppKind;
  /** How many names the file has that a process runs, 0 when it was deleted or replaced; null: it has gone. */
  readonly exeNames: (pid: number) => number | null;
  /** A group can't learn more: said once for each in the life of the agent. */
  readonly onFull: (refusal: Refusal) => void;
  /** It can again. */
  readonly onRoom: (refusal: Refusal) => void;
  readonly mostOfGroup?: number;
  readonly mostOfAll?: number;
}

/** A part of what is known, and the `after` to ask for the next one. */
export interface LearnedPage extends Learned {
  readonly next?: number;
}

/** A group that opens by executables with random names would grow for ever. */
const MOST_OF_GROUP = 5_000;
const MOST_OF_ALL = 20_000;
const MOST_EXAMPLES = 5;
const MOST_WORKLOADS = 8;
const MOST_TEXT = 512;
/** Pairs of a rule that no configuration has any more. */
const GONE_RULES_KEPT_MS = 30 * 24 * 3600 * 1000;
const PAGE = 500;

interface PairState extends Mutable<Evidence> {
  readonly id: number;
  readonly rule: RuleState;
  readonly key: Omit<PairKey, 'group' | 'rule'>;
}

interface RuleState extends Mutable<LearnedRule> {
  readonly pairs: Map<string, PairState>;
  /** Of the last `RuleInfo`, so that a fingerprint is made once. */
  source?: Rule;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class LearnedBook implements LearnedPairs {
  readonly #options: LearnedBookOptions;
  readonly #mostOfGroup: number;
  readonly #mostOfAll: number;
  readonly #rules = new Map<string, RuleState>();
  /** In the order of their ids. */
  readonly #pairs = new Map<number, PairState>();
  readonly #ofGroup = new Map<string, number>();
  readonly #refusals = new Map<string, Mutable<Refusal>>();
  readonly #full = new Set<string>();
  readonly #newPairs = new Set<PairState>();
  readonly #seenAgain = new Set<PairState>();
  readonly #changedRules = new Set<RuleState>();
  #goneRules: number[] = [];
  #refusalsChanged = false;
  #policy = '';
  #lastId = 0;

  constructor(options: LearnedBookOptions) {
    this.#options = options;
    this.#mostOfGroup = options.mostOfGroup ?? MOST_OF_GROUP;
    this.#mostOfAll = options.mostOfAll ?? MOST_OF_ALL;
    const { rules, pairs, refusals } = options.learned;
    for (const rule of rules) this.#insertRule({ ...rule, pairs: new Map() });
    for (const { id, group, rule: name, ...pair } of pairs) {
      const { app, operation, user, origin, ...evidence } = pair;
      const key = { app, operation, user, origin };
      const rule = this.#rules.get(ruleName(group, name));
      if (rule !== undefined) this.#insertPair({ id, rule, key, ...evidence });
    }
    for (const refusal of refusals) this.#refusals.set(refusal.group, { ...refusal });
  }

  add(sighting: Sighting): NewPair | undefined {
    const rule = this.#ruleOf(sighting.rule);
    const key = {
      app: sighting.app,
      operation: sighting.operation,
      user: sighting.user ?? '',
      origin: sighting.origin,
    };
    const packageManager = packageManagerOf(sighting.app, sighting.ancestors);
    const text = Object.values(key).join('\0');
    const known = rule.pairs.get(text);
    if (known !== undefined) {
      addSighting(known, sighting);
      addWay(known, packageManager);
      if (!this.#newPairs.has(known)) this.#seenAgain.add(known);
      return undefined;
    }
    if (!this.#hasRoom(rule.group)) {
      this.#refuse(rule.group, sighting);
      return undefined;
    }
    const pair = this.#newPair(rule, key, sighting, packageManager);
    const named = { ...key, packageManager, group: rule.group, rule: rule.rule };
    const entry = entryOf(named);
    const yaml = entry
      ? overrideYaml(rule.group, rule.rule, [entry])
      : `# ${whyNotListable(named)}\n`;
    return { kind: pair.kind, yaml };
  }

  countOf(group: string): number {
    return this.#ofGroup.get(group) ?? 0;
  }

  /**
   * To be told of each configuration that came into force. What was learned for a rule that is gone stays for 30 days;
   * it goes over to one that covers and asks the same, if there is exactly one and it is new.
   * @param policy - by which people know it
   */
  usePolicy(groups: readonly Group[], policy: string, nowMs: number): void {
    this.#policy = policy;
    const rules = groups.flatMap(({ name, rules }) => rules.map((rule) => ({ group: name, rule })));
    const named = new Map(rules.map((each) => [ruleName(each.group, each.rule.name), each]));
    for (const state of [...this.#rules.values()]) {
      const found = named.get(ruleName(state.group, state.rule));
      if (found !== undefined) this.#refresh(state, found.rule);
      else this.#ruleGone(state, rules, nowMs);
    }
    for (const [group, refusal] of [...this.#refusals]) {
      if (!this.#hasRoom(group)) continue;
      this.#refusals.delete(group);
      this.#refusalsChanged = true;
      if (this.#full.delete(group)) this.#options.onRoom(refusal);
    }
  }

  /** Pairs with an id above `after`, at most 500. */
  page(after = 0): LearnedPage {
    const pairs: LearnedPair[] = [];
    for (const pair of this.#pairs.values()) {
      if (pair.id <= after) continue;
      if (pairs.length === PAGE) {
        const next = pairs.at(-1)?.id;
        return { ...this.#frame(), pairs, ...(next !== undefined && { next }) };
      }
      const { ruleId: _, ...row } = rowOf(pair);
      pairs.push(row);
    }
    return { ...this.#frame(), pairs };
  }

  /**
   * What is to be written, at most 500 pairs; undefined: nothing.
   * @param seenAgain - also evidence of pairs that are on disk already
   */
  takeUpdate(seenAgain: boolean): LearnedUpdate | undefined {
    const pairs: PairState[] = [];
    for (const set of seenAgain ? [this.#newPairs, this.#seenAgain] : [this.#newPairs]) {
      for (const pair of set) {
        if (pairs.length === PAGE) break;
        pairs.push(pair);
        this.#newPairs.delete(pair);
        this.#seenAgain.delete(pair);
      }
    }
    const rules = [...this.#changedRules].map(ruleRow);
    const goneRules = this.#goneRules;
    const nothing = pairs.length + rules.length + goneRules.length === 0 && !this.#refusalsChanged;
    if (nothing) return undefined;
    this.#changedRules.clear();
    this.#goneRules = [];
    this.#refusalsChanged = false;
    return { pairs: pairs.map(rowOf), rules, goneRules, refusals: [...this.#refusals.values()] };
  }

  /** It could not be written. */
  giveBack({ pairs, rules, goneRules }: LearnedUpdate): void {
    for (const { id } of pairs) {
      const pair = this.#pairs.get(id);
      if (pair) this.#newPairs.add(pair);
    }
    for (const { group, rule } of rules) {
      const state = this.#rules.get(ruleName(group, rule));
      if (state) this.#changedRules.add(state);
    }
    this.#goneRules.push(...goneRules);
    this.#refusalsChanged = true;
  }

  /** The file was lost: all of it is to be written. */
  forgetWritten(): void {
    for (const pair of this.#pairs.values()) this.#newPairs.add(pair);
    for (const rule of this.#rules.values()) this.#changedRules.add(rule);
    this.#refusalsChanged = true;
  }

  #frame(): Omit<Learned, 'pairs'> {
    return {
      rules: [...this.#rules.values()].map(ruleRow),
      refusals: [...this.#refusals.values()],
    };
  }

  #insertRule(state: RuleState): RuleState {
    this.#rules.set(ruleName(state.group, state.rule), state);
    this.#lastId = Math.max(this.#lastId, state.id);
    return state;
  }

  #insertPair(pair: PairState): void {
    pair.rule.pairs.set(Object.values(pair.key).join('\0'), pair);
    this.#pairs.set(pair.id, pair);
    this.#count(pair.rule.group, 1);
    this.#lastId = Math.max(this.#lastId, pair.id);
  }

  #newPair(
    rule: RuleState,
    key: PairState['key'],
    sighting: Sighting,
    packageManager: string,
  ): PairState {
    const { app, pid, timeNs } = sighting;
    const ms = Number(timeNs / 1_000_000n);
    const names = this.#options.exeNames(pid);
    const pair: PairState = {
      id: ++this.#lastId,
      rule,
      key,
      kind: this.#options.appKind(app, names ?? 1),
      packageManager,
      count: 0,
      firstMs: ms,
      lastMs: ms,
      users: [],
      paths: [],
      workloads: [],
      policy: this.#policy,
      fingerprint: rule.fingerprint,
      ...(names === 0 && { replaced: true }),
    };
    addSighting(pair, sighting);
    this.#insertPair(pair);
    this.#newPairs.add(pair);
    return pair;
  }

  #ruleOf({ group, rule: name, source }: RuleInfo): RuleState {
    const state = this.#rules.get(ruleName(group, name));
    if (state !== undefined) {
      if (state.source !== source) this.#refresh(state, source);
      return state;
    }
    const { behavior, operations } = source;
    const fingerprint = ruleFingerprint(source);
    const made = { id: ++this.#lastId, group, rule: name, fingerprint, behavior, operations };
    const inserted = this.#insertRule({ ...made, source, pairs: new Map() });
    this.#changedRules.add(inserted);
    return inserted;
  }

  #refresh(state: RuleState, source: Rule): void {
    const { behavior, operations } = source;
    const fingerprint = ruleFingerprint(source);
    state.source = source;
    if (state.fingerprint === fingerprint && state.goneMs === undefined) return;
    delete state.goneMs;
    Object.assign(state, { fingerprint, behavior, operations });
    this.#changedRules.add(state);
  }

  #ruleGone(
    state: RuleState,
    rules: readonly { readonly group: string; readonly rule: Rule }[],
    nowMs: number,
  ): void {
    const alike = rules.filter(
      ({ group, rule }) =>
        (group === state.group || rule.name === state.rule) &&
        !this.#rules.has(ruleName(group, rule.name)) &&
        ruleFingerprint(rule) === state.fingerprint,
    );
    const [only, ...others] = alike;
    if (only !== undefined && others.length === 0) {
      this.#move(state, only.group, only.rule);
    } else if (state.goneMs === undefined) {
      state.goneMs = nowMs;
      this.#changedRules.add(state);
    } else if (nowMs - state.goneMs > GONE_RULES_KEPT_MS) {
      this.#drop(state);
    }
  }

  #move(state: RuleState, group: string, rule: Rule): void {
    this.#rules.delete(ruleName(state.group, state.rule));
    this.#count(state.group, -state.pairs.size);
    this.#count(group, state.pairs.size);
    Object.assign(state, { group, rule: rule.name });
    this.#insertRule(state);
    this.#refresh(state, rule);
    this.#changedRules.add(state);
  }

  #drop(state: RuleState): void {
    this.#rules.delete(ruleName(state.group, state.rule));
    for (const pair of state.pairs.values()) {
      this.#pairs.delete(pair.id);
      this.#newPairs.delete(pair);
      this.#seenAgain.delete(pair);
    }
    this.#count(state.group, -state.pairs.size);
    this.#changedRules.delete(state);
    this.#goneRules.push(state.id);
  }

  #count(group: string, by: number): void {
    this.#ofGroup.set(group, this.countOf(group) + by);
  }

  #hasRoom(group: string): boolean {
    if (this.#isBelow(group)) return true;
    // What nobody asks for any more makes room first.
    const gone = [...this.#rules.values()].filter(({ goneMs }) => goneMs !== undefined);
    for (const state of gone) this.#drop(state);
    return this.#isBelow(group);
  }

  #isBelow(group: string): boolean {
    return this.countOf(group) < this.#mostOfGroup && this.#pairs.size < this.#mostOfAll;
  }

  #refuse(group: string, { timeNs }: Sighting): void {
    const sinceMs = Number(timeNs / 1_000_000n);
    const refusal = this.#refusals.get(group) ?? { group, sinceMs, count: 0 };
    refusal.count += 1;
    this.#refusals.set(group, refusal);
    this.#refusalsChanged = true;
    if (this.#full.has(group)) return;
    this.#full.add(group);
    this.#options.onFull(refusal);
  }
}

function addSighting(pair: PairState, sighting: Sighting): void {
  const ms = Number(sighting.timeNs / 1_000_000n);
  pair.count += 1;
  pair.lastMs = Math.max(pair.lastMs, ms);
  pair.firstMs = Math.min(pair.firstMs, ms);
  pair.fingerprint = pair.rule.fingerprint;
  pair.users = withExample(pair.users, sighting.userName, MOST_WORKLOADS);
  pair.paths = withExample(pair.paths, sighting.path, MOST_EXAMPLES);
  pair.workloads = withExample(pair.workloads, sighting.workload, MOST_WORKLOADS);
  if (pair.kind === 'interpreter' && sighting.args !== undefined) {
    pair.scripts = withExample(pair.scripts ?? [], scriptOf(sighting.args), MOST_EXAMPLES);
  }
}

function addWay(pair: PairState, packageManager: string): void {
  if ((packageManager === '') === (pair.packageManager === '')) return;
  pair.alsoAlone = true;
  if (packageManager !== '') pair.packageManager = packageManager;
}

/** The first argument that is no option: a path, unless an option like `-c` says that it is something else. */
function scriptOf([, ...args]: readonly string[]): string | undefined {
  const first = args.findIndex((arg) => !arg.startsWith('-'));
  const isCode = /^-(-|[a-zA-Z]*[cem]$)/.test(args[first - 1] ?? '');
  return !isCode && args[first]?.startsWith('/') ? args[first] : undefined;
}

function withExample(list: readonly string[], text: string | undefined, most: number) {
  if (text === undefined || list.length >= most) return list;
  const short = text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}…` : text;
  return list.includes(short) ? list : [...list, short];
}

function ruleName(group: string, rule: string): string {
  return `${group}/${rule}`;
}

function ruleRow({ pairs: _, source: __, ...rule }: RuleState): LearnedRule {
  return { ...rule };
}

function rowOf({ rule, key, ...evidence }: PairState): LearnedPair & { readonly ruleId: number } {
  return { ruleId: rule.id, group: rule.group, rule: rule.rule, ...key, ...evidence };
}

/**
 * The groups of all files as one, imports merged and overrides applied, each value still with the place where it was
 * written: what the checks of meaning work on.
 */
import { isDeepStrictEqual } from 'node:util';
import { BUILT_IN_GROUP } from '../policy/built-in.ts';
import type { Position } from '../policy/document.ts';
import type {
  AppSource,
  GroupSource,
  ImportedSource,
  OverrideSource,
  RuleSource,
} from '../policy/schema.ts';
import { type ProblemList, suggestion } from './problem.ts';
import type { SourceFile } from './source-file.ts';
import { isPlaceholder } from './validate.ts';

/** An entry of `apps`, of a rule or a set. */
export interface DraftApp {
  readonly item: AppSource;
  readonly source: SourceFile;
  readonly position: Position;
}

export type RuleKey = Exclude<keyof RuleSource, 'name' | 'apps'>;

/** A rule whose keys may come from different files. */
export class DraftRule {
  readonly group: string;
  readonly name: string;
  readonly position: Position;
  apps: DraftApp[] | undefined;
  readonly mended: boolean;
  readonly #values: Partial<RuleSource>;
  readonly #origins = new Map<RuleKey, { source: SourceFile; container: object }>();
  readonly #source: SourceFile;
  readonly #container: object;

  constructor(group: string, rule: RuleSource, source: SourceFile) {
    this.group = group;
    this.name = rule.name;
    this.position = source.positionOf(rule);
    this.mended = source.mended.has(rule);
    this.#values = { ...rule };
    this.#source = source;
    this.#container = rule;
    this.apps = rule.apps && draftApps(rule.apps, source);
  }

  get<K extends RuleKey>(key: K): RuleSource[K] | undefined {
    return this.#values[key];
  }

  replace<K extends RuleKey>(key: K, value: RuleSource[K], source: SourceFile, from: object): void {
    // A pattern of one kind takes the place of the other.
    if (key === 'path') delete this.#values.regex;
    if (key === 'regex') delete this.#values.path;
    this.#values[key] = value;
    this.#origins.set(key, { source, container: from });
  }

  /** Of the key's value; with `index`, of an item of its list. */
  at(key: RuleKey | 'apps', index?: number): Position {
    const origin = key === 'apps' ? undefined : this.#origins.get(key);
    const source = origin?.source ?? this.#source;
    const container = origin?.container ?? this.#container;
    const list = (container as Record<string, unknown>)[key];
    return index !== undefined && Array.isArray(list)
      ? source.valueAt(list, index)
      : source.valueAt(container, key);
  }
}

export interface DraftGroup {
  readonly name: string;
  readonly position: Position;
  readonly source: SourceFile;
  readonly parts: { readonly value: GroupSource; readonly source: SourceFile }[];
  readonly rules: DraftRule[];
}

export interface DraftSet {
  readonly apps: readonly DraftApp[];
  readonly position: Position;
}

export interface Draft {
  readonly groups: readonly DraftGroup[];
  readonly sets: ReadonlyMap<string, DraftSet>;
}

/** `sources`: the main file, then what it imports; all of valid shape. */
export function mergeSources(
  sources: readonly SourceFile[],
  shipped: SourceFile | undefined,
  problems: ProblemList,
): Draft {
  const groups = new Map<string, DraftGroup>();
  for (const source of sources) addGroups(source, groups, problems);
  checkRuleNames(groups.values(), problems);
  checkRuleCount(groups.values(), problems);
  const sets = collectSets(sources, shipped, problems);
  // The main file's come last: it has the last word.
  for (const source of [...sources.slice(1), ...sources.slice(0, 1)]) {
    for (const override of contentOf(source).overrides ?? []) {
      applyOverride(override, source, groups, problems);
    }
  }
  return { groups: [...groups.values()], sets };
}

function contentOf(source: SourceFile): ImportedSource {
  return source.value as ImportedSource;
}

function draftApps(items: readonly AppSource[], source: SourceFile): DraftApp[] {
  return items.map((item, index) => ({ item, source, position: source.valueAt(items, index) }));
}

function addGroups(
  source: SourceFile,
  groups: Map<string, DraftGroup>,
  problems: ProblemList,
): void {
  const here = new Map<string, Position>();
  for (const value of contentOf(source).groups ?? []) {
    const position = source.valueAt(value, 'name');
    const twice = here.get(value.name);
    if (twice !== undefined) {
      problems.error(position, `group '${value.name}' is already in this file, at ${told(twice)}`);
    }
    here.set(value.name, position);
    if (value.name === BUILT_IN_GROUP) {
      problems.error(position, `group '${value.name}' is built in; give this one another name`);
    }
    let group = groups.get(value.name);
    if (group === undefined) {
      group = { name: value.name, position, source, parts: [], rules: [] };
      groups.set(value.name, group);
    }
    checkMembersAgree(group, value, source, problems);
    group.parts.push({ value, source });
    for (const rule of value.rules ?? []) group.rules.push(new DraftRule(value.name, rule, source));
  }
}

function checkMembersAgree(
  group: DraftGroup,
  value: GroupSource,
  source: SourceFile,
  problems: ProblemList,
): void {
  const other = group.parts.find((part) => part.value.members !== undefined);
  if (value.members === undefined || other === undefined) return;
  if (isDeepStrictEqual(value.members, other.value.members)) return;
  const place = told(other.source.valueAt(other.value, 'members'));
  const message = `group '${group.name}' has other members at ${place}; rename one of them`;
  problems.error(source.valueAt(value, 'members'), message);
}

/** In all groups together: verdicts stay fast with so many, and a reload takes seconds. */
export const MOST_RULES = 20_000;

function checkRuleCount(groups: Iterable<DraftGroup>, problems: ProblemList): void {
  const rules = Array.from(groups, (group) => group.rules).flat();
  const first = rules[MOST_RULES];
  if (first === undefined) return;
  const message = `rule '${first.name}' is one too many: there are ${rules.length} rules, at most ${MOST_RULES} are taken; name several paths in one rule`;
  problems.error(first.position, message);
}

function checkRuleNames(groups: Iterable<DraftGroup>, problems: ProblemList): void {
  for (const group of groups) {
    const first = new Map<string, Position>();
    for (const rule of group.rules) {
      const other = first.get(rule.name);
      if (other === undefined) {
        first.set(rule.name, rule.position);
      } else {
        const name = isPlaceholder(group.name) ? rule.name : `${group.name}/${rule.name}`;
        const message = `rule '${name}' is already at ${told(other)}; rename one, or use an override`;
        problems.error(rule.position, message);
      }
    }
  }
}

function collectSets(
  sources: readonly SourceFile[],
  shipped: SourceFile | undefined,
  problems: ProblemList,
): Map<string, DraftSet> {
  const sets = new Map<string, DraftSet>();
  const [main, ...imported] = sources;
  const add = (source: SourceFile, clash: boolean) => {
    const map = contentOf(source).sets ?? {};
    for (const [name, items] of Object.entries(map)) {
      const position = source.keyAt(map, name);
      const other = sets.get(name);
      if (clash && other !== undefined && other.position.file !== shipped?.file) {
        const message = `set '${name}' is already at ${told(other.position)}; rename one of them`;
        problems.error(position, message);
      }
      sets.set(name, { apps: draftApps(items, source), position });
    }
  };
  // Shipped ones may be replaced by anybody, imported ones by the main file.
  if (shipped !== undefined) add(shipped, false);
  for (const source of imported) add(source, true);
  if (main !== undefined) add(main, false);
  return sets;
}

function applyOverride(
  override: OverrideSource,
  source: SourceFile,
  groups: ReadonlyMap<string, DraftGroup>,
  problems: ProblemList,
): void {
  const position = source.valueAt(override, 'rule');
  const rule = findRule(override.rule, position, groups, problems);
  if (rule === undefined) return;
  const { rule: _, apps, ...keys } = override;
  for (const [key, value] of Object.entries(keys)) {
    rule.replace(key as RuleKey, value as never, source, override);
  }
  if (Array.isArray(apps)) {
    rule.apps = draftApps(apps, source);
  } else if (apps !== undefined) {
    changeApps(rule, apps, source, problems);
  }
}

function findRule(
  name: string,
  position: Position,
  groups: ReadonlyMap<string, DraftGroup>,
  problems: ProblemList,
): DraftRule | undefined {
  const slash = name.indexOf('/');
  const [groupName, ruleName] = [name.slice(0, slash), name.slice(slash + 1)];
  const group = groups.get(groupName);
  const rule = group?.rules.find((each) => each.name === ruleName);
  if (rule !== undefined) return rule;
  const known = group === undefined ? [...groups.values()] : [group];
  const mended = known.some(
    (each) => isPlaceholder(each.name) || each.rules.some((one) => isPlaceholder(one.name)),
  );
  // What it names may be what is wrong elsewhere.
  if (mended) return undefined;
  const rules = [...groups.values()].flatMap((each) =>
    each.rules.map((one) => `${each.name}/${one.name}`),
  );
  problems.error(position, `no rule '${name}'${suggestion(name, rules)}`);
  return undefined;
}

function changeApps(
  rule: DraftRule,
  change: { add?: AppSource[] | undefined; remove?: AppSource[] | undefined },
  source: SourceFile,
  problems: ProblemList,
): void {
  const removed = draftApps(change.remove ?? [], source);
  const added = draftApps(change.add ?? [], source);
  for (const each of removed) {
    if (added.some((other) => isDeepStrictEqual(other.item, each.item))) {
      problems.error(each.position, `${appName(each.item)} is both added and removed`);
      continue;
    }
    const kept = (rule.apps ?? []).filter((app) => !isDeepStrictEqual(app.item, each.item));
    if (kept.length === (rule.apps ?? []).length) {
      const names = (rule.apps ?? [])
        .map((app) => app.item)
        .filter((item) => typeof item === 'string');
      const near = typeof each.item === 'string' ? suggestion(each.item, names) : '';
      const message = `${appName(each.item)} is not an app of '${rule.group}/${rule.name}'${near}`;
      problems.error(each.position, message);
    }
    rule.apps = kept;
  }
  rule.apps = [...(rule.apps ?? []), ...added];
}

function appName(item: AppSource): string {
  return typeof item === 'string' ? `'${item}'` : 'this entry';
}

export function told(position: Position): string {
  return `${position.file}:${position.line}`;
}

/**
 * NeuVector's security rules as groups and rules of ours. What has no counterpart is never dropped in silence: each
 * such thing is a note of the group or rule that it would have been part of.
 */
import type { Native } from '../../native/addon.ts';
import type { Position } from '../document.ts';
import { importApps } from './apps.ts';
import { type FilterPattern, filterPattern } from './filter.ts';
import { commentOf, noFilesOf, originOf, otherSections, unknownKeys } from './leftovers.ts';
import { importMembers } from './members.ts';
import { modeOf } from './mode.ts';
import type { Note, Placed } from './note.ts';
import type { NeuvectorFileRule, NeuvectorGroup, NeuvectorRule } from './schema.ts';
import type { Mode } from '../ruleset.ts';
import type { MembersSource } from '../schema.ts';

export interface ImportedRule {
  readonly name: string;
  readonly description: string;
  readonly pattern: FilterPattern;
  readonly behavior: 'watch' | 'block';
  /** Globs of executables. */
  readonly apps: readonly string[];
  readonly notes: readonly Note[];
}

export interface ImportedGroup {
  readonly name: string;
  /** The resources that it comes from. */
  readonly origins: readonly string[];
  readonly members: MembersSource | readonly MembersSource[];
  readonly memberNotes: readonly Note[];
  readonly mode: Mode;
  readonly modeNotes: readonly Note[];
  readonly rules: readonly ImportedRule[];
  readonly notes: readonly Note[];
}

export interface Import {
  readonly groups: readonly ImportedGroup[];
  /** Of what became no group. */
  readonly notes: readonly Note[];
  /** What is wrong with the files. */
  readonly problems: readonly Note[];
}

type PatternChecker = Pick<Native, 'checkGlob' | 'checkRegex'>;

interface DraftRule {
  name: string;
  readonly filter: string;
  readonly recursive: boolean;
  readonly pattern: FilterPattern;
  behavior: 'watch' | 'block';
  readonly apps: Set<string>;
  readonly notes: Note[];
  readonly position: Position;
}

interface DraftGroup extends Omit<ImportedGroup, 'rules' | 'mode'> {
  mode: Mode;
  readonly target: string;
  readonly rules: Map<string, DraftRule>;
  readonly notes: Note[];
  readonly modeNotes: Note[];
  readonly origins: string[];
}

const strictness: readonly Mode[] = ['discover', 'monitor', 'protect'];

/** @param definitions - NvGroupDefinitions by the name of their selector */
export function importRules(
  resources: readonly Placed<NeuvectorRule>[],
  definitions: ReadonlyMap<string, Placed<NeuvectorGroup>>,
  checker: PatternChecker,
): Import {
  const importer = new Importer(definitions, checker);
  for (const resource of resources) importer.add(resource);
  return importer.finish();
}

class Importer {
  readonly #definitions: ReadonlyMap<string, Placed<NeuvectorGroup>>;
  readonly #checker: PatternChecker;
  /** By target and members: NeuVector takes groups of one name with other criteria apart as well. */
  readonly #groups = new Map<string, DraftGroup>();
  readonly #notes: Note[] = [];
  readonly #problems: Note[] = [];

  constructor(definitions: ReadonlyMap<string, Placed<NeuvectorGroup>>, checker: PatternChecker) {
    this.#definitions = definitions;
    this.#checker = checker;
  }

  add(resource: Placed<NeuvectorRule>): void {
    const { spec } = resource.value;
    const other = otherSections(resource);
    const why = noFilesOf(resource);
    if (why !== undefined) {
      const text = `${originOf(resource)} ${why}: no group is made of it`;
      this.#notes.push({ position: resource.at(spec.target.selector, 'name'), text }, ...other);
      return;
    }
    const group = this.#groupOf(resource);
    group.notes.push(...other);
    for (const item of spec.file ?? []) this.#addRule(group, item, resource);
  }

  finish(): Import {
    const groups = [...this.#groups.values()];
    noteUnitedApps(groups);
    return { groups: groups.map(finished), notes: this.#notes, problems: this.#problems };
  }

  #groupOf(resource: Placed<NeuvectorRule>): DraftGroup {
    const { target } = resource.value.spec;
    const imported = importMembers(resource, this.#definitions);
    const { mode, notes } = modeOf(resource, imported.wider);
    const key = JSON.stringify([target.selector.name, imported.members]);
    const origin = `${originOf(resource)}${commentOf(resource)}`;
    const known = this.#groups.get(key);
    if (known !== undefined) {
      if (known.mode !== mode) {
        const text = `${originOf(resource)} has mode ${mode} for the same group: the stricter one counts`;
        known.modeNotes.push({ position: resource.at(target, 'selector'), text });
      }
      if (strictness.indexOf(mode) > strictness.indexOf(known.mode)) known.mode = mode;
      known.origins.push(origin);
      known.modeNotes.push(...notes);
      return known;
    }
    const name = this.#groupName(target.selector.name);
    const group: DraftGroup = {
      name,
      target: target.selector.name,
      origins: [origin],
      members: imported.members,
      memberNotes: imported.notes,
      mode,
      modeNotes: notes,
      rules: new Map(),
      notes: [],
    };
    if (name !== target.selector.name) {
      const text = `the group is called '${target.selector.name}' in NeuVector`;
      group.notes.push({ position: resource.at(target.selector, 'name'), text });
    }
    this.#groups.set(key, group);
    return group;
  }

  #groupName(target: string): string {
    const plain = target.toLowerCase().replace(/[^a-z0-9.-]+/g, '-');
    const taken = [...this.#groups.values()].map(({ name }) => name);
    return unusedName(plain.replace(/^[.-]+/, '') || 'group', taken);
  }

  #addRule(group: DraftGroup, item: NeuvectorFileRule, { at }: Placed<NeuvectorRule>): void {
    const recursive = item.recursive ?? false;
    const position = at(item, 'filter');
    const result = this.#checked(item.filter, recursive);
    if (result.kind === 'wrong') {
      this.#problems.push({ position, text: result.message });
      return;
    }
    if (result.kind === 'no counterpart') {
      group.notes.push({ position, text: `${result.message}; the rule is left out` });
      return;
    }
    const { pattern } = result;
    const behavior = item.behavior === 'block_access' ? 'block' : 'watch';
    let rule = group.rules.get(pattern.key);
    if (rule === undefined) {
      const taken = [...group.rules.values()].map(({ name }) => name);
      const name = unusedName(ruleName(item.filter), taken);
      const notes = pattern.notes.map((text) => ({ position, text }));
      const { filter } = item;
      rule = { name, filter, recursive, pattern, behavior, apps: new Set(), notes, position };
      group.rules.set(pattern.key, rule);
    } else if (rule.behavior !== behavior) {
      const text = `'${item.filter}' is there with another behavior: block_access wins, as in NeuVector`;
      rule.notes.push({ position, text });
      if (behavior === 'watch') return;
      rule.behavior = behavior;
    }
    const { apps, notes } = importApps({ value: item, at });
    for (const app of apps) rule.apps.add(app);
    rule.notes.push(...notes, ...unknownKeys(item, ['filter', 'recursive', 'behavior', 'app'], at));
  }

  #checked(filter: string, recursive: boolean): ReturnType<typeof filterPattern> {
    const result = filterPattern(filter, recursive);
    if (result.kind !== 'pattern') return result;
    const { path, regex } = result.pattern;
    const problem =
      regex === undefined ? this.#checker.checkGlob(path ?? '') : this.#checker.checkRegex(regex);
    if (problem === null && (regex ?? path ?? '').length < 4096) return result;
    const why = problem?.message ?? 'it is longer than a path can be';
    return { kind: 'wrong', message: `filter '${filter}' can not be used: ${why}` };
  }
}

function finished(group: DraftGroup): ImportedGroup {
  // The first rule that covers a path decides: block before watch, the more specific first.
  const reaches = ['file', 'folder', 'below'];
  const rank = ({ behavior, pattern }: DraftRule) =>
    (behavior === 'block' ? 0 : 10) + reaches.indexOf(pattern.reach);
  const rules = [...group.rules.values()].sort(
    (a, b) => rank(a) - rank(b) || b.filter.length - a.filter.length,
  );
  const { target: _, ...rest } = group;
  return {
    ...rest,
    rules: rules.map(({ filter, recursive, apps, position: _at, ...rule }) => ({
      ...rule,
      apps: [...apps],
      description: `NeuVector filter ${filter}${recursive ? ', recursive' : ''}`,
    })),
  };
}

/** NeuVector unites the apps of all groups that hold a container; ours judge each for itself. */
function noteUnitedApps(groups: readonly DraftGroup[]): void {
  const seen = new Map<string, { group: DraftGroup; rule: DraftRule }>();
  for (const group of groups) {
    for (const [key, rule] of group.rules) {
      if (rule.behavior !== 'block') continue;
      const other = seen.get(key);
      if (other === undefined) {
        seen.set(key, { group, rule });
      } else if (rule.apps.symmetricDifference(other.rule.apps).size > 0) {
        const { position } = rule;
        const text = `for a container that is also in '${other.group.name}' NeuVector unites the apps; here both groups must list one`;
        rule.notes.push({ position, text });
      }
    }
  }
}

function ruleName(filter: string): string {
  return (
    filter
      .replace(/[^A-Za-z0-9._-]+/g, '-')
      .replace(/-[.-]+/g, '-')
      .replace(/^[._-]+|[._-]+$/g, '')
      .slice(0, 60) || 'all'
  );
}

function unusedName(wanted: string, taken: readonly string[]): string {
  const name = wanted.slice(0, 58);
  for (let number = 1; ; number += 1) {
    const candidate = number === 1 ? name : `${name}-${number}`;
    if (!taken.includes(candidate)) return candidate;
  }
}

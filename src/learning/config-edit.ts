/** Puts entries into the `apps` of rules in the text of a main configuration file; everything else stays as it is. */
import { isMap, isScalar, isSeq, parseDocument, type YAMLMap, type YAMLSeq } from 'yaml';
import { appItem, type SnippetApp } from '../policy/snippet.ts';
import {
  addItems,
  addKey,
  hasMergeKey,
  isItsOwn,
  pairOf,
  type Style,
  styleOf,
  nodeAt,
} from './yaml-edit.ts';

export interface RuleEntries {
  readonly group: string;
  readonly rule: string;
  readonly entries: readonly SnippetApp[];
  /** Only by `overrides`: what is written at the rule would not count. */
  readonly byOverride?: boolean;
}

/** The text can't be changed in place: what to do is for a person. */
export class NotEditable extends Error {}

/**
 * In the rule's own list where this file has the rule, else in an override of it, which is made when there is none.
 * @param file - its name says whether it is JSON
 * @throws NotEditable when the shape of the file leaves no place
 */
export function addApps(file: string, text: string, rules: readonly RuleEntries[]): string {
  const style = styleOf(file, text);
  return rules.reduce((edited, rule) => addToRule(edited, rule, style), text);
}

type Item = ReturnType<typeof appItem>;

function addToRule(text: string, { group, rule, entries, byOverride }: RuleEntries, style: Style) {
  const items = entries.map(appItem);
  const before = rootOf(text);
  const joins = joinsOf(findPlace(before, group, rule, byOverride === true).list, items);
  // From the end on: what is before stays where it was parsed.
  const edited = [...joins.values()]
    .sort((a, b) => (b.list.range?.[0] ?? 0) - (a.list.range?.[0] ?? 0))
    .reduce((told, { list, operations }) => addItems(told, list, operations, style), text);
  const fresh = items.filter((item) => !joins.has(item));
  if (fresh.length === 0) return edited;
  const root = edited === text ? before : rootOf(edited);
  const { list, map, key } = findPlace(root, group, rule, byOverride === true);
  if (list !== undefined) return addItems(edited, list, fresh, style);
  if (map !== undefined && key !== undefined) {
    return addKey(edited, map, { key, value: fresh }, style);
  }
  return addOverride(edited, root, { rule: `${group}/${rule}`, apps: { add: fresh } }, style);
}

function rootOf(text: string): YAMLMap {
  const { contents, errors } = parseDocument(text, { merge: true });
  if (!isMap(contents) || errors.length > 0) throw new NotEditable('it holds no map');
  return contents;
}

/** A list to add to, or a map that is to get one under `key`; neither: a new override. */
interface Place {
  readonly list?: YAMLSeq;
  readonly map?: YAMLMap;
  readonly key?: string;
}

function findPlace(root: YAMLMap, group: string, rule: string, byOverride: boolean): Place {
  const override = mapsOf(root, 'overrides').findLast(
    (map) => textOf(map, 'rule') === `${group}/${rule}` && pairOf(map, 'apps') !== undefined,
  );
  if (override !== undefined) {
    const apps = nodeAt(override, 'apps');
    if (apps !== undefined && isMap(apps) && isItsOwn(apps)) return listPlace(apps, 'add');
    return listPlace(override, 'apps');
  }
  if (byOverride) return {};
  const groupMap = mapsOf(root, 'groups').find((map) => textOf(map, 'name') === group);
  const ruleMap = mapsOf(groupMap, 'rules').find((map) => textOf(map, 'name') === rule);
  return ruleMap === undefined ? {} : listPlace(ruleMap, 'apps');
}

/** Nothing when what is there is shared with another place of the file. */
function listPlace(map: YAMLMap, key: string): Place {
  if (!isItsOwn(map) || hasMergeKey(map)) return {};
  const pair = pairOf(map, key);
  const value = nodeAt(map, key);
  if (pair === undefined) return { map, key };
  return isSeq(value) && isItsOwn(value) ? { list: value } : {};
}

/** Maps in a list, those left out that stand elsewhere, too. */
function mapsOf(parent: YAMLMap | undefined, key: string): YAMLMap[] {
  const list = parent && nodeAt(parent, key);
  if (!isSeq(list) || !isItsOwn(list)) return [];
  return list.items.filter((item) => isMap(item)).filter(isItsOwn);
}

function textOf(map: YAMLMap, key: string): string | undefined {
  const value = nodeAt(map, key);
  return isScalar(value) ? String(value.value) : undefined;
}

interface Join {
  readonly list: YAMLSeq;
  readonly operations: readonly unknown[];
}

/** The items for which an entry is there that differs in its operations only, with what is to be added to that. */
function joinsOf(list: YAMLSeq | undefined, items: readonly Item[]): Map<Item, Join> {
  const lists = new Map<string, YAMLSeq>();
  for (const entry of items.some(hasOperations) ? (list?.items ?? []) : []) {
    if (!isMap(entry) || !isItsOwn(entry) || hasMergeKey(entry)) continue;
    const own = nodeAt(entry, 'operations');
    const name = nameOf(entry.toJSON());
    if (isSeq(own) && isItsOwn(own) && !lists.has(name)) lists.set(name, own);
  }
  const joins = new Map<Item, Join>();
  for (const item of items) {
    const own = hasOperations(item) ? lists.get(nameOf(item)) : undefined;
    if (own === undefined || !hasOperations(item)) continue;
    const known: readonly unknown[] = own.toJSON();
    joins.set(item, {
      list: own,
      operations: item.operations.filter((each) => !known.includes(each)),
    });
  }
  return joins;
}

function hasOperations(item: Item): item is { readonly operations: readonly unknown[] } {
  return typeof item !== 'string' && Array.isArray(item['operations']);
}

/** What an entry says, its operations left out. */
function nameOf(entry: Readonly<Record<string, unknown>>): string {
  const rest = Object.entries(entry).filter(([key]) => key !== 'operations');
  return JSON.stringify(rest.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function addOverride(text: string, root: YAMLMap, override: object, style: Style): string {
  if (pairOf(root, 'overrides') === undefined) {
    const after = ['import', 'policy_version', 'version'].find((key) => pairOf(root, key));
    return addKey(text, root, { key: 'overrides', value: [override], after }, style);
  }
  const list = nodeAt(root, 'overrides');
  if (isSeq(list) && isItsOwn(list)) return addItems(text, list, [override], style);
  throw new NotEditable("'overrides' is shared with another place of it");
}

/** An import as a configuration file: each note is a comment where the thing would have stood. */
import { Document, isMap, isSeq, type YAMLMap, type YAMLSeq } from 'yaml';
import type { Import, ImportedGroup, ImportedRule } from './import.ts';
import type { Note } from './note.ts';

export function importedYaml({ groups, notes }: Import, files: readonly string[]): string {
  const document = new Document(
    { version: 1, groups: groups.map(groupSource) },
    { aliasDuplicateObjects: false },
  );
  document.commentBefore = [
    ` From NeuVector's rules in ${files.join(', ')}, by: fileward import neuvector`,
    ' NeuVector also watches some files of every service by itself (docs/neuvector.md): exports do not name them.',
    ...notes.map(comment),
  ].join('\n');
  const list = document.get('groups');
  if (isSeq(list)) {
    for (const [index, group] of groups.entries()) commentGroup(list.items[index], group);
  }
  return document.toString({ lineWidth: 0, flowCollectionPadding: true });
}

function groupSource({ name, members, mode, rules }: ImportedGroup) {
  return { name, members, mode, rules: rules.map(ruleSource) };
}

function ruleSource({ name, description, pattern, behavior, apps }: ImportedRule) {
  const { path, regex } = pattern;
  return {
    name,
    description,
    ...(regex === undefined ? { path } : { regex }),
    behavior,
    operations: behavior === 'block' ? ['read', 'write', 'exec'] : ['write'],
    ...(behavior === 'block' && { apps }),
  };
}

function commentGroup(map: unknown, group: ImportedGroup): void {
  if (!isMap(map)) return;
  map.commentBefore = [...group.origins.map(line), ...group.notes.map(comment)].join('\n');
  commentKey(map, 'members', group.memberNotes);
  commentKey(map, 'mode', group.modeNotes);
  setFlow(map.get('members'));
  const rules = map.get('rules');
  if (!isSeq(rules)) return;
  for (const [index, rule] of group.rules.entries()) commentRule(rules, index, rule);
}

function commentRule(rules: YAMLSeq, index: number, { notes }: ImportedRule): void {
  const rule = rules.items[index];
  if (!isMap(rule)) return;
  if (notes.length > 0) rule.commentBefore = notes.map(comment).join('\n');
  setFlow(rule.get('operations'));
}

function commentKey(map: YAMLMap, key: string, notes: readonly Note[]): void {
  if (notes.length === 0) return;
  const pair = map.items.find((each) => String(each.key) === key);
  if (isNodeLike(pair?.key)) pair.key.commentBefore = notes.map(comment).join('\n');
}

function isNodeLike(value: unknown): value is { commentBefore?: string } {
  return typeof value === 'object' && value !== null;
}

function setFlow(value: unknown): void {
  if (isMap(value) || isSeq(value)) value.flow = true;
}

function comment({ position, text }: Note): string {
  return line(`${position.file}:${position.line}: ${text}`);
}

/** One line, whatever a file says. */
function line(text: string): string {
  return ` ${text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')}`;
}

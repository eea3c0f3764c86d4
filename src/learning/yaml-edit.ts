/**
 * Adds to a YAML or JSON text without touching a byte of the rest: the parsed document says where, the text is what
 * changes. Each function returns the new text; nodes that were parsed before do not fit it any more.
 */
import {
  isAlias,
  isCollection,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { flow } from '../policy/snippet.ts';

/** What is written, and how. */
export interface Style {
  readonly json: boolean;
  readonly newline: string;
}

export function styleOf(file: string, text: string): Style {
  return { json: file.endsWith('.json'), newline: text.includes('\r\n') ? '\r\n' : '\n' };
}

/** The value of a key, undefined when there is none. */
export function nodeAt(map: YAMLMap, key: string): Node | undefined {
  const value = pairOf(map, key)?.value;
  return isNode(value) ? value : undefined;
}

export function pairOf(map: YAMLMap, key: string): Pair | undefined {
  return map.items.find((pair) => isScalar(pair.key) && pair.key.value === key);
}

/** Nothing else in the text means the same node. */
export function isItsOwn(node: Node): boolean {
  return !isAlias(node) && !node.anchor;
}

/** What the map holds is written elsewhere, too. */
export function hasMergeKey(map: YAMLMap): boolean {
  return map.items.some(
    ({ key }) => isScalar(key) && (key.value === '<<' || typeof key.value === 'symbol'),
  );
}

/** Adds items at the end of a list. */
export function addItems(text: string, list: YAMLSeq, items: readonly unknown[], style: Style) {
  if (list.flow)
    return addToFlow(
      text,
      list,
      items.map((item) => oneLine(item, style)),
      style,
    );
  const indent = ' '.repeat(columnOf(text, startOf(list)));
  const lines = blockLines(items).map((line) => indent + line);
  return insertLines(text, endOf(list, text), lines, style);
}

/**
 * Adds a key to a map.
 * @param after - the key behind which it goes; absent: at the end
 */
export function addKey(
  text: string,
  map: YAMLMap,
  { key, value, after }: { key: string; value: unknown; after?: string | undefined },
  style: Style,
): string {
  const before = after === undefined ? map.items.at(-1) : pairOf(map, after);
  if (map.flow) {
    const name = style.json ? JSON.stringify(key) : key;
    return addToFlow(text, map, [`${name}: ${oneLine(value, style)}`], style, before);
  }
  const indent = ' '.repeat(columnOf(text, startOf(map)));
  const lines = blockLines({ [key]: value }).map((line) => indent + line);
  return insertLines(text, before ? endOf(before, text) : startOf(map), lines, style);
}

/** An override takes a line for each of its apps, anything else in a list one line. */
function blockLines(value: unknown): string[] {
  if (Array.isArray(value)) {
    return value.flatMap((item: unknown) => {
      if (!isPlainMap(item) || !('apps' in item)) return [`- ${oneLine(item, { json: false })}`];
      return blockLines(item).map((line, index) => (index === 0 ? '- ' : '  ') + line);
    });
  }
  if (!isPlainMap(value)) return [oneLine(value, { json: false })];
  return Object.entries(value).flatMap(([key, each]) =>
    typeof each === 'object' && each !== null
      ? [`${key}:`, ...blockLines(each).map((line) => `  ${line}`)]
      : [`${key}: ${oneLine(each, { json: false })}`],
  );
}

function isPlainMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Quoted as the inside of a flow collection needs it, which is right outside of one, too. */
function oneLine(value: unknown, { json }: Pick<Style, 'json'>): string {
  if (json) return JSON.stringify(value);
  return flow([value]).slice(1, -1).trim();
}

function addToFlow(
  text: string,
  collection: YAMLMap | YAMLSeq,
  items: readonly string[],
  { newline }: Style,
  after: unknown = collection.items.at(-1),
): string {
  const start = startOf(collection);
  if (after === undefined) {
    const closes = /^\s*[\]}]/.test(text.slice(start + 1));
    return splice(text, start + 1, start + 1, ` ${items.join(', ')}${closes ? ' ' : ''}`);
  }
  const end = endOf(after, text);
  const lineEnd = endOfLine(text, end);
  const rest = /^[ \t]*(,?)[ \t]*(?:#.*)?$/.exec(text.slice(end, lineEnd));
  const isLast = after === collection.items.at(-1);
  if (!rest || !isLast || !text.slice(start, end).includes('\n')) {
    return splice(text, end, end, items.map((item) => `, ${item}`).join(''));
  }
  const lineStart = text.lastIndexOf('\n', startOf(after) - 1) + 1;
  const indent = /^[ \t]*/.exec(text.slice(lineStart))?.[0] ?? '';
  const comma = rest[1] ?? '';
  const lines = items.join(`,${newline}${indent}`) + comma;
  const added = splice(text, lineEnd, lineEnd, `${newline}${indent}${lines}`);
  return comma === '' ? splice(added, end, end, ',') : added;
}

function insertLines(
  text: string,
  end: number,
  lines: readonly string[],
  { newline }: Style,
): string {
  const at = endOfLine(text, end);
  return splice(text, at, at, lines.map((line) => newline + line).join(''));
}

/** Before its newline. */
function endOfLine(text: string, from: number): number {
  const newline = text.indexOf('\n', from);
  if (newline === -1) return text.length;
  return text[newline - 1] === '\r' ? newline - 1 : newline;
}

function splice(text: string, from: number, to: number, added: string): string {
  return text.slice(0, from) + added + text.slice(to);
}

function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1);
}

function startOf(item: unknown): number {
  if (isPair(item)) return startOf(item.key);
  if (!isNode(item) || !item.range) throw new TypeError('not a node of a parsed document');
  return item.range[0];
}

/** Behind the last character of what an item says, comments after it left out. */
function endOf(item: unknown, text: string): number {
  if (isPair(item)) {
    const value = item.value;
    return isNode(value) && value.range ? endOf(value, text) : endOf(item.key, text);
  }
  if (isCollection(item) && !item.flow && (isMap(item) || isSeq(item))) {
    const last = item.items.at(-1);
    if (last !== undefined && last !== null) return endOf(last, text);
  }
  if (!isNode(item) || !item.range) throw new TypeError('not a node of a parsed document');
  let end = item.range[1];
  // A block scalar ends behind its newline.
  while (end > 0 && /\s/.test(text[end - 1] ?? '')) end -= 1;
  return end;
}

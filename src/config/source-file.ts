/**
 * A configuration file as values that remember where they were written. YAML and JSON go through the same parser;
 * values are plain objects and arrays, found again by identity, so that what is wrong with one can be told at its place.
 */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  parseDocument,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import type { Position } from '../policy/document.ts';
import type { ProblemList } from './problem.ts';
import { jsonSyntax, syntaxMessage } from './syntax-message.ts';

/** Aliases may repeat a part many times; beyond this the file is a bomb, not a policy. */
const maxValues = 2_000_000;
const maxNesting = 64;

export class SourceFile {
  readonly file: string;
  value: unknown;
  /** Maps that were wrong and got a harmless value: how their keys agree with each other says nothing. */
  readonly mended = new WeakSet<object>();
  readonly #lines: LineCounter | undefined;
  readonly #nodes = new WeakMap<object, Node>();
  readonly #keys = new WeakMap<object, Map<string, Pair>>();
  readonly #items = new WeakMap<object, (Node | undefined)[]>();

  /** Without `lines` everything is at line 1: the file ran code. */
  constructor(file: string, value: unknown, lines?: LineCounter) {
    this.file = file;
    this.value = value;
    this.#lines = lines;
  }

  get start(): Position {
    return { file: this.file, line: 1, column: 1 };
  }

  /** Of a map or list itself. */
  positionOf(container: unknown): Position {
    const node =
      typeof container === 'object' && container ? this.#nodes.get(container) : undefined;
    return this.at(node?.range?.[0]);
  }

  /** Of the value of a key or of a list's item; of the container where there is none. */
  valueAt(container: unknown, key: string | number): Position {
    if (typeof container !== 'object' || container === null) return this.start;
    const node =
      typeof key === 'number'
        ? this.#items.get(container)?.[key]
        : this.#keys.get(container)?.get(key)?.value;
    return isNode(node) && node.range ? this.at(node.range[0]) : this.keyAt(container, key);
  }

  /** Of a key. */
  keyAt(container: unknown, key: string | number): Position {
    if (typeof container !== 'object' || container === null) return this.start;
    const node = this.#keys.get(container)?.get(String(key))?.key;
    return isNode(node) && node.range ? this.at(node.range[0]) : this.positionOf(container);
  }

  at(offset: number | undefined): Position {
    if (offset === undefined || this.#lines === undefined) return this.start;
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.file, line: Math.max(1, line), column: Math.max(1, col) };
  }

  /** Takes an item out of a list, its place too. */
  dropItem(list: unknown[], index: number): void {
    list.splice(index, 1);
    this.#items.get(list)?.splice(index, 1);
  }

  rememberMap(value: object, node: YAMLMap, pairs: Map<string, Pair>): void {
    this.#nodes.set(value, node);
    this.#keys.set(value, pairs);
  }

  pairsOf(value: object): Iterable<[string, Pair]> {
    return this.#keys.get(value) ?? [];
  }

  rememberList(value: object, node: YAMLSeq): void {
    this.#nodes.set(value, node);
    this.#items.set(
      value,
      node.items.map((item) => (isNode(item) ? item : undefined)),
    );
  }
}

/** Parses YAML (or JSON, strictly) and reports what is wrong with the text; undefined when it holds no usable value. */
export function parseSource(
  file: string,
  text: string,
  problems: ProblemList,
): SourceFile | undefined {
  const lines = new LineCounter();
  const source = new SourceFile(file, undefined, lines);
  const document = parseTree(() => parseDocument(text, treeOptions(lines)), source, problems);
  if (document === undefined) return undefined;
  if (isJson(file) && !checkJson(text, source, problems)) return undefined;
  return readTree(document, text, source, problems) ? source : undefined;
}

/** Parses a stream of YAML documents (or JSON, strictly), each as a source; those that hold nothing are left out. */
export function parseSources(file: string, text: string, problems: ProblemList): SourceFile[] {
  const lines = new LineCounter();
  const start = new SourceFile(file, undefined, lines);
  const trees = parseTree(() => parseAllDocuments(text, treeOptions(lines)), start, problems);
  if (trees === undefined) return [];
  if (isJson(file) && !checkJson(text, start, problems)) return [];
  return [...trees].flatMap((tree) => {
    const source = new SourceFile(file, undefined, lines);
    return readTree(tree, text, source, problems) && source.value !== null ? [source] : [];
  });
}

function isJson(file: string): boolean {
  return file.endsWith('.json');
}

function treeOptions(lineCounter: LineCounter) {
  return { lineCounter, prettyErrors: false, merge: true } as const;
}

function parseTree<T>(parse: () => T, source: SourceFile, problems: ProblemList): T | undefined {
  try {
    return parse();
  } catch (error) {
    // The parser recurses: a file of nothing but brackets ends its stack.
    if (!(error instanceof RangeError)) throw error;
    problems.error(source.start, `nested deeper than ${maxNesting} levels`);
    return undefined;
  }
}

/** False when there is no usable value. */
function readTree(
  document: Document.Parsed,
  text: string,
  source: SourceFile,
  problems: ProblemList,
): boolean {
  // A key that is given twice leaves the rest readable: its problems are told at once as well.
  if (!reportSyntax(document, text, source, problems)) return false;
  const before = problems.errors.length;
  source.value = new Builder(source, problems).build(document.contents, 0);
  return problems.errors.length === before;
}

/** False when the tree can't be trusted. */
function reportSyntax(
  { errors, warnings }: Document.Parsed,
  text: string,
  source: SourceFile,
  problems: ProblemList,
): boolean {
  const strict = isJson(source.file);
  const places = new Set<number>();
  let readable = true;
  for (const { code, message, pos } of [...errors, ...warnings]) {
    const isDuplicate = code === 'DUPLICATE_KEY';
    // JSON was parsed strictly, which tells all but this.
    if (strict && !isDuplicate) continue;
    readable &&= isDuplicate;
    // What follows at the same place is a consequence.
    if (places.has(pos[0])) continue;
    places.add(pos[0]);
    problems.error(source.at(pos[0]), syntaxMessage(code, message, text.slice(pos[0])));
  }
  return readable;
}

/** False when it isn't JSON. */
function checkJson(text: string, source: SourceFile, problems: ProblemList): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    const { message, offset = text.trimEnd().length } = jsonSyntax(error);
    problems.error(source.at(offset), message);
    return false;
  }
}

/** Makes values of the tree; an alias is the very value of its anchor. */
class Builder {
  readonly #source: SourceFile;
  readonly #problems: ProblemList;
  readonly #anchors = new Map<string, { value: unknown; size: number; open: boolean }>();
  #values = 0;

  constructor(source: SourceFile, problems: ProblemList) {
    this.#source = source;
    this.#problems = problems;
  }

  build(node: unknown, depth: number): unknown {
    if (!isNode(node)) return null;
    if (depth > maxNesting) {
      this.#problems.error(this.#at(node), `nested deeper than ${maxNesting} levels`);
      return null;
    }
    if (isAlias(node)) return this.#alias(node.source, node);
    const anchor = 'anchor' in node ? node.anchor : undefined;
    const before = this.#values;
    if (anchor) this.#anchors.set(anchor, { value: null, size: 0, open: true });
    const value = this.#plain(node, depth);
    if (anchor) this.#anchors.set(anchor, { value, size: this.#values - before, open: false });
    return value;
  }

  #plain(node: Node, depth: number): unknown {
    this.#values += 1;
    if (isScalar(node)) return node.value;
    if (isSeq(node)) {
      const list = node.items.map((item) => this.build(item, depth + 1));
      this.#source.rememberList(list, node);
      return list;
    }
    return isMap(node) ? this.#map(node, depth) : null;
  }

  #map(node: YAMLMap, depth: number): unknown {
    // No prototype: a key `__proto__` is a key like any other.
    const map: Record<string, unknown> = Object.create(null);
    const pairs = new Map<string, Pair>();
    const merged: unknown[] = [];
    for (const pair of node.items) {
      if (!isPair(pair)) continue;
      const key = isScalar(pair.key) ? pair.key.value : undefined;
      const value = this.build(pair.value, depth + 1);
      if (key === '<<' || typeof key === 'symbol') {
        merged.push(...(Array.isArray(value) ? value : [value]));
      } else if (typeof key === 'string' || typeof key === 'number' || typeof key === 'boolean') {
        map[String(key)] = value;
        pairs.set(String(key), pair);
      } else {
        this.#problems.error(this.#at(isNode(pair.key) ? pair.key : node), 'a key must be text');
      }
    }
    for (const from of merged) this.#merge(from, map, pairs, node);
    this.#source.rememberMap(map, node, pairs);
    return map;
  }

  #merge(
    from: unknown,
    map: Record<string, unknown>,
    pairs: Map<string, Pair>,
    node: YAMLMap,
  ): void {
    if (typeof from !== 'object' || from === null || Array.isArray(from)) {
      this.#problems.error(this.#at(node), "'<<' must be followed by an alias of a map");
      return;
    }
    for (const [key, value] of Object.entries(from)) {
      if (!Object.hasOwn(map, key)) map[key] = value;
    }
    for (const [key, pair] of this.#source.pairsOf(from)) if (!pairs.has(key)) pairs.set(key, pair);
  }

  #alias(name: string, node: Node): unknown {
    const anchor = this.#anchors.get(name);
    if (anchor === undefined || anchor.open) {
      const what = anchor ? 'is inside what it stands for' : 'has no anchor before it';
      this.#problems.error(this.#at(node), `alias '*${name}' ${what}`);
      return null;
    }
    this.#values += anchor.size;
    if (this.#values > maxValues) {
      this.#problems.error(
        this.#at(node),
        `aliases make more than ${maxValues} values of this file`,
      );
      return null;
    }
    return anchor.value;
  }

  #at(node: Node): Position {
    return this.#source.at(node.range?.[0]);
  }
}

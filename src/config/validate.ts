/**
 * Holds a file's value against the schema: tells every difference at its place, then mends the value (drops the wrong
 * item, fills in a harmless value) so that the checks of meaning can go on and report what else is wrong.
 */
import type { z } from 'zod';
import type { Position } from '../policy/document.ts';
import { nearest, type ProblemList, suggestion } from './problem.ts';
import { schemaKeys } from './schema-keys.ts';
import type { SourceFile } from './source-file.ts';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

const maxPasses = 8;

/** The words for a key that is right elsewhere or has another name here. */
export type KeyHint = (key: string, path: Path) => string | undefined;

/** True when `source.value` has the shape of the schema now, mended or not. */
export function validate(
  source: SourceFile,
  schema: z.ZodType,
  problems: ProblemList,
  hint: KeyHint = () => undefined,
): boolean {
  for (let pass = 0; pass < maxPasses; pass += 1) {
    const result = schema.safeParse(source.value);
    if (result.success) return true;
    const issues = result.error.issues.flatMap((issue) => flatten(issue, [], source.value));
    if (pass === 0) {
      const renamed = misspelledKeys(issues, source, schema);
      for (const issue of issues) {
        if (!renamed.has(issue)) report(issue, source, schema, problems, hint);
      }
    }
    if (issues.some((issue) => issue.path.length === 0 && issue.code !== 'unrecognized_keys')) {
      return false;
    }
    // From the end of each list, so that dropping an item moves no other.
    for (const issue of issues.toSorted((a, b) => comparePaths(b.path, a.path))) {
      mend(issue, source);
    }
  }
  return false;
}

/** A union's issue becomes that of the branch that was meant: the one that takes a value of this type. */
function flatten(issue: Issue, prefix: Path, root: unknown): Issue[] {
  const path = [...prefix, ...issue.path];
  if (issue.code !== 'invalid_union') return [{ ...issue, path } as Issue];
  const meant = issue.errors.filter(
    (branch) => !branch.some((each) => each.code === 'invalid_type' && each.path.length === 0),
  );
  const [branch] = meant;
  if (meant.length !== 1 || branch === undefined) return [{ ...issue, path } as Issue];
  return branch.flatMap((each) => flatten(each, path, root));
}

/** Keys that are missing because they were written wrongly: the unknown key says it already. */
function misspelledKeys(issues: readonly Issue[], source: SourceFile, schema: z.ZodType) {
  const meant = new Set<string>();
  for (const issue of issues) {
    if (issue.code !== 'unrecognized_keys') continue;
    const known = schemaKeys(schema, issue.path, source.value);
    for (const name of issue.keys) {
      meant.add(JSON.stringify([...issue.path, nearest(name, known)]));
    }
  }
  return new Set(
    issues.filter(
      (issue) =>
        valueAt(source.value, issue.path) === undefined && meant.has(JSON.stringify(issue.path)),
    ),
  );
}

function report(
  issue: Issue,
  source: SourceFile,
  schema: z.ZodType,
  problems: ProblemList,
  hint: KeyHint,
): void {
  const container = valueAt(source.value, issue.path.slice(0, -1));
  const key = issue.path.at(-1);
  if (issue.code === 'unrecognized_keys') {
    const map = valueAt(source.value, issue.path);
    const known = schemaKeys(schema, issue.path, source.value);
    for (const name of issue.keys) {
      const more = hint(name, issue.path) ?? suggestion(name, known);
      problems.error(source.keyAt(map, name), `unknown key '${name}'${more}`);
    }
    return;
  }
  if (issue.code === 'invalid_key') {
    const words = issue.issues[0]?.message ?? 'other text';
    problems.error(place(source, container, key, true), `'${String(key)}' must be ${words}`);
    return;
  }
  const value = valueAt(source.value, issue.path);
  if (value === undefined && typeof key === 'string') {
    const example = key === 'version' ? "; add 'version: 1'" : '';
    problems.error(source.positionOf(container), `'${key}' is missing${example}`);
    return;
  }
  if (value === '') {
    problems.error(place(source, container, key, false), `${nameOf(issue.path)} must not be empty`);
    return;
  }
  const near = nearValue(issue, value);
  const message = `${nameOf(issue.path)} must be ${issue.message}, not ${shown(value)}${near}`;
  problems.error(place(source, container, key, false), message);
}

function place(
  source: SourceFile,
  container: unknown,
  key: PropertyKey | undefined,
  ofKey: boolean,
): Position {
  if (key === undefined) return source.positionOf(source.value);
  const name = typeof key === 'number' ? key : String(key);
  return ofKey ? source.keyAt(container, name) : source.valueAt(container, name);
}

function nearValue(issue: Issue, value: unknown): string {
  if (typeof value !== 'string') return '';
  if (issue.code === 'invalid_type' && issue.expected === 'boolean') return wordForBoolean(value);
  if (issue.code !== 'invalid_value') return '';
  if (issue.values.some((each) => typeof each === 'number' && String(each) === value)) {
    return '; write it without quotes';
  }
  return suggestion(value, issue.values.map(String));
}

function wordForBoolean(value: string): string {
  if (/^(yes|on)$/i.test(value)) return '; write true';
  return /^(no|off)$/i.test(value) ? '; write false' : '';
}

function nameOf(path: Path): string {
  const key = path.at(-1);
  if (key === undefined) return 'the file';
  if (typeof key === 'string') return `'${key}'`;
  const list = path.findLast((part) => typeof part === 'string');
  return list === undefined ? 'an item' : `an item of '${String(list)}'`;
}

function shown(value: unknown): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'a map';
  if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 60)}…` : value}'`;
  return typeof value === 'function' ? 'a function' : String(value);
}

/** The least change that takes the issue away; what it puts in passes every later check unseen. */
function mend(issue: Issue, source: SourceFile): void {
  if (issue.code === 'unrecognized_keys') {
    const map = valueAt(source.value, issue.path);
    if (!isMap(map)) return;
    for (const name of issue.keys) delete map[name];
    source.mended.add(map);
    return;
  }
  const path = issue.path.slice(0, -1);
  const container = valueAt(source.value, path);
  const key = issue.path.at(-1);
  if (Array.isArray(container) && typeof key === 'number') {
    source.dropItem(container, key);
  } else if (isMap(container) && typeof key === 'string') {
    const isAbsent = !Object.hasOwn(container, key);
    if (!mendKey(container, key) && isAbsent) mend({ ...issue, path }, source);
    source.mended.add(container);
  }
}

const harmless: Readonly<Record<string, unknown>> = {
  version: 1,
  behavior: 'watch',
  apps: [],
  app: '/mended',
  operation: 'read',
  expect: { verdict: 'allow' },
};

/** False when the key is merely taken out. */
function mendKey(map: Record<string, unknown>, key: string): boolean {
  if (key === 'name') map[key] = placeholderName();
  else if (key === 'path') map[key] = placeholderPath;
  else if (Object.hasOwn(harmless, key)) map[key] = harmless[key];
  else return !delete map[key];
  return true;
}

const placeholderPath = '/mended';
const placeholderNames = new Set<string>();

function placeholderName(): string {
  const name = `mended-${placeholderNames.size}`;
  placeholderNames.add(name);
  return name;
}

/** True for a name that stands for one that was wrong: what seems to be missing may be this. */
export function isPlaceholder(name: string): boolean {
  return placeholderNames.has(name);
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function comparePaths(a: Path, b: Path): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index += 1) {
    const [left, right] = [a[index], b[index]];
    if (left === right) continue;
    if (typeof left === 'number' && typeof right === 'number') return left - right;
    return String(left) < String(right) ? -1 : 1;
  }
  return a.length - b.length;
}

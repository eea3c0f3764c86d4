/** The files that the main file imports: packs, and files beside it, in the order of its list. */
import { glob, readdir, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import type { Position } from '../policy/document.ts';
import { configurationSchema, importedSchema } from '../policy/schema.ts';
import { openSource, type SourceReader } from './open-source.ts';
import { globCharacters } from './patterns.ts';
import { suggestion } from './problem.ts';
import { readText } from './read-file.ts';
import type { SourceFile } from './source-file.ts';
import { validate } from './validate.ts';

/** src/config and dist/config are equally far from it. */
const shippedFolder = resolve(import.meta.dirname, '../../config');
const packFolder = join(shippedFolder, 'packs');

/** Beside the main file; each has at most 16 MiB. */
export const MOST_FILES = 1_000;

/** True for a pack or the sets that fileward brings: part of the program, whoever owns that. */
export function isShipped(file: string): boolean {
  return file.startsWith(`${shippedFolder}${sep}`);
}

export async function readImports(main: SourceFile, reader: SourceReader): Promise<SourceFile[]> {
  const entries = (main.value as { import?: string | string[] }).import ?? [];
  const seen = new Map<string, string>();
  const sources: SourceFile[] = [];
  for (const [index, entry] of [entries].flat().entries()) {
    const position = Array.isArray(entries)
      ? main.valueAt(entries, index)
      : main.valueAt(main.value, 'import');
    for (const file of await resolveEntry(entry, position, main, reader)) {
      const real = await realpath(file).catch(() => file);
      if (seen.has(real)) continue;
      seen.set(real, file);
      if (seen.size > MOST_FILES) {
        const message = `imports more than ${MOST_FILES} files; put their rules into fewer`;
        reader.problems.error(position, message);
        return sources;
      }
      const source = await openSource(file, reader);
      if (source !== undefined && validateImported(source, reader)) sources.push(source);
    }
  }
  return sources;
}

/** What fileward ships beside the packs: sets that every configuration knows. */
export async function readShippedSets(reader: SourceReader): Promise<SourceFile | undefined> {
  const source = await openSource(join(shippedFolder, 'sets.yaml'), reader);
  return source !== undefined && validateImported(source, reader) ? source : undefined;
}

function validateImported(source: SourceFile, { problems }: SourceReader): boolean {
  const mainKeys = Object.keys(configurationSchema.shape);
  return validate(source, importedSchema, problems, (key, path) =>
    path.length === 0 && mainKeys.includes(key)
      ? '; it belongs in the main file, an imported one holds groups, sets and overrides'
      : undefined,
  );
}

async function resolveEntry(
  entry: string,
  position: Position,
  main: SourceFile,
  reader: SourceReader,
): Promise<string[]> {
  if (entry.startsWith('pack:')) return resolvePack(entry.slice(5), position, reader);
  if (/^[a-z]{2,}:/i.test(entry)) {
    reader.problems.error(position, `can not import '${entry}'; give pack:NAME or a path`);
    return [];
  }
  const folder = dirname(main.file);
  if (globCharacters.test(entry)) return resolveGlob(entry, position, main, reader);
  const file = resolve(folder, entry);
  reader.files.add(file);
  if (await isSameFile(file, main.file)) {
    reader.problems.error(position, 'the file imports itself');
    return [];
  }
  const result = await readText(file);
  if (!result.ok && result.absent) {
    const siblings = await readdir(dirname(file)).catch(() => []);
    const near = suggestion(basename(file), siblings, `${dirname(entry)}/`);
    reader.problems.error(position, `no such file: ${file}${near}`);
    return [];
  }
  return [file];
}

async function resolvePack(
  name: string,
  position: Position,
  reader: SourceReader,
): Promise<string[]> {
  const packs = (await readdir(packFolder))
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -'.yaml'.length));
  if (packs.includes(name)) return [join(packFolder, `${name}.yaml`)];
  const near = suggestion(name, packs, 'pack:') || `; there is ${packs.join(', ')}`;
  reader.problems.error(position, `no pack '${name}'${near}`);
  return [];
}

async function resolveGlob(
  pattern: string,
  position: Position,
  main: SourceFile,
  reader: SourceReader,
): Promise<string[]> {
  const folder = dirname(main.file);
  // A file that appears later is a change too: the folder is watched, not only what it holds now.
  reader.files.add(literalFolder(resolve(folder, pattern)));
  const files: string[] = [];
  for await (const match of glob(pattern, { cwd: folder })) {
    // Names with a leading dot are editors' and ConfigMaps' own (`.rule.yaml.swp`, `..data`).
    if (match.split(sep).some((part) => /^\.[^./]|^\.\.[^/]/.test(part))) continue;
    files.push(resolve(folder, match));
  }
  files.sort();
  for (const file of files) {
    if (await isSameFile(file, main.file)) {
      const message = `'${pattern}' matches this file itself; use a folder such as ./rules.d/*.yaml`;
      reader.problems.error(position, message);
      return files.filter((each) => each !== file);
    }
  }
  return files;
}

function literalFolder(pattern: string): string {
  const parts = pattern.split(sep);
  const first = parts.findIndex((part) => globCharacters.test(part));
  return parts.slice(0, first).join(sep) || sep;
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  if (a === b) return true;
  const [realA, realB] = await Promise.all([a, b].map((file) => realpath(file).catch(() => file)));
  return realA === realB;
}

/** Finds and opens the main file, with cosmiconfig's explorer. */
import * as explorerModule from 'cosmiconfig/dist/Explorer.js';
import { access, lstat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ProblemList } from './problem.ts';
import { openSource, type SourceReader } from './open-source.ts';
import type { SourceFile } from './source-file.ts';

const extensions = ['yaml', 'yml', 'json', 'js', 'mjs', 'ts'] as const;
const searchPlaces = extensions.map((extension) => `fileward.config.${extension}`);
export const defaultFolder = '/etc/fileward';

interface Found {
  readonly filepath: string;
  readonly config: SourceFile | undefined;
}

/**
 * cosmiconfig's public constructor looks for a meta configuration of its own (`.config/config.js`, `package.json`) in the
 * working directory, runs it, and has no option against it; its Explorer, which the constructor wraps, looks nowhere.
 */
const { Explorer } = explorerModule as unknown as {
  Explorer: new (
    options: Readonly<Record<string, unknown>>,
  ) => { load(file: string): Promise<Found>; search(folder: string): Promise<Found | null> };
};

export interface FindOptions {
  readonly file?: string;
  readonly env: NodeJS.ProcessEnv;
  readonly folder: string;
}

/** `--config`, `$FILEWARD_CONFIG`, then the folder; nothing else is ever looked at. */
export async function findConfiguration(
  options: FindOptions,
  reader: SourceReader,
): Promise<SourceFile | undefined> {
  const named = options.file ?? (options.env.FILEWARD_CONFIG || undefined);
  const explorer = createExplorer(reader);
  if (named !== undefined) {
    const file = resolve(named);
    const usable = await reader.isUsable(file);
    if (!usable) return undefined;
    if (!extensions.some((extension) => file.endsWith(`.${extension}`))) {
      const known = extensions.map((extension) => `.${extension}`).join(', ');
      reader.problems.error(start(file), `its name must end in one of ${known}`);
      return undefined;
    }
    return (await explorer.load(file)).config;
  }
  const present = await presentPlaces(options.folder, reader.problems);
  const first = present[0];
  if (first === undefined || !(await reader.isUsable(first))) {
    if (first === undefined && reader.problems.errors.length === 0) {
      const file = join(options.folder, 'fileward.config.yaml');
      reader.problems.missing(
        start(file),
        "there is no configuration; create one with 'fileward init'",
      );
    }
    return undefined;
  }
  for (const other of present.slice(1)) {
    reader.problems.warn(start(other), `not read: ${first} comes first`);
  }
  return (await explorer.search(options.folder))?.config;
}

function createExplorer(reader: SourceReader) {
  const load = (file: string) => openSource(file, reader);
  return new Explorer({
    moduleName: 'fileward',
    searchPlaces,
    loaders: Object.fromEntries(extensions.map((extension) => [`.${extension}`, load])),
    searchStrategy: 'none',
    ignoreEmptySearchPlaces: false,
    mergeImportArrays: true,
    mergeSearchPlaces: false,
    metaConfigFilePath: null,
    cache: false,
    transform: (result: unknown) => result,
  });
}

/** The explorer passes silently over what it may not read; a configuration must not be skipped so. */
async function presentPlaces(folder: string, problems: ProblemList): Promise<string[]> {
  try {
    await access(folder, 1);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EACCES') {
      problems.error(start(folder), 'can not be read: permission denied');
    }
  }
  const found: string[] = [];
  for (const place of searchPlaces) {
    const file = join(folder, place);
    const exists = await lstat(file).then(
      () => true,
      () => false,
    );
    if (exists) found.push(file);
  }
  return found;
}

function start(file: string) {
  return { file, line: 1, column: 1 };
}

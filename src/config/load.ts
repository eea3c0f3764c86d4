/** Finds, reads, validates and merges a configuration. Every problem is told at once, with its place. */
import { createHash } from 'node:crypto';
import type { Native } from '../native/addon.ts';
import { loadNative } from '../native/load.ts';
import type { Configuration } from '../policy/document.ts';
import { configurationSchema } from '../policy/schema.ts';
import { AppNormaliser, type CheckContext } from './apps.ts';
import { mergeSources } from './draft.ts';
import { defaultFolder, findConfiguration } from './find.ts';
import { isShipped, readImports, readShippedSets } from './imports.ts';
import { offline, thisMachine } from './machine.ts';
import { SourceReader } from './open-source.ts';
import { type Problem, ProblemList } from './problem.ts';
import { normaliseGroup } from './rules.ts';
import { normaliseSettings } from './settings.ts';
import type { SourceFile } from './source-file.ts';
import { writableByOthers } from './trust.ts';
import { validate } from './validate.ts';
import { warnOfGroups, warnOfReplaceableApps } from './warnings.ts';

export interface LoadOptions {
  /** `--config`. */
  readonly file?: string;
  /** By path, what is taken for the text of a file: to validate what is not written yet. */
  readonly instead?: ReadonlyMap<string, string>;
  /** Default: that of this process. */
  readonly env?: NodeJS.ProcessEnv;
  /** Nothing on this machine is looked at but the configuration files themselves. */
  readonly offline?: boolean;
  /** Searched when no file is named. */
  readonly folder?: string;
  /** What becomes of a file that others than root can write; default: nothing. */
  readonly trust?: 'refuse' | 'warn';
  /** Default: the addon. */
  readonly native?: Pick<Native, 'checkGlob' | 'checkRegex' | 'createEvaluator'>;
}

export type LoadResult =
  | {
      readonly ok: true;
      readonly configuration: Configuration;
      readonly warnings: readonly Problem[];
      /** Files and folders whose change may change the configuration. */
      readonly files: readonly string[];
      /** The main file and what it imports, without what fileward brings. */
      readonly sources: readonly string[];
      /** SHA-256 of what the configuration says; where and how it is written does not count. */
      readonly hash: string;
    }
  | {
      readonly ok: false;
      readonly problems: readonly Problem[];
      readonly files: readonly string[];
    };

export async function loadConfiguration(options: LoadOptions = {}): Promise<LoadResult> {
  const problems = new ProblemList();
  const reader = new SourceReader(problems, options.instead);
  const { file, env = process.env, folder = defaultFolder } = options;
  const main = await findConfiguration(
    { env, folder, ...(file !== undefined && { file }) },
    reader,
  );
  const sources: string[] = [];
  const configuration = main && (await readConfiguration(main, reader, options, sources));
  const files = [...reader.files];
  const { errors } = problems;
  if (configuration === undefined || errors.length > 0)
    return { ok: false, problems: errors, files };
  return {
    ok: true,
    configuration,
    warnings: problems.warnings,
    files,
    sources,
    hash: hashOf(configuration),
  };
}

async function readConfiguration(
  main: SourceFile,
  reader: SourceReader,
  options: LoadOptions,
  sources: string[],
): Promise<Configuration | undefined> {
  const { problems } = reader;
  if (!validate(main, configurationSchema, problems)) return undefined;
  const imported = await readImports(main, reader);
  sources.push(...[main, ...imported].map(({ file }) => file).filter((file) => !isShipped(file)));
  for (const file of sources) checkTrust(file, options.trust, problems);
  const draft = mergeSources([main, ...imported], await readShippedSets(reader), problems);
  const native = options.native ?? loadNative();
  const machine = options.offline ? offline : thisMachine();
  const context: CheckContext = { problems, patterns: native, machine };
  const apps = new AppNormaliser(draft.sets, context);
  apps.checkSets();
  const groups = draft.groups.map((group) => normaliseGroup(group, apps, context));
  const settings = normaliseSettings(main, problems);
  const configuration = { ...settings, file: main.file, document: { groups } };
  if (problems.errors.length > 0) return undefined;
  if (groups.length === 0) problems.warn(main.start, 'there are no groups: nothing is covered');
  warnOfGroups(groups, problems, machine);
  warnOfReplaceableApps(configuration, native.createEvaluator, problems);
  return configuration;
}

/** Who can write it decides what root's agent denies, and what it leaves alone. */
function checkTrust(file: string, trust: LoadOptions['trust'], problems: ProblemList): void {
  if (trust === undefined) return;
  const place = { file, line: 1, column: 1 };
  let reason: string | undefined;
  try {
    reason = writableByOthers(file, 'plain');
  } catch (error) {
    // It was read a moment ago.
    reason = `who can write it can not be told: ${String(error)}`;
  }
  if (reason === undefined) return;
  if (trust === 'warn') problems.warn(place, `fileward run refuses it: ${reason}`);
  else problems.error(place, `refused: ${reason}; give it to root, or use --no-self-protection`);
}

function hashOf({ file: _, ...configuration }: Configuration): string {
  const text = JSON.stringify(configuration, (key, value) =>
    key === 'position' ? undefined : value,
  );
  return createHash('sha256').update(text).digest('hex');
}

/** Loads build/Release/fileward.node; the only file that does. */
import { createRequire } from 'node:module';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Native, Session, SessionOptions, SessionStats } from './addon.ts';
import { type CoveredFilesLayout, coveredFilesLayout } from './covered-files.ts';
import { type EventLayout, eventLayout } from './event-layout.ts';

/** `stats()` as the addon gives it: numbers in arrays, named by `SessionStats` here. */
interface RawStats extends Omit<SessionStats, 'quiet'> {
  /** Three counts for each rule: read, write, exec. */
  readonly quiet: readonly { ruleset_version: bigint; counts: BigUint64Array }[];
}

interface RawSession extends Omit<Session, 'stats'> {
  stats(): RawStats;
}

interface Addon extends Omit<Native, 'openSession'> {
  readonly layout: EventLayout;
  readonly coveredFilesLayout: CoveredFilesLayout;
  readonly Session: new (options: SessionOptions) => RawSession;
}

/** src/native and dist/native are equally far from the root of the package. */
const addonFile = path.resolve(import.meta.dirname, '../../build/Release/fileward.node');
const operations = ['read', 'write', 'exec'] as const;

let loaded: Native | undefined;

/**
 * @throws Error with code `FILEWARD_ADDON_MISSING`, `FILEWARD_ADDON_BROKEN` or `FILEWARD_ADDON_OUTDATED`; its message
 * says what to run.
 */
export function loadNative(): Native {
  loaded ??= typed(checked(requireAddon()));
  return loaded;
}

function requireAddon(): Addon {
  try {
    return createRequire(import.meta.url)(addonFile);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'MODULE_NOT_FOUND') {
      throw addonError('FILEWARD_ADDON_MISSING', `the native addon is not built: ${addonFile}`);
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw addonError('FILEWARD_ADDON_BROKEN', `the native addon can't be loaded: ${reason}`);
  }
}

function checked(addon: Addon): Addon {
  const expected = { ...eventLayout, covered_files: coveredFilesLayout };
  const actual: Record<string, unknown> = {
    ...addon.layout,
    covered_files: addon.coveredFilesLayout,
  };
  for (const [name, value] of Object.entries(expected)) {
    if (!isDeepStrictEqual(actual[name], value)) {
      throw addonError(
        'FILEWARD_ADDON_OUTDATED',
        `the native addon is of another version (its layout of ${name} differs)`,
      );
    }
  }
  return addon;
}

function addonError(code: string, message: string): Error {
  const folder = path.dirname(path.dirname(path.dirname(addonFile)));
  return Object.assign(new Error(`${message}\nFix: run "npm run build" in ${folder}.`), { code });
}

function typed(addon: Addon): Native {
  return {
    failureNames: addon.failureNames,
    probe: addon.probe,
    checkGlob: addon.checkGlob,
    checkRegex: addon.checkRegex,
    createEvaluator: addon.createEvaluator,
    inspectCoverage: addon.inspectCoverage,
    sdNotify: addon.sdNotify,
    lockFile: addon.lockFile,
    peerCredentials: addon.peerCredentials,
    exitNow: addon.exitNow,
    exeNames: addon.exeNames,
    readFileOf: addon.readFileOf,
    openFileOf: addon.openFileOf,
    openSession: (options) => typedSession(new addon.Session(options)),
  };
}

function typedSession(raw: RawSession): Session {
  return {
    setRuleset: (json, version, workloads) => raw.setRuleset(json, version, workloads),
    setWorkloads: (workloads) => raw.setWorkloads(workloads),
    drain: (buffer) => raw.drain(buffer),
    stats: () => {
      const { quiet, ...rest } = raw.stats();
      return {
        ...rest,
        quiet: quiet.map(({ ruleset_version, counts }) => ({
          ruleset_version,
          count: (ruleIndex, operation) =>
            counts[ruleIndex * operations.length + operations.indexOf(operation)] ?? 0n,
        })),
      };
    },
    release: (file) => raw.release(file),
    coveredFiles: () => raw.coveredFiles(),
    close: () => raw.close(),
  };
}

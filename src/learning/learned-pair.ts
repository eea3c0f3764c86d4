/** What was learned: a (rule, app, operation), and user when asked for, with its evidence. */
import type { Behavior, Operation } from '../policy/ruleset.ts';
import type { SnippetApp } from '../policy/snippet.ts';

export type AppKind = 'binary' | 'interpreter' | 'multicall';

/** Few of them, for people; what comes beyond is left out. */
export interface Evidence {
  readonly kind: AppKind;
  /** Name of the package manager that it is or that ran it; '' when none did. */
  readonly packageManager: string;
  /** It ran without that one, too. */
  readonly alsoAlone?: true;
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly users: readonly string[];
  /** Examples of what it opened. */
  readonly paths: readonly string[];
  /** Names and images of containers; empty: the host. */
  readonly workloads: readonly string[];
  /** What an interpreter was started with, by its arguments; only with `records.command_args`. */
  readonly scripts?: readonly string[];
  /** Hosts that sent it; only of merged pairs. */
  readonly nodes?: readonly string[];
  /** `policy_version`, else the beginning of the policy's hash: under which it was seen first. */
  readonly policy: string;
  /** `ruleFingerprint` of the rule under which it was seen last; '' when not known. */
  readonly fingerprint: string;
  /** The process ran a file that was deleted or replaced. */
  readonly replaced?: true;
}

export interface PairKey {
  readonly group: string;
  readonly rule: string;
  /** Path of the executable in its own workload. */
  readonly app: string;
  readonly operation: Operation;
  /** '' unless pairs are learned by user. */
  readonly user: string;
  /** Where the process comes from, seen from the file's workload: the host's cat is another program than a container's. */
  readonly origin: 'same' | 'host' | 'container';
}

export interface LearnedPair extends PairKey, Evidence {
  /** In the store, never given twice; pairs of one page ascend. */
  readonly id: number;
}

/** A rule that something was learned for. */
export interface LearnedRule {
  readonly id: number;
  readonly group: string;
  readonly rule: string;
  readonly fingerprint: string;
  readonly behavior: Behavior;
  readonly operations: readonly Operation[];
  /** Since when no configuration has it; absent: it is there. */
  readonly goneMs?: number;
}

/** A bound that was reached. */
export interface Refusal {
  readonly group: string;
  readonly sinceMs: number;
  /** Sightings since then that could not be kept. */
  readonly count: number;
}

/** What `learned list` and its like work on. */
export interface Learned {
  readonly pairs: readonly LearnedPair[];
  readonly rules: readonly LearnedRule[];
  readonly refusals: readonly Refusal[];
}

export function pairKey(key: PairKey): string {
  const { group, rule, app, operation, user, origin } = key;
  return [group, rule, app, operation, user, origin].join('\0');
}

/** A pair by what would list it: as what a package manager runs, as the program that it is, or as both. */
export function waysOf({ alsoAlone, ...pair }: LearnedPair): LearnedPair[] {
  return alsoAlone ? [pair, { ...pair, packageManager: '' }] : [pair];
}

type Listable = PairKey & Pick<Evidence, 'packageManager'>;

/** Why no entry of a configuration could list such an app; undefined when one can. */
export function whyNotListable({ app, origin, packageManager }: Listable): string | undefined {
  if (packageManager !== '') return undefined;
  if (origin === 'container')
    return 'a program of another container: no entry of this group can list it';
  if (!app.startsWith('/') || app.startsWith('/memfd:')) return 'it runs from no file';
  if (!app.isWellFormed() || app.includes('\ufffd')) return 'its path is not UTF-8';
  if (app.includes('\0') || /\/\.{0,2}(\/|$)/.test(app)) return 'no file has such a path';
  return undefined;
}

/** The entry that lists it; undefined when none can. */
export function entryOf(pair: Listable): SnippetApp | undefined {
  if (whyNotListable(pair) !== undefined) return undefined;
  const { app, operation, user, origin, packageManager } = pair;
  const shared = {
    operations: [operation],
    ...(user !== '' && { user }),
    ...(origin === 'host' && { workload: 'host' as const }),
  };
  return packageManager === '' ? { exe: app, ...shared } : shared;
}

/**
 * Keeps what coverage reports: what must outlive a restart goes into the state directory, and what a rule or group names
 * and can't be watched or enforced is told once when it begins and once when it is over.
 */
import type { Logger } from 'pino';
import { z } from 'zod';
import type { CoverageReport, FollowedApp, MovedFile, RuleCoverage } from '../native/addon.ts';
import type { Gap } from './protocol.ts';
import type { StateDirectory } from './state-directory.ts';

const MOVED_FILE = 'moved-files.json';
const APPS_FILE = 'followed-apps.json';

const identity = { device: z.string(), inode: z.string(), birth_ns: z.string(), path: z.string() };
const movedSchema = z.array(z.object({ ...identity, protected_path: z.string() }));
const appsSchema = z.array(z.object({ ...identity, pattern: z.string(), current: z.boolean() }));

/** A gap, and the workload whose resource its records carry. */
export interface PlacedGap {
  readonly gap: Gap;
  readonly workload: number;
}

export interface CoverageKeeperOptions {
  readonly state: StateDirectory;
  readonly log: Logger;
  readonly tell: (
    event: 'fileward.coverage.degraded' | 'fileward.coverage.restored',
    body: string,
    gap: Gap,
    workload: number,
  ) => void;
  /** False for a container that has gone. */
  readonly isThere: (workload: number) => boolean;
}

/** Names of a rule, by its index through all groups. */
export type RuleNames = (ruleIndex: number) => { readonly group: string; readonly rule: string };

/** Reached once, they leave out many places of a rule; and the next look may find other ones first. */
const BOUNDS: readonly string[] = ['mark_limit', 'depth_limit'];

/** What of these rules is not covered; a bound once for each rule. @param name - of the container, '' for the host */
export function ruleGaps(
  rules: readonly RuleCoverage[],
  namesOf: RuleNames,
  workload: number,
  name: string,
): PlacedGap[] {
  return rules.flatMap(({ rule_index, degraded }) => {
    const byKind = Map.groupBy(degraded, ({ error_type, detail }) =>
      BOUNDS.includes(error_type) ? error_type : `${error_type} ${detail}`,
    );
    return Array.from(byKind.values(), ([first, ...others]) => {
      const { error_type = '', detail: text = '' } = first ?? {};
      const isOne = others.length === 0 || !BOUNDS.includes(error_type);
      const detail = isOne ? text : `${text}, and other places`;
      const place = { ...namesOf(rule_index), ...(name !== '' && { workload: name }) };
      return { workload, gap: { ...place, error_type, detail } };
    });
  });
}

/** By which a gap is known again. */
function keyOf({ gap, workload }: PlacedGap): string {
  const { detail, ...place } = gap;
  return JSON.stringify([workload, place, BOUNDS.includes(gap.error_type) ? '' : detail]);
}

export class CoverageKeeper {
  readonly #options: CoverageKeeperOptions;
  readonly #written = new Map<string, string>();
  #gaps = new Map<string, PlacedGap>();

  constructor(options: CoverageKeeperOptions) {
    this.#options = options;
  }

  /** What an earlier agent left for this one. */
  readMoved(): readonly MovedFile[] {
    return this.#options.state.read(MOVED_FILE, movedSchema) ?? [];
  }

  readFollowedApps(): readonly FollowedApp[] {
    return this.#options.state.read(APPS_FILE, appsSchema) ?? [];
  }

  get gaps(): readonly Gap[] {
    return Array.from(this.#gaps.values(), ({ gap }) => gap);
  }

  keep(report: CoverageReport): void {
    this.#keep(MOVED_FILE, report.moved);
    this.#keep(APPS_FILE, report.followed_apps);
  }

  /** Tells which are new and which are over. @param gaps - all that there are now */
  update(gaps: readonly PlacedGap[]): void {
    const { log, tell, isThere } = this.#options;
    const before = this.#gaps;
    this.#gaps = new Map(gaps.map((each) => [keyOf(each), each]));
    for (const [key, { gap, workload }] of this.#gaps) {
      if (before.has(key)) continue;
      log.warn(gap, 'coverage degraded');
      tell('fileward.coverage.degraded', `Not wholly covered: ${gap.detail}`, gap, workload);
    }
    for (const [key, { gap, workload }] of before) {
      if (this.#gaps.has(key)) continue;
      const why = isThere(workload) ? 'Covered again' : 'Over, its container has gone';
      tell('fileward.coverage.restored', `${why}: ${gap.detail}`, gap, workload);
    }
  }

  /** A full disk costs what a restart would remember, not the agent. */
  #keep(file: string, value: readonly unknown[]): void {
    const text = JSON.stringify(value);
    if (this.#written.get(file) === text) return;
    try {
      this.#options.state.write(file, value);
      this.#written.set(file, text);
    } catch (error) {
      this.#options.log.error({ err: error, file }, 'cannot write to the state directory');
    }
  }
}

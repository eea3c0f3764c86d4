/**
 * Keeps what coverage reports: what must outlive a restart goes into the state directory, and what a rule names and
 * can't be watched or enforced is told once when it begins and once when it is over.
 */
import type { Logger } from 'pino';
import { z } from 'zod';
import type { CoverageReport, FollowedApp, MovedFile } from '../native/addon.ts';
import type { Gap } from './protocol.ts';
import type { StateDirectory } from './state-directory.ts';

const MOVED_FILE = 'moved-files.json';
const APPS_FILE = 'followed-apps.json';

const identity = { device: z.string(), inode: z.string(), birth_ns: z.string(), path: z.string() };
const movedSchema = z.array(z.object({ ...identity, protected_path: z.string() }));
const appsSchema = z.array(z.object({ ...identity, pattern: z.string(), current: z.boolean() }));

export interface GapChange {
  readonly degraded: readonly Gap[];
  readonly restored: readonly Gap[];
}

/** Names of a rule, by its index through all groups. */
export type RuleNames = (ruleIndex: number) => { readonly group: string; readonly rule: string };

export class CoverageKeeper {
  readonly #state: StateDirectory;
  readonly #log: Logger;
  readonly #written = new Map<string, string>();
  #gaps = new Map<string, Gap>();

  constructor(state: StateDirectory, log: Logger) {
    this.#state = state;
    this.#log = log;
  }

  /** What an earlier agent left for this one. */
  readMoved(): readonly MovedFile[] {
    return this.#state.read(MOVED_FILE, movedSchema) ?? [];
  }

  readFollowedApps(): readonly FollowedApp[] {
    return this.#state.read(APPS_FILE, appsSchema) ?? [];
  }

  get gaps(): readonly Gap[] {
    return [...this.#gaps.values()];
  }

  update(report: CoverageReport, namesOf: RuleNames): GapChange {
    this.#keep(MOVED_FILE, report.moved);
    this.#keep(APPS_FILE, report.followed_apps);
    const next = new Map<string, Gap>();
    for (const rule of report.rules) {
      for (const { error_type, detail } of rule.degraded) {
        const gap: Gap = { ...namesOf(rule.rule_index), error_type, detail };
        next.set(JSON.stringify(gap), gap);
      }
    }
    const degraded = [...next].filter(([key]) => !this.#gaps.has(key)).map(([, gap]) => gap);
    const restored = [...this.#gaps].filter(([key]) => !next.has(key)).map(([, gap]) => gap);
    this.#gaps = next;
    return { degraded, restored };
  }

  /** A full disk costs what a restart would remember, not the agent. */
  #keep(file: string, value: readonly unknown[]): void {
    const text = JSON.stringify(value);
    if (this.#written.get(file) === text) return;
    try {
      this.#state.write(file, value);
      this.#written.set(file, text);
    } catch (error) {
      this.#log.error({ err: error, file }, 'cannot write to the state directory');
    }
  }
}

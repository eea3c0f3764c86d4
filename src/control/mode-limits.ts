/**
 * Everything that makes protect act as monitor for a while: break glass, pauses, and protection under
 * `run --confirm` that nobody confirmed. Pauses and confirmations are kept under `state`.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { Configuration } from '../policy/document.ts';
import { Failure } from './failure.ts';
import type { PauseRequest, PauseStatus, PauseTarget } from './protocol.ts';
import type { StateDirectory } from './state-directory.ts';

const PAUSES_FILE = 'pauses.json';
const CONFIRMED_FILE = 'confirmed.json';

const pausesSchema = z.array(
  z.object({
    group: z.string().optional(),
    rule: z.string().optional(),
    until: z.iso.datetime(),
    reason: z.string(),
  }),
);

export type Pause = z.infer<typeof pausesSchema>[number];

/** Why a rule that is configured to protect acts as monitor; empty when it protects. */
export type LimitReason = '' | 'break_glass' | 'paused' | 'not_confirmed';

/** What switched break glass on, for people; empty when it is off. */
export function breakGlass(env: NodeJS.ProcessEnv, commandLine = kernelCommandLine()): string {
  if (env['FILEWARD_MODE'] === 'monitor') return 'FILEWARD_MODE=monitor';
  if (commandLine.split(/\s+/).includes('fileward.mode=monitor')) {
    return 'fileward.mode=monitor on the kernel command line';
  }
  return '';
}

function kernelCommandLine(): string {
  try {
    return readFileSync('/proc/cmdline', 'utf8');
  } catch {
    return '';
  }
}

export class ModeLimits {
  readonly breakGlass: string;
  readonly #state: StateDirectory;
  readonly #now: () => number;
  #pauses: Pause[];
  #confirmed: Set<string>;
  #pending: { groups: Set<string>; until: number } | null = null;
  readonly #fallen = new Set<string>();

  constructor(state: StateDirectory, env: NodeJS.ProcessEnv, now: () => number = Date.now) {
    this.breakGlass = breakGlass(env);
    this.#state = state;
    this.#now = now;
    const pauses = state.read(PAUSES_FILE, pausesSchema) ?? [];
    this.#pauses = pauses.filter((pause) => Date.parse(pause.until) > now());
    this.#confirmed = new Set(state.read(CONFIRMED_FILE, z.array(z.string())));
  }

  get pauses(): readonly Pause[] {
    return this.#pauses;
  }

  get unconfirmed(): { groups: readonly string[]; until: string } | null {
    if (!this.#pending) return null;
    return {
      groups: [...this.#pending.groups],
      until: new Date(this.#pending.until).toISOString(),
    };
  }

  reasonFor(group: string, rule: string): LimitReason {
    if (this.breakGlass) return 'break_glass';
    if (this.#pauses.some((pause) => covers(pause, group, rule))) return 'paused';
    return this.#fallen.has(group) ? 'not_confirmed' : '';
  }

  /** The cap that `compile` asks for. */
  readonly cap = (group: string, rule: string): 'monitor' | undefined =>
    this.reasonFor(group, rule) === '' ? undefined : 'monitor';

  /** Milliseconds until a pause ends or a confirmation is due; undefined when nothing is timed. */
  untilNext(): number | undefined {
    const times = this.#pauses.map((pause) => Date.parse(pause.until));
    if (this.#pending) times.push(this.#pending.until);
    return times.length === 0 ? undefined : Math.max(0, Math.min(...times) - this.#now());
  }

  /** A pause of the same target is replaced. */
  pause(request: PauseRequest): PauseStatus {
    const { for_ms, reason, ...target } = request;
    const pause: Pause = {
      ...target,
      until: new Date(this.#now() + for_ms).toISOString(),
      reason,
    };
    this.#setPauses([...this.#pauses.filter((other) => !sameTarget(other, target)), pause]);
    return pause;
  }

  /** Without a target every pause ends. @throws Failure 1 when there is none to end. */
  resume(target: PauseTarget): readonly Pause[] {
    const all = target.group === undefined && target.rule === undefined;
    const ended = this.#pauses.filter((pause) => all || sameTarget(pause, target));
    if (ended.length === 0) throw new Failure(1, 'nothing is paused there; see: fileward status');
    this.#setPauses(this.#pauses.filter((pause) => !ended.includes(pause)));
    return ended;
  }

  /** Removes and returns the pauses whose time is over. The file is left alone: they end, whatever the disk says. */
  takeEnded(): readonly Pause[] {
    const now = this.#now();
    const ended = this.#pauses.filter((pause) => Date.parse(pause.until) <= now);
    this.#pauses = this.#pauses.filter((pause) => !ended.includes(pause));
    return ended;
  }

  /**
   * Starts the time in which groups that newly protect must be confirmed.
   * @param protecting - groups with a rule that is configured to protect
   */
  awaitConfirmation(protecting: ReadonlySet<string>, withinMs: number): readonly string[] {
    this.#fallen.clear();
    this.#setConfirmed([...this.#confirmed].filter((group) => protecting.has(group)));
    const waiting = [...protecting].filter((group) => !this.#confirmed.has(group));
    const known = this.#pending?.groups;
    if (waiting.length === 0) {
      this.#pending = null;
    } else if (!known || waiting.some((group) => !known.has(group))) {
      this.#pending = { groups: new Set(waiting), until: this.#now() + withinMs };
    } else {
      this.#pending = { groups: new Set(waiting), until: this.#pending?.until ?? 0 };
    }
    return waiting;
  }

  /** @throws Failure 1 when no group waits for it. */
  confirm(): readonly string[] {
    if (!this.#pending) {
      const late =
        this.#fallen.size > 0
          ? `too late: ${[...this.#fallen].join(', ')} fell back to monitor; ` +
            'reload (systemctl reload fileward, or SIGHUP) to protect again'
          : 'nothing waits to be confirmed';
      throw new Failure(1, late);
    }
    const groups = [...this.#pending.groups];
    this.#setConfirmed([...this.#confirmed, ...groups]);
    this.#pending = null;
    return groups;
  }

  /** Groups whose time to be confirmed is over; they act as monitor from now on. */
  takeUnconfirmed(): readonly string[] {
    if (!this.#pending || this.#pending.until > this.#now()) return [];
    const groups = [...this.#pending.groups];
    for (const group of groups) this.#fallen.add(group);
    this.#pending = null;
    return groups;
  }

  #setPauses(pauses: Pause[]): void {
    this.#state.write(PAUSES_FILE, pauses);
    this.#pauses = pauses;
  }

  #setConfirmed(groups: string[]): void {
    const confirmed = new Set(groups);
    if (confirmed.size === this.#confirmed.size && confirmed.isSubsetOf(this.#confirmed)) return;
    this.#state.write(CONFIRMED_FILE, [...confirmed]);
    this.#confirmed = confirmed;
  }
}

function covers(pause: Pause, group: string, rule: string): boolean {
  return (pause.group ?? group) === group && (pause.rule ?? rule) === rule;
}

function sameTarget(a: PauseTarget, b: PauseTarget): boolean {
  return a.group === b.group && a.rule === b.rule;
}

/** Groups with an enabled rule that is configured to protect. */
export function protectingGroups({ document }: Configuration): ReadonlySet<string> {
  const protects = document.groups.filter((group) =>
    group.rules.some((rule) => rule.enabled && (rule.mode ?? group.mode) === 'protect'),
  );
  return new Set(protects.map((group) => group.name));
}

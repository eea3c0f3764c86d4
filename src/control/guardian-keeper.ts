/**
 * Tells what the guardian did in the agent's stead: it answers by `on_deadline` whenever the agent doesn't, which the
 * agent may learn only afterwards, since it was stopped. Looks once a second at the numbers of the native core, on the
 * JavaScript thread; each trouble is told once when it is seen and once when it is over. Decides nothing.
 */
import type { Logger } from 'pino';
import type { GuardianStats, SessionStats } from '../native/addon.ts';
import type { About } from '../records/agent-records.ts';
import type { Clock } from '../records/clock.ts';
import type { AgentEvent } from '../records/names.ts';
import type { Loss } from '../records/loss.ts';
import type { Legacy } from './guardian-takeover.ts';

const INTERVAL_MS = 1000;
/** Late verdicts within such a time of each other are one trouble. */
const QUIET_NS = 10_000_000_000n;

type Reason = 'not_reading' | 'canary' | 'agent_gone' | 'deadline' | 'no_guardian';

export interface GuardianKeeperOptions {
  readonly log: Logger;
  readonly stats: () => Pick<SessionStats, 'guardian' | 'failures'>;
  readonly tell: (event: AgentEvent, body: string, about: About) => void;
  readonly lost: (loss: Loss) => void;
  /** False while the guardian stands in for the agent. */
  readonly onEnforcing: (enforcing: boolean) => void;
  readonly clock: Clock;
}

interface Trouble {
  readonly reason: Reason;
  readonly fromNs: bigint;
}

/** What was answered by `on_deadline` in it. */
interface Answers {
  readonly allowed?: number;
  readonly denied?: number;
  readonly count?: number;
}

interface Look {
  readonly ns: bigint;
  readonly guardian: GuardianStats;
  /** Verdicts that were given by `on_deadline`, by whomever. */
  readonly late: bigint;
}

export class GuardianKeeper {
  readonly #options: GuardianKeeperOptions;
  readonly #clock: Clock;
  readonly #timer: NodeJS.Timeout;
  #seen: Look;
  #closed = false;
  #standingIn: Trouble | undefined;
  #absent: Trouble | undefined;
  #late: (Trouble & { count: number; lastNs: bigint }) | undefined;

  constructor(options: GuardianKeeperOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#seen = this.#look();
    this.#timer = setInterval(() => this.check(), INTERVAL_MS);
  }

  /** What keeps the agent from being wholly itself, as of the last look, a sentence each. */
  get troubles(): string[] {
    const now = [this.#standingIn, this.#absent, this.#late].flatMap((trouble) =>
      trouble === undefined ? [] : [BEGUN[trouble.reason]],
    );
    return this.#seen.guardian.deny_table.full ? [...now, TABLE_FULL] : now;
  }

  /** As of the last look. */
  get stats(): GuardianStats {
    return this.#seen.guardian;
  }

  check(): void {
    const before = this.#seen;
    const now = this.#look();
    this.#seen = now;
    const stoodIn = this.#checkStandingIn(before.guardian, now.guardian);
    this.#checkPresence(before, now);
    // What was late while the guardian stood in is part of that.
    this.#checkLate(stoodIn ? { ...before, late: now.late } : before, now);
    this.#checkTable(before.guardian, now.guardian);
    const unjudged = answered(now.guardian) - answered(before.guardian);
    if (unjudged > 0n) {
      const span = { fromNs: before.ns, toNs: now.ns };
      this.#options.lost({ reason: 'deadline', stage: 'kernel', count: Number(unjudged), ...span });
    }
    this.#options.onEnforcing(now.guardian.standing_in === '');
  }

  /** Looks a last time: what is ended on purpose is no trouble. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.check();
  }

  /** What the guardian of an agent that had died did until now. */
  tellLegacy({ agent, sinceNs: fromNs, allowed, denied }: Legacy): void {
    const toNs = this.#clock.nowNs();
    this.#options.log.info({ agent, allowed, denied }, 'took over from the guardian of an agent');
    this.#tellWhole({ reason: 'agent_gone', fromNs }, toNs, { allowed, denied });
    const count = allowed + denied;
    if (count > 0) this.#options.lost({ reason: 'deadline', stage: 'kernel', count, fromNs, toNs });
  }

  #look(): Look {
    const { guardian, failures } = this.#options.stats();
    if (guardian === undefined) throw new Error('the session has no guardian');
    const late = (failures['deadline'] ?? 0n) + guardian.late;
    return { ns: this.#clock.nowNs(), guardian, late };
  }

  /** @returns whether the guardian stood in since the last look, or does */
  #checkStandingIn(before: GuardianStats, now: GuardianStats): boolean {
    const ended = now.episode_count - before.episode_count;
    const over = ended > 0 ? now.episodes.slice(-ended) : [];
    const stood = this.#standingIn !== undefined;
    for (const { reason, from_ns, to_ns, allowed, denied } of over) {
      const answers = { allowed: Number(allowed), denied: Number(denied) };
      if (this.#standingIn === undefined) {
        this.#tellWhole({ reason, fromNs: from_ns }, to_ns, answers);
      } else {
        this.#tellOver(this.#standingIn, to_ns, answers);
        this.#standingIn = undefined;
      }
    }
    if (now.standing_in !== '' && this.#standingIn === undefined) {
      this.#standingIn = { reason: now.standing_in, fromNs: now.since_ns };
      this.#tellBegun(this.#standingIn, {});
    }
    return stood || this.#standingIn !== undefined || ended > 0;
  }

  #checkPresence(before: Look, now: Look): void {
    const died = { reason: 'no_guardian', fromNs: before.ns } as const;
    if (now.guardian.pid === 0) {
      if (this.#absent === undefined) this.#tellBegun(died, {});
      this.#absent ??= died;
    } else if (this.#absent !== undefined) {
      this.#tellOver(this.#absent, now.ns, {});
      this.#absent = undefined;
    } else if (now.guardian.restarts > before.guardian.restarts) {
      this.#tellWhole(died, now.ns, {});
    }
  }

  #checkLate(before: Look, { late, ns }: Look): void {
    const more = Number(late - before.late);
    if (this.#late === undefined) {
      if (more === 0) return;
      this.#late = { reason: 'deadline', fromNs: before.ns, count: more, lastNs: ns };
      this.#tellBegun(this.#late, { count: more });
    } else if (more > 0) {
      this.#late.count += more;
      this.#late.lastNs = ns;
    } else if (ns - this.#late.lastNs >= QUIET_NS) {
      this.#tellOver(this.#late, this.#late.lastNs, { count: this.#late.count });
      this.#late = undefined;
    }
  }

  #checkTable({ deny_table: before }: GuardianStats, { deny_table: now }: GuardianStats): void {
    if (now.full === before.full) return;
    const about = { error_type: 'deny_table_full' };
    if (now.full) this.#options.tell('fileward.coverage.degraded', TABLE_FULL, about);
    else this.#options.tell('fileward.coverage.restored', `No longer: ${TABLE_FULL}`, about);
  }

  #tellWhole(trouble: Trouble, toNs: bigint, answers: Answers): void {
    this.#tellBegun(trouble, answers);
    this.#tellOver(trouble, toNs, answers);
  }

  #tellBegun({ reason, fromNs }: Trouble, answers: Answers): void {
    const { log, tell } = this.#options;
    log.error({ reason, ...answers }, BEGUN[reason]);
    const about = { error_type: reason, firstSeen: fromNs, ...answers };
    tell('fileward.enforcement.degraded', `${BEGUN[reason]}${inWords(answers)}`, about);
  }

  #tellOver({ reason, fromNs }: Trouble, toNs: bigint, answers: Answers): void {
    const { log, tell } = this.#options;
    const body = `After ${seconds(toNs - fromNs)}: ${OVER[reason]}${inWords(answers)}`;
    log.info({ reason, ...answers }, body);
    const span = { firstSeen: fromNs, lastSeen: toNs };
    tell('fileward.enforcement.restored', body, { error_type: reason, ...span, ...answers });
  }
}

const BEGUN: Readonly<Record<Reason, string>> = {
  not_reading: 'The agent reads nothing: its guardian answers by on_deadline',
  canary: 'The canary is not answered in time: the guardian answers by on_deadline',
  agent_gone: 'The agent before this one had ended: its guardian answered by on_deadline',
  deadline: 'Verdicts are late and given by on_deadline',
  no_guardian: 'The guardian has ended: nobody answers if the agent stops',
};
const TABLE_FULL =
  'More files are denied by on_deadline than the guardian can know: it allows the others';
const OVER: Readonly<Record<Reason, string>> = {
  not_reading: 'the agent reads again',
  canary: 'the agent decides again',
  agent_gone: 'this agent decides',
  deadline: 'no verdict has been late since',
  no_guardian: 'another guardian stands',
};

function answered({ answered: { allowed, denied } }: GuardianStats): bigint {
  return allowed + denied;
}

function inWords({ allowed, denied, count }: Answers): string {
  if (count !== undefined) return `, ${count} of them`;
  if (allowed === undefined || denied === undefined) return '';
  return `, ${allowed} allowed, ${denied} denied`;
}

function seconds(ns: bigint): string {
  return `${(Number(ns) / 1e9).toFixed(1)} s`;
}

/**
 * What a person does to the mode of a running agent: pause, resume, confirm; and what happens when their time is over.
 * Owns one timer. Every change goes through the agent's turn, so that policies change one at a time.
 */
import type { Logger } from 'pino';
import { Failure } from './failure.ts';
import type { ModeLimits } from './mode-limits.ts';
import { describeTarget } from './pause-target.ts';
import type { PauseRequest, PauseStatus, PauseTarget, Results } from './protocol.ts';

/** setTimeout can't wait longer. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

export interface OperatorOptions {
  readonly limits: ModeLimits;
  readonly log: Logger;
  /** Runs a change when no other is under way. */
  readonly inTurn: (change: () => Promise<void>) => Promise<void>;
  /** Makes the limits of now hold. */
  readonly apply: () => Promise<void>;
  /** A record about it. */
  readonly tell: (
    event: 'fileward.enforcement.paused' | 'fileward.enforcement.resumed',
    body: string,
    about: PauseTarget,
  ) => void;
  /** Whether a pause of that would pause anything. */
  readonly isKnown: (target: PauseTarget) => boolean;
}

export class Operator {
  readonly #options: OperatorOptions;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: OperatorOptions) {
    this.#options = options;
  }

  /** To be called after each change of the policy: a confirmation may be due. */
  schedule(): void {
    clearTimeout(this.#timer);
    const wait = this.#options.limits.untilNext();
    if (wait === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#endLimits().catch((err: unknown) => {
          this.#options.log.error({ err }, 'cannot end what was limited; a reload tries again');
        });
      },
      Math.min(wait, MAX_TIMEOUT_MS),
    );
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  confirm(): Results['confirm'] {
    const groups = this.#options.limits.confirm();
    this.schedule();
    this.#options.log.info({ groups }, 'confirmed');
    return { groups };
  }

  async pause(request: PauseRequest): Promise<PauseStatus> {
    const { limits, log, tell, isKnown } = this.#options;
    if (!isKnown(request)) {
      throw new Failure(2, `there is no ${describeTarget(request)}; see: fileward status`);
    }
    const pause = limits.pause(request);
    await this.#apply();
    log.warn(pause, 'paused');
    const target = describeTarget(pause);
    tell(
      'fileward.enforcement.paused',
      `Paused until ${pause.until}: ${target} acts as monitor: ${pause.reason}`,
      pause,
    );
    return pause;
  }

  async resume(target: PauseTarget): Promise<Results['resume']> {
    const ended = this.#options.limits.resume(target);
    await this.#apply();
    for (const pause of ended) this.#tellResumed(pause, 'resumed by hand');
    return { ended };
  }

  async #apply(): Promise<void> {
    const { inTurn, apply } = this.#options;
    await inTurn(apply);
    this.schedule();
  }

  async #endLimits(): Promise<void> {
    const { limits, log, tell } = this.#options;
    const ended = limits.takeEnded();
    const unconfirmed = limits.takeUnconfirmed();
    if (ended.length === 0 && unconfirmed.length === 0) return this.schedule();
    await this.#apply();
    for (const pause of ended) this.#tellResumed(pause, 'its time is over');
    for (const group of unconfirmed) {
      log.warn({ group }, 'not confirmed in time: falls back to monitor');
      tell(
        'fileward.enforcement.paused',
        `Group ${group} fell back to monitor: protect was not confirmed in time`,
        { group },
      );
    }
  }

  #tellResumed(pause: PauseStatus, why: string): void {
    this.#options.log.info({ ...pause, why }, 'resumed');
    this.#options.tell(
      'fileward.enforcement.resumed',
      `No longer paused, ${describeTarget(pause)}: ${why}`,
      pause,
    );
  }
}

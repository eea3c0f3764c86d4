/**
 * What is known of the covered files, so that a change made while no agent ran is told by the next one. Owns the worker
 * of known-files-worker.ts and asks it one question at a time; the worker gets the bytes of the covered files for good.
 * Runs on the agent's thread in small steps, and nothing waits for it.
 *
 * At the start the files as the first ruleset found them are compared with what is known, and each difference is told
 * before it is known. From then on, every second: take what changed from the native core, let the pipeline take the
 * events that led to it, wait until what was told is kept (`settled`), and only then make it known; what the pipeline
 * has not told yet stays as it was. So a crash at any moment makes a change told twice at worst.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Evaluator } from '../native/addon.ts';
import { CoveredFiles } from '../native/covered-files.ts';
import type { EventSession } from '../native/session.ts';
import { Asked } from './known-files-asked.ts';
import type { Found, Kept, Plan, Questions } from './known-files-messages.ts';
import type { KnownPolicy } from './known-files-store.ts';
import type { Pipeline } from './pipeline.ts';

export interface KnownFilesOptions {
  /** The database. */
  readonly file: string;
  readonly session: Pick<EventSession, 'coveredFiles' | 'drain'>;
  readonly pipeline: Pick<Pipeline, 'found' | 'learnHashes' | 'notTold' | 'takeHashes'>;
  /** Resolves when all that was told so far outlives a crash. */
  readonly settled: () => Promise<void>;
  readonly createEvaluator: (policy: KnownPolicy) => Evaluator;
  /** All covered files were compared, in that time, and the content of some is known. */
  readonly onCompared: (about: ComparedFiles) => void;
  /** What was changed while no agent ran can't be told, or not all of it: why. */
  readonly onDegraded: (reason: DegradedReason, body: string, error?: unknown) => void;
  readonly onRestored: (reason: DegradedReason, body: string) => void;
}

export interface ComparedFiles {
  readonly covered: number;
  readonly found: number;
  readonly ms: number;
  /** Why the policy of the agent before could not be used: files that it did not cover may be among the found. */
  readonly policyBefore?: string;
}

/** `error.type` of what is told then. */
export type DegradedReason = 'known_files_failed' | 'known_files_limit';

const NOT_KEPT =
  'The state of the covered files can not be kept: the next agent may not tell what changed';
const INTERVAL_MS = 1000;
/** Between two tries to compare while the database can't be used. */
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30_000;
/** At the end: for what is under way. */
const END_MS = 1000;

export class KnownFiles {
  readonly #options: KnownFilesOptions;
  readonly #stop = new AbortController();
  #plan: { readonly value: Plan; readonly text: string; isNew: boolean } | undefined;
  #worker: Asked | undefined;
  #compared = false;
  #held = 0;
  /** Why what is known can't be kept, as it was told. */
  #problem: unknown;
  #policyBefore: string | undefined;
  #working: Promise<void> = Promise.resolve();

  constructor(options: KnownFilesOptions) {
    this.#options = options;
  }

  /** To be told of each policy that came into force, and again when its patterns lead elsewhere. */
  usePlan(value: Plan): void {
    const { policy, ...rest } = value;
    // The policy is long and usually the same.
    const text = JSON.stringify({ ...rest, resolved: policy.resolved });
    const same = text === this.#plan?.text && policy.json === this.#plan.value.policy.json;
    if (!same) this.#plan = { value, text, isNew: true };
  }

  /** Begins to work in the background, with the files that the first policy covers. */
  start(): void {
    this.#working = this.#work().catch((error: unknown) => this.#giveUp(error));
  }

  /** After the session was closed and the pipeline flushed: makes known what was told, if that can be done soon. */
  async end(): Promise<void> {
    this.#stop.abort();
    const finish = async (): Promise<void> => {
      await this.#working;
      // Behind all files, as a reload found them, come those that changed since.
      while (this.#compared && (await this.#keepUp()));
      await this.#worker?.ask('close', {});
    };
    const timeout = new AbortController();
    await Promise.race([
      finish().catch((error: unknown) => this.#giveUp(error)),
      sleep(END_MS, undefined, { signal: timeout.signal }).catch(() => undefined),
    ]);
    timeout.abort();
    await this.#worker?.terminate();
  }

  async #work(): Promise<void> {
    this.#worker = new Asked(this.#options.file);
    await this.#compare();
    while (!this.#stop.signal.aborted) {
      if (await this.#keepUp()) await this.#learnHashes();
      await this.#pause(INTERVAL_MS);
    }
  }

  /** Ends early when it is to end. */
  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {});
  }

  #giveUp(error: unknown): void {
    // What is cut off at the end is told by the next agent.
    if (this.#worker === undefined || this.#stop.signal.aborted) return;
    void this.#worker.terminate();
    this.#worker = undefined;
    this.#options.onDegraded('known_files_failed', NOT_KEPT, error);
  }

  async #compare(): Promise<void> {
    const began = performance.now();
    const plan = this.#takePlan();
    const bytes = await this.#options.session.coveredFiles();
    const { rulesetVersion } = new CoveredFiles(bytes);
    if (plan === undefined || this.#worker === undefined) return;
    await this.#worker.ask('take', { files: bytes, plan }, [bytes.buffer]);
    const answer = await this.#compareWhenPossible(this.#worker);
    if (answer === undefined) return;
    const { covered, leftOut, broken } = answer;
    if (broken !== undefined) {
      this.#options.onDegraded(
        'known_files_failed',
        'What changed while no agent ran can not be told: the known files could not be read',
        broken,
      );
    }
    if (leftOut > 0) {
      this.#options.onDegraded(
        'known_files_limit',
        `Of ${covered + leftOut} covered files the last ${leftOut}, by name, are too many: their changes while no agent runs will not be told`,
      );
    }
    const judge = this.#judge(answer.policyBefore, plan.policy);
    let found = 0;
    for (;;) {
      if (this.#stop.signal.aborted) return;
      const part = await this.#worker.ask('more', {});
      this.#noteKept(part);
      if (part.found === undefined) break;
      for (const each of part.found) {
        const ruleIndex = judge(each);
        if (ruleIndex === undefined) continue;
        found += 1;
        this.#options.pipeline.found(each, ruleIndex, rulesetVersion);
      }
      await this.#options.settled();
    }
    this.#compared = true;
    const ms = Math.round(performance.now() - began);
    await this.#learnHashes();
    const policyBefore = this.#policyBefore;
    this.#options.onCompared({ covered, found, ms, ...(policyBefore && { policyBefore }) });
  }

  /** Tries until the database can be used; undefined: the end came first. */
  async #compareWhenPossible(worker: Asked): Promise<Questions['compare']['answer'] | undefined> {
    for (let ms = FIRST_RETRY_MS; ; ms = Math.min(2 * ms, LAST_RETRY_MS)) {
      try {
        const answer = await worker.ask('compare', {});
        this.#noteProblem(undefined);
        return answer;
      } catch (error) {
        if (worker.hasEnded) throw error;
        this.#noteProblem(error);
      }
      await this.#pause(ms);
      if (this.#stop.signal.aborted) return undefined;
    }
  }

  #noteKept({ held, problem }: Kept): void {
    this.#held = held;
    this.#noteProblem(problem);
  }

  /** Tells the first of several in a row, and when there is none any more. */
  #noteProblem(problem: unknown): void {
    if (problem !== undefined && this.#problem === undefined) {
      this.#options.onDegraded('known_files_failed', NOT_KEPT, problem);
    } else if (problem === undefined && this.#problem !== undefined) {
      this.#options.onRestored(
        'known_files_failed',
        'The state of the covered files is kept again',
      );
    }
    this.#problem = problem;
  }

  /** Gives the rule that a change is told under; none for what only another policy made appear or disappear. */
  #judge(before: KnownPolicy | undefined, now: KnownPolicy): (found: Found) => number | undefined {
    const changed = JSON.stringify(before) !== JSON.stringify(now);
    let evaluators: { before: Evaluator; now: Evaluator } | undefined;
    const ruleOf = (policy: 'before' | 'now', path: Uint8Array): number | undefined => {
      evaluators ??= this.#evaluators(before ?? now, now);
      const paths = [Buffer.from(path).toString()];
      const { outcome, rule_index } = evaluators[policy].evaluate({
        paths,
        operation: 'write',
        exe: '/',
        gate: 'change',
      });
      return outcome === 'not_covered' ? undefined : rule_index;
    };
    return ({ operation, path, newPath, replaced, ruleIndex }) => {
      if (ruleIndex === undefined) return ruleOf('now', path);
      if (!changed || replaced || (operation !== 'create' && operation !== 'rename')) {
        return ruleIndex;
      }
      const wasCovered = ruleOf('before', newPath ?? path) !== undefined;
      const isCovered = newPath !== undefined && ruleOf('now', path) !== undefined;
      return wasCovered || isCovered ? ruleIndex : undefined;
    };
  }

  #evaluators(before: KnownPolicy, now: KnownPolicy): { before: Evaluator; now: Evaluator } {
    const ofNow = this.#options.createEvaluator(now);
    try {
      return { before: this.#options.createEvaluator(before), now: ofNow };
    } catch (error) {
      // Of an agent whose policies this one does not understand.
      this.#policyBefore = String(error);
      return { before: ofNow, now: ofNow };
    }
  }

  /** Makes known what changed and was told; true when it looked at all files. */
  async #keepUp(): Promise<boolean> {
    const { session, pipeline, settled } = this.#options;
    // First: a policy must not be known before the files that it covers.
    const plan = this.#takePlan();
    const bytes = await session.coveredFiles();
    await session.drain();
    const { count, full } = new CoveredFiles(bytes);
    const hashes = pipeline.takeHashes();
    const nothingHeld = this.#held === 0 && this.#problem === undefined;
    if (count === 0 && !full && nothingHeld && hashes.length === 0 && !plan) return false;
    const waiting = [...pipeline.notTold()];
    await settled();
    const ask = { files: bytes, waiting, hashes, ...(plan && { plan }) };
    if (this.#worker === undefined) return false;
    this.#noteKept(await this.#worker.ask('apply', ask, [bytes.buffer]));
    return full;
  }

  async #learnHashes(): Promise<void> {
    while (!this.#stop.signal.aborted && this.#worker !== undefined) {
      const { hashes } = await this.#worker.ask('hashes', {});
      if (hashes.length === 0) return;
      this.#options.pipeline.learnHashes(hashes);
    }
  }

  #takePlan(): Plan | undefined {
    if (!this.#plan?.isNew) return undefined;
    this.#plan.isNew = false;
    return this.#plan.value;
  }
}

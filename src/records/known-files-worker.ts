/**
 * The worker thread of the known files. Owns `known-files.db` and reads covered files to hash them. It does nothing by
 * itself: known-files.ts asks, one question at a time, and hands over the bytes of the covered files for good. What a
 * comparison found is known, and not told again by the next agent, only when the question after it shows that it was
 * told; until then a crash leaves things as they were.
 */
import { readFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { type CoveredFile, CoveredFiles, FileState } from '../native/covered-files.ts';
import { type Difference, isSame, pairs } from './known-files-compare.ts';
import { Comparison } from './known-files-comparison.ts';
import { KnownHashes } from './known-files-hashes.ts';
import type { Kept, Plan, Question, Questions, Reply, Request } from './known-files-messages.ts';
import {
  type Basis,
  isCorrupt,
  KnownFilesStore,
  type KnownPolicy,
  setFileAside,
  type Update,
} from './known-files-store.ts';
import { mountFinder, readMounts } from './mounts.ts';

type Answer<Q extends Question> = Questions[Q]['answer'];
type Ask<Q extends Question> = Questions[Q]['ask'];
type Handlers = {
  readonly [Q in Question]: (ask: Ask<Q>) => Answer<Q> | Promise<Answer<Q>>;
};

const IN_MEMORY = ['tmpfs', 'ramfs'];

class Keeper implements Handlers {
  readonly #file: string;
  /** Undefined until it could be opened, and after a comparison that failed. */
  #opened: KnownFilesStore | undefined;
  #broken: string | undefined;
  /** To be compared. */
  #found: CoveredFiles | undefined;
  readonly #bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  readonly #hashes = new KnownHashes();
  #policy: KnownPolicy | undefined;
  #ownRules = new Set<number>();
  /** As last written. */
  #basis = '';
  /** See `endOf`. */
  #end: string | undefined;
  #comparison: Comparison | undefined;
  /** What the last part of the comparison makes known when it is told. */
  #told: readonly Update[] = [];
  /** Newer than what is known and not told yet, by path. */
  #held = new Map<string, Update>();
  /** Why the last write failed. */
  #problem: string | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  take({ files, plan }: Ask<'take'>): Answer<'take'> {
    this.#found = new CoveredFiles(files);
    this.#end = endOf(this.#found);
    this.#usePlan(plan);
    return {};
  }

  /** @throws Error when the database can't be used; then it is opened anew the next time. */
  compare(): Answer<'compare'> {
    if (this.#found === undefined) throw new Error('no files to compare');
    try {
      this.#open();
      const answer = this.#compare(this.#found);
      this.#found = undefined;
      return answer;
    } catch (error) {
      this.#opened?.close();
      this.#opened = undefined;
      if (isCorrupt(error)) {
        setFileAside(this.#file);
        this.#broken = String(error);
      }
      throw error;
    }
  }

  #open(): void {
    const { store, broken } = KnownFilesStore.open(this.#file);
    this.#opened = store;
    this.#broken = broken ?? this.#broken;
  }

  get #store(): KnownFilesStore {
    if (this.#opened === undefined) throw new Error('the known files are not open');
    return this.#opened;
  }

  #compare(now: CoveredFiles): Answer<'compare'> {
    const before = this.#store.basis;
    const common = {
      policyBefore: before?.policy,
      covered: now.count,
      leftOut: now.leftOut,
      ...(this.#broken !== undefined && { broken: this.#broken }),
    };
    if (before === undefined) {
      const basis = this.#basisNow();
      this.#store.write(this.#updates(now), basis);
      this.#basis = basis;
      return common;
    }
    this.#comparison = new Comparison([...this.#differences(now)], {
      hashOf: (file) => this.#hashes.of(file),
      isComparable: this.#comparableWith(before),
    });
    return common;
  }

  async more(): Promise<Answer<'more'>> {
    const part = await this.#comparison?.next();
    // The policy and the mounts only with the last part: until then the old ones say what is new.
    this.#write(this.#told, part === undefined);
    this.#told = part?.updates ?? [];
    if (part === undefined) this.#comparison = undefined;
    return { found: part?.found, ...this.#kept };
  }

  apply({ files, waiting, hashes, plan }: Ask<'apply'>): Answer<'apply'> {
    const now = new CoveredFiles(files);
    this.#hashes.add(hashes);
    this.#usePlan(plan);
    const changed = now.full ? new Map<string, Update>() : this.#held;
    if (now.full) this.#end = endOf(now);
    for (const update of now.full ? this.#updates(now) : this.#updatesOf(now)) {
      changed.set(keyOf(update.path), update);
    }
    const isWaiting = waitingFor(new Set(waiting));
    const told: Update[] = [];
    this.#held = new Map();
    for (const [key, update] of changed) {
      if (this.#end !== undefined && key > this.#end) continue;
      if (isWaiting(key, update)) this.#held.set(key, update);
      else told.push(update);
    }
    const isNew = told.length > 0 || now.full || plan !== undefined;
    if (isNew || this.#problem !== undefined) this.#write(told, true);
    return this.#kept;
  }

  async hashes(): Promise<Answer<'hashes'>> {
    const { tell, read } = await this.#hashes.next();
    try {
      this.#store.writeHashes(read);
    } catch (error) {
      // Then the next agent reads them again.
      if (isCorrupt(error)) throw error;
    }
    return { hashes: tell };
  }

  close(): Answer<'close'> {
    this.#opened?.close();
    return {};
  }

  get #kept(): Kept {
    return { held: this.#held.size, problem: this.#problem };
  }

  /** What is not as it is known. */
  *#differences(now: CoveredFiles): Generator<Difference> {
    this.#hashes.begin();
    for (const pair of pairs(this.#store.files(), this.#compared(now))) {
      const same = isSame(pair);
      this.#hashes.look(pair, same);
      if (!same) yield pair;
    }
  }

  #usePlan(plan: Plan | undefined): void {
    if (plan === undefined) return;
    this.#policy = plan.policy;
    this.#ownRules = new Set(plan.own);
    this.#hashes.usePlan(plan);
  }

  #comparableWith(before: Basis): (path: Buffer) => boolean {
    const mountBefore = mountFinder(before.mounts);
    const mountNow = mountFinder(readMounts());
    const rebooted = before.bootId !== this.#bootId;
    return (path) => {
      const was = mountBefore(path);
      const is = mountNow(path);
      if (was?.point !== is?.point || was?.type !== is?.type) return false;
      if (rebooted && is !== undefined && IN_MEMORY.includes(is.type)) return false;
      const key = keyOf(path);
      return key <= (before.end ?? key) && key <= (this.#end ?? key);
    };
  }

  /** Without the agent's own files. */
  *#compared(files: CoveredFiles): Generator<CoveredFile> {
    for (const file of files) if (!this.#ownRules.has(file.ruleIndex)) yield file;
  }

  *#updatesOf(files: CoveredFiles): Generator<Update> {
    for (const { path, state } of this.#compared(files)) yield { path, state: state?.bytes };
  }

  *#updates(now: CoveredFiles): Generator<Update> {
    for (const { path, now: file } of this.#differences(now))
      yield { path, state: file?.state?.bytes };
  }

  /** What can't be written now is held back, as if it were not told yet. */
  #write(updates: readonly Update[], withBasis: boolean): void {
    const hashed = updates.map((each) => ({
      ...each,
      sha256: each.sha256 ?? this.#hashes.take(each),
    }));
    const basis = withBasis ? this.#basisNow() : this.#basis;
    try {
      this.#store.write(hashed, basis === this.#basis ? undefined : basis);
      this.#basis = basis;
      this.#problem = undefined;
    } catch (error) {
      if (isCorrupt(error)) throw error;
      this.#problem = String(error);
      for (const update of updates) this.#held.set(keyOf(update.path), update);
    }
  }

  #basisNow(): string {
    if (this.#policy === undefined) throw new Error('known files without a policy');
    const basis: Basis = {
      policy: this.#policy,
      mounts: readMounts(),
      bootId: this.#bootId,
      ...(this.#end !== undefined && { end: this.#end }),
    };
    return JSON.stringify(basis);
  }
}

/** Whether something of a path, of its file or of a folder above it is not told yet. */
function waitingFor(waiting: ReadonlySet<string>): (key: string, update: Update) => boolean {
  return (key, { state }) => {
    if (waiting.size === 0) return false;
    if (state !== undefined && waiting.has(String(new FileState(state).ino))) return true;
    for (let at = key; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
      if (waiting.has(at)) return true;
    }
    return false;
  };
}

/** The last path, when there was no room for those behind it. */
function endOf(files: CoveredFiles): string | undefined {
  if (files.leftOut === 0) return undefined;
  let last: Buffer | undefined;
  for (const { path } of files) last = path;
  return last && keyOf(last);
}

function keyOf(path: Buffer): string {
  return path.toString('latin1');
}

// Of this thread alone: who did a change is told by threads that must not wait for the CPU.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

const keeper: Handlers = new Keeper(String(workerData.file));

parentPort?.on('message', async ({ question, ask }: Request) => {
  let reply: Reply;
  try {
    const handle = keeper[question].bind(keeper) as (ask: unknown) => object | Promise<object>;
    reply = { answer: await handle(ask) };
  } catch (error) {
    reply = { error };
  }
  parentPort?.postMessage(reply);
});

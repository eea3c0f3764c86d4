/**
 * An agent with everything at hand that can go wrong with it, and openers that go on meanwhile: two that are refused,
 * two that are listed, one of a file that nobody protects. `during` says what they met.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { copyHelper } from '../children.ts';
import { Agent, type RecordLine } from '../harness.ts';
import { Scratch } from '../scratch.ts';
import { type LoadOptions, OpenLoad, together, type Waits } from './open-load.ts';

const stateBytes = '48M';
/** Of a start on a machine that is busy with other things. */
export const startMs = 120_000;

export interface LoadSiteOptions {
  readonly deadlineMs: number;
  /** Its soft and hard limit of open files. */
  readonly files?: number;
  /** That goes to a pipe that is full and that nobody reads. Its records can't be seen when it is `stdout`. */
  readonly stuck?: 'stdout' | 'stderr';
}

export class LoadSite {
  readonly scratch = new Scratch();
  readonly deadlineMs: number;
  readonly secret: string;
  readonly open: string;
  readonly state: string;
  readonly listed: string;
  denied = 0;
  #agent: Agent | undefined;
  readonly #fault: string;
  readonly #clock: string;
  readonly tells: boolean;
  #pipe = -1;

  private constructor({ deadlineMs, stuck }: LoadSiteOptions) {
    this.deadlineMs = deadlineMs;
    this.tells = stuck !== 'stdout';
    const { base } = this.scratch;
    this.secret = this.scratch.write('covered/secret');
    this.open = this.scratch.write('covered/open');
    this.listed = copyHelper('open_load', path.join(base, 'listed'));
    this.#fault = path.join(base, 'fault');
    this.#clock = path.join(base, 'clock');
    writeFileSync(this.#fault, '');
    writeFileSync(this.#clock, Buffer.alloc(4096));
    this.state = path.join(base, 'small-disk');
    mkdirSync(this.state);
    const small = ['-t', 'tmpfs', '-o', `size=${stateBytes}`, 'fileward-test', this.state];
    execFileSync('mount', small);
  }

  static async make(options: LoadSiteOptions): Promise<LoadSite> {
    const site = new LoadSite(options);
    try {
      await site.#start(options);
      return site;
    } catch (error) {
      await site.remove();
      throw error;
    }
  }

  async #start(options: LoadSiteOptions): Promise<void> {
    const { files, stuck } = options;
    const entrance = files === undefined ? [] : ['prlimit', `--nofile=${files}:${files}`];
    if (stuck !== undefined) {
      const number = stuck === 'stdout' ? 1 : 2;
      entrance.push('sh', '-c', `exec "$@" ${number}>${this.#fullPipe()}`, 'sh');
    }
    const agent = await Agent.start(this.scratch, this.configuration(), {
      entrance,
      waitForReady: false,
      lifetimeMs: 3_600_000,
      env: {
        NODE_OPTIONS: `--import=${path.join(import.meta.dirname, 'faults.ts')} --max-old-space-size=6144`,
        FILEWARD_TEST_FAULT: this.#fault,
        FILEWARD_TEST_CLOCK: this.#clock,
        LD_PRELOAD: clockLibrary(this.scratch.base),
      },
    });
    this.#agent = agent;
    if (stuck === 'stderr') await agent.record({ event: 'fileward.policy.loaded' }, startMs);
    else await agent.logged(({ msg }) => msg === 'ready', 'ready', startMs);
  }

  get agent(): Agent {
    if (this.#agent === undefined) throw new Error('no agent was started');
    return this.#agent;
  }

  configuration(more: readonly unknown[] = []): { groups: readonly unknown[] } {
    const block = (name: string, files: string, apps: readonly string[]) => ({
      name,
      path: files,
      behavior: 'block',
      operations: ['read'],
      apps,
    });
    const rules = [block('secret', this.secret, [this.listed]), ...more];
    const document = {
      state: path.join(this.state, 'fileward'),
      verdict: { deadline: `${this.deadlineMs}ms` },
      records: { window: '1s' },
      groups: [{ name: 'load', members: { host: true }, mode: 'protect', rules }],
    };
    return document;
  }

  /** Openers while `cause` runs, and what they met together. */
  async during(cause: () => Promise<unknown>): Promise<Waits> {
    const loads = await Promise.all([
      this.load({ threads: 2, pauseUs: 1000, files: { [this.secret]: 'EPERM' } }),
      this.load({ threads: 2, pauseUs: 1000, files: { [this.secret]: 'ok' }, app: this.listed }),
      this.load({ threads: 1, pauseUs: 1000, files: { [this.open]: 'ok' } }),
    ]);
    for (const load of loads) load.go();
    try {
      await cause();
    } catch (error) {
      await Promise.all(loads.map((load) => load.end()));
      throw error;
    }
    return this.counted(together(await Promise.all(loads.map((load) => load.end()))));
  }

  load(options: LoadOptions): Promise<OpenLoad> {
    return OpenLoad.start(options);
  }

  /** Remembers the refusals, each of which must be told. */
  counted(waits: Waits): Waits {
    this.denied += waits.denied;
    return waits;
  }

  /** Has the agent's JavaScript thread do something, and waits until it has. */
  async fault(what: 'loop' | 'heap' | 'descriptors' | 'warnings', amount: number): Promise<void> {
    writeFileSync(this.#fault, `${what} ${amount}`);
    this.agent.signal('SIGUSR2');
    await until(`the end of ${what}`, () => readFileSync(this.#fault, 'utf8') === 'done', 120_000);
  }

  /** Its wall clock is so far from the machine's from now on. */
  shiftClock(seconds: number): void {
    const clock = openSync(this.#clock, 'r+');
    const shift = Buffer.alloc(8);
    shift.writeBigInt64LE(BigInt(seconds) * 1_000_000_000n);
    writeSync(clock, shift);
    closeSync(clock);
  }

  /** Nobody will ever read what is in the full pipe. */
  closePipe(): void {
    closeSync(this.#pipe);
    this.#pipe = -1;
  }

  /** How many refusals its records tell, and how many records it says were lost. */
  told(): { denied: number; lost: number; overdue: number } {
    const count = (records: readonly RecordLine[]): number =>
      records.reduce((sum, { attributes }) => sum + Number(attributes['fileward.count'] ?? 1), 0);
    const query = { path: this.secret };
    return {
      denied: count(this.agent.matching({ event: 'fileward.file.denied', ...query })),
      lost: count(this.agent.matching({ event: 'fileward.record.lost' })),
      overdue: count(
        this.agent.matching({ ...query, attributes: { 'fileward.reason': 'deadline' } }),
      ),
    };
  }

  async remove(): Promise<void> {
    this.#agent?.kill();
    await this.#agent?.exited;
    if (this.#pipe >= 0) this.closePipe();
    execFileSync('umount', ['--lazy', this.state]);
    this.scratch.remove();
  }

  #fullPipe(): string {
    const pipe = path.join(this.scratch.base, 'pipe');
    execFileSync('mkfifo', [pipe]);
    this.#pipe = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
    try {
      for (;;) writeSync(this.#pipe, '\n'.repeat(4096));
    } catch {
      return pipe;
    }
  }
}

function clockLibrary(folder: string): string {
  const library = path.join(folder, 'clock_shift.so');
  const source = path.join(import.meta.dirname, '../helpers/clock_shift.c');
  if (!existsSync(library)) {
    execFileSync('gcc', ['-O1', '-Wall', '-Wextra', '-shared', '-fPIC', '-o', library, source]);
  }
  return library;
}

export async function until(what: string, isSo: () => boolean, timeoutMs = 20_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`no ${what} within ${timeoutMs} ms`);
    await sleep(10);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

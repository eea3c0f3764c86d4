/** Opens that go on while something else happens, each measured and its answer held against the right one. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { helper } from '../children.ts';

/** What test/kernel/helpers/open_load.c prints. */
export interface Waits {
  readonly opens: number;
  readonly denied: number;
  readonly wrong: number;
  /** Allowed, though they should have been refused: wrong, unless `on_deadline` said so. */
  readonly letThrough: number;
  readonly longestUs: number;
  readonly medianUs: number;
  readonly p99Us: number;
  readonly tookMs: number;
  /** `EPERM for /path`: the first wrong answer; empty without one. */
  readonly firstWrong: string;
}

export interface LoadOptions {
  /** Path to the only right answer, or `any`. */
  readonly files: Readonly<Record<string, 'ok' | 'EPERM' | 'any'>>;
  readonly threads?: number;
  /** Opens of each thread; without it until `end()`. */
  readonly times?: number;
  /** Of each thread between two opens. */
  readonly pauseUs?: number;
  /** A copy of `open_load`; put in front of it, in `entrance`, what enters another place. */
  readonly app?: string;
  readonly entrance?: readonly string[];
}

/** One process of openers. They stand ready when `start` returns and begin with `go`. */
export class OpenLoad {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #output: Promise<[string, string]>;

  private constructor(child: ChildProcessByStdio<Writable, Readable, Readable>) {
    this.#child = child;
    this.#output = Promise.all([text(child.stdout), text(child.stderr)]);
  }

  static async start(options: LoadOptions): Promise<OpenLoad> {
    const { files, threads = 1, times = 0, pauseUs = 0 } = options;
    const { app = helper('open_load'), entrance = [] } = options;
    const numbers = { threads, times, 'pause-us': pauseUs };
    const args = [
      ...Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]),
      ...Object.entries(files).map(([file, answer]) => `${file}=${answer}`),
    ];
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...entrance, app, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: 3_000_000,
      killSignal: 'SIGKILL',
    });
    child.stdin.on('error', () => {}); // it ended before us; its output says why
    const load = new OpenLoad(child);
    await Promise.race([once(child.stdout, 'data'), once(child, 'close')]);
    return load;
  }

  /** The same, and it has begun. */
  static async running(options: LoadOptions): Promise<OpenLoad> {
    const load = await OpenLoad.start(options);
    load.go();
    return load;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  go(): void {
    this.#child.stdin.write('go\n');
  }

  /** Ends it, or waits for its end where it has `times`. @throws Error when it could not say what it measured. */
  async end(): Promise<Waits> {
    this.#child.stdin.end();
    const [stdout, stderr] = await this.#output;
    const line = stdout.trimEnd().split('\n').at(-1) ?? '';
    if (!line.startsWith('{')) throw new Error(`open_load said: ${stdout} ${stderr}`);
    return JSON.parse(line);
  }
}

/** Of several loads of one time. */
export function together(all: readonly Waits[]): Waits {
  const sum = (of: (waits: Waits) => number): number => all.reduce((n, each) => n + of(each), 0);
  const most = (of: (waits: Waits) => number): number => Math.max(...all.map(of));
  return {
    opens: sum((each) => each.opens),
    denied: sum((each) => each.denied),
    wrong: sum((each) => each.wrong),
    letThrough: sum((each) => each.letThrough),
    longestUs: most((each) => each.longestUs),
    medianUs: most((each) => each.medianUs),
    p99Us: most((each) => each.p99Us),
    tookMs: most((each) => each.tookMs),
    firstWrong: all.find((each) => each.wrong > 0)?.firstWrong ?? '',
  };
}

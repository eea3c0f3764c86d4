/** A shell, in a container or wherever its command line leads, that waits for scripts: some milliseconds each. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

/** What a script wrote, standard error included, and its status. */
export interface Output {
  readonly code: number;
  readonly output: string;
}

export class WaitingShell {
  /** When the command line has ended and all that it wrote has come. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #scripts = 0;
  #text = '';
  #isOver = false;
  #look: () => void = () => {};

  private constructor(command: readonly string[], env: Readonly<Record<string, string>>) {
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', ...command], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.#child.stdin.on('error', () => {}); // it has gone
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#text += text;
        this.#look();
      });
    }
    this.ended = new Promise((resolve) => {
      this.#child.once('close', () => {
        this.#isOver = true;
        this.#look();
        resolve();
      });
    });
  }

  /** `command` must end in a shell that reads its standard input. Returns when that shell answers. */
  static async start(
    command: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<WaitingShell> {
    const shell = new WaitingShell(command, env);
    shell.#child.stdin.write('exec 2>&1; echo started\n');
    await shell.#until(/started\n/, 30_000);
    return shell;
  }

  /** Runs a script in a shell of its own, a child of this one. One at a time. */
  async run(script: string, timeoutMs = 20_000): Promise<Output> {
    this.#scripts += 1;
    const mark = `end-of-${this.#scripts}`;
    const quoted = script.replaceAll("'", `'\\''`);
    this.#child.stdin.write(`/bin/sh -c '${quoted}' </dev/null; echo "${mark}:$?"\n`);
    const [output, code] = await this.#until(new RegExp(`${mark}:(\\d+)\n`), timeoutMs);
    return { code: Number(code), output };
  }

  /** Ends its input, and with it the shell. */
  async close(): Promise<void> {
    this.#child.stdin.end();
    await this.ended;
  }

  /** Takes what was written up to `end`. @returns the text before it, and the first group of `end`. */
  #until(end: RegExp, timeoutMs: number): Promise<[string, string]> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        this.#look = () => {};
        reject(new Error(`${why}: ${this.#text}`));
      };
      const timer = setTimeout(() => fail(`no ${end} within ${timeoutMs} ms`), timeoutMs);
      this.#look = () => {
        const match = end.exec(this.#text);
        if (match === null && !this.#isOver) return;
        clearTimeout(timer);
        if (match === null) return fail('the shell ended');
        this.#look = () => {};
        const text = this.#text.slice(0, match.index);
        this.#text = this.#text.slice(match.index + match[0].length);
        resolve([text, match[1] ?? '']);
      };
      this.#look();
    });
  }
}

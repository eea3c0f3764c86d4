/** The demo's child processes: an agent whose records are read from its console, and the commands it judges. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../control/failure.ts';
import type { ShownRecord } from './record-line.ts';

const READY_MS = 20_000;
const RECORD_MS = 5_000;
/** Long enough for a record that should not come to have come. */
const QUIET_MS = 300;
const STOP_MS = 6_000;

export class DemoAgent implements AsyncDisposable {
  readonly #child: ChildProcess;
  #records: ShownRecord[] = [];
  #onRecord: () => void = () => undefined;
  readonly #log: string[] = [];

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout) {
      createInterface({ input: child.stdout }).on('line', (line) => this.#take(JSON.parse(line)));
    }
  }

  /** Resolves when every mark is placed. @throws Failure with what the agent said when it ends before. */
  static async start(config: string, exports: boolean): Promise<DemoAgent> {
    // What it shows is about the files of the demo alone.
    const own = ['--console', '--no-self-protection'];
    const args = ['run', '-c', config, ...own, ...(exports ? [] : ['--no-export'])];
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? '', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const agent = new DemoAgent(child);
    try {
      await agent.#ready();
    } catch (error) {
      await agent[Symbol.asyncDispose]();
      throw error;
    }
    return agent;
  }

  forget(): void {
    this.#records = [];
  }

  async waitFor(wanted: (record: ShownRecord) => boolean): Promise<ShownRecord | undefined> {
    const deadline = Date.now() + RECORD_MS;
    while (Date.now() < deadline) {
      const found = this.#records.find(wanted);
      if (found) return found;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadline - Date.now());
        this.#onRecord = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return undefined;
  }

  /** The first record about a file that comes within a moment, if any does. */
  async anyRecord(): Promise<ShownRecord | undefined> {
    await sleep(QUIET_MS);
    return this.#records[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const left = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
    await left;
    clearTimeout(timer);
  }

  #take(record: ShownRecord): void {
    if (!record.event.startsWith('fileward.file.')) return;
    this.#records.push(record);
    this.#onRecord();
  }

  #ready(): Promise<void> {
    const child = this.#child;
    return new Promise((resolve, reject) => {
      const fail = (why: string) =>
        reject(new Failure(3, [`the agent ${why}`, ...this.#log.slice(-5)].join('\n  ')));
      const timer = setTimeout(() => fail('was not ready in time'), READY_MS);
      child.once('exit', (code) => {
        clearTimeout(timer);
        fail(`ended with ${code}`);
      });
      if (!child.stderr) return;
      createInterface({ input: child.stderr }).on('line', (line) => {
        this.#log.push(line);
        if (!line.includes('"msg":"ready"')) return;
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

export interface Attempt {
  readonly succeeded: boolean;
  readonly output: readonly string[];
}

/** Runs a command in a folder and collects what it printed. */
export function attempt(command: readonly string[], folder: string): Promise<Attempt> {
  const [program = '', ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: folder,
      env: { ...process.env, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    child.stderr.on('data', (chunk) => {
      text += chunk;
    });
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ succeeded: code === 0, output: text.split('\n').filter((line) => line !== '') });
    });
  });
}

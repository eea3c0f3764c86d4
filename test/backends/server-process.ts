/**
 * One real server as a child process in a directory of its own: started, killed, started again with the same ports and
 * data. Owns the child and the directory; both go when the test process ends, however it ends (the child also on
 * SIGKILL of the test). Hands nobody the child: tests see `start`, `kill`, `stop` and the log.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const startMs = 60_000;
const endMs = 30_000;
const lifetimeMs = 1_800_000;
const running = new Set<ServerProcess>();
const directories = new Set<string>();

process.once('exit', () => {
  for (const server of running) server.remove();
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** Ends every server of this test process and removes its data. */
export async function stopServers(): Promise<void> {
  await Promise.all([...running].map((server) => server.kill()));
  for (const server of running) server.remove();
}

export interface ServerCommand {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Answers 200 once the server is ready. */
  readonly readyUrl: string;
  /** Done before each start. */
  readonly prepare?: () => void;
}

/** A directory in which a server keeps what it writes; removed when the test process ends, if not before. */
export function serverDirectory(name: string): string {
  const directory = mkdtempSync(`/tmp/fileward-${name}-`);
  directories.add(directory);
  return directory;
}

/** Ports that nothing listens on now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => {
            const address = server.address();
            resolve(typeof address === 'object' && address !== null ? address.port : 0);
          });
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Asks until the answer is there. @throws Error with the last complaint after `timeoutMs`. */
export async function until<Value>(
  what: string,
  ask: () => Promise<Value | undefined | false> | Value | undefined | false,
  timeoutMs = startMs,
): Promise<Value> {
  const deadline = Date.now() + timeoutMs;
  let complaint = '';
  for (;;) {
    try {
      const value = await ask();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      complaint = String(error instanceof Error ? (error.cause ?? error) : error);
    }
    if (Date.now() > deadline) throw new Error(`no ${what} within ${timeoutMs} ms; ${complaint}`);
    await sleep(100);
  }
}

export class ServerProcess {
  readonly directory: string;
  readonly #command: ServerCommand;
  #child: ChildProcess | undefined;
  #ended: Promise<number | string | null> = Promise.resolve(0);

  constructor(directory: string, command: ServerCommand) {
    this.directory = directory;
    this.#command = command;
  }

  /** Everything that it has written to its log since the first start. */
  get log(): string {
    return readFileSync(this.#logFile, 'utf8');
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts it, again too, and returns when it is ready. @throws Error with the end of its log. */
  async start(): Promise<void> {
    const { program, args, env, name, readyUrl, prepare } = this.#command;
    if (this.#child !== undefined) throw new Error(`${name} runs already`);
    prepare?.();
    const log = openSync(this.#logFile, 'a');
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], {
      cwd: this.directory,
      stdio: ['ignore', log, log],
      env: { PATH: process.env['PATH'], HOME: this.directory, ...env },
      timeout: lifetimeMs,
      killSignal: 'SIGKILL',
    });
    closeSync(log);
    this.#child = child;
    running.add(this);
    let failure = '';
    this.#ended = new Promise((resolve) => {
      child.once('error', (error) => {
        failure = String(error);
        resolve(failure);
      });
      child.once('exit', (code, signal) => {
        failure = `it ended (${code ?? signal})`;
        if (this.#child === child) this.#child = undefined;
        resolve(code ?? signal);
      });
    });
    const ready = await until(`${name} that is ready`, async () => {
      if (failure !== '') return 'failed' as const;
      return (await fetch(readyUrl)).ok && ('ready' as const);
    }).catch((error: unknown) => String(error));
    if (ready === 'ready') return;
    await this.kill();
    throw new Error(`${name} did not start: ${failure || ready}\n${this.log.slice(-4000)}`);
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#ended;
  }

  /** SIGTERM, and waits until it has ended by itself. @throws Error when it doesn't, or complains. */
  async stop(): Promise<void> {
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), endMs);
    this.#child?.kill('SIGTERM');
    const how = await this.#ended;
    clearTimeout(timer);
    if (how !== 0) throw new Error(`${this.#command.name} ended with ${how}`);
  }

  /** For the end: kills what runs and removes its data. */
  remove(): void {
    running.delete(this);
    this.#child?.kill('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }

  get #logFile(): string {
    return path.join(this.directory, 'log');
  }
}

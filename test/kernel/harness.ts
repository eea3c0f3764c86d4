/**
 * The agent as users run it, for black-box tests: `fileward run --console --no-export` as a child process, its records
 * as they come, and an end for everything that a failing test would leave behind.
 *
 * With `Scratch` of scratch.ts and `openInChild` of children.ts:
 *   const scratch = new Scratch();
 *   const agent = await Agent.start(scratch, { groups: [...] });
 *   assert.equal(await openInChild(scratch.path('secret'), 'O_RDONLY'), 'EPERM');
 *   const record = await agent.record({ event: 'fileward.file.denied', path: scratch.path('secret') });
 *   await agent.stop();
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import type { Scratch } from './scratch.ts';

const root = path.resolve(import.meta.dirname, '../..');
/** How many times slower than others this machine is, where that is known beforehand: an emulated one. */
const slowness = Number(process.env['FILEWARD_TEST_SLOWNESS'] ?? 1);
const waitMs = 20_000 * slowness;

/** One line of `run --console`, contract section 5. */
export interface RecordLine {
  readonly time: string;
  readonly event: string;
  readonly severity: number;
  readonly body: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
}

/** What a record must have; a plain value must be equal, a function must say yes. */
export interface RecordQuery {
  readonly event?: string;
  readonly path?: string;
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly resource?: Readonly<Record<string, unknown>>;
}

export interface LogLine {
  readonly msg?: string;
  readonly level?: unknown;
  readonly [key: string]: unknown;
}

/** The document as an object; `version`, `policy_version`, `state` and the settle group are added. */
export type TestConfiguration = Readonly<Record<string, unknown>> & {
  readonly groups?: readonly unknown[];
};

export interface AgentOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** True: it also exports, as its configuration says. */
  readonly exports?: boolean;
  /** True: it guards its own files as well; see `commandLine`. */
  readonly protectsItself?: boolean;
  /** False: returns without waiting for `ready`. */
  readonly waitForReady?: boolean;
  readonly lifetimeMs?: number;
  /** Put in front of its command: enters another root, see debian-root.ts. */
  readonly entrance?: readonly string[];
}

export interface AgentExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Runs the command line of this checkout with Node itself: `node src/main.ts ...`. An agent leaves its own files unguarded,
 * unless it is told otherwise: here they are those that somebody works on, and builds while a test runs.
 */
export function commandLine(
  [command = '', ...args]: readonly string[],
  protectsItself = false,
): [string, string[]] {
  const main = process.env['FILEWARD_TEST_MAIN'] ?? path.join(root, 'src/main.ts');
  const open = command === 'run' && !protectsItself ? ['--no-self-protection'] : [];
  const line = ['--disable-warning=ExperimentalWarning', main, command, ...open, ...args];
  return [process.execPath, line];
}

function matches(record: RecordLine, query: RecordQuery): boolean {
  const { event, path: file, attributes = {}, resource = {} } = query;
  if (event !== undefined && record.event !== event) return false;
  if (file !== undefined && record.attributes['file.path'] !== file) return false;
  return holds(attributes, record.attributes) && holds(resource, record.resource);
}

function holds(
  wanted: Readonly<Record<string, unknown>>,
  values: Readonly<Record<string, unknown>>,
): boolean {
  return Object.entries(wanted).every(([name, value]) =>
    typeof value === 'function' ? value(values[name]) : values[name] === value,
  );
}

export class Agent {
  readonly records: RecordLine[] = [];
  readonly log: LogLine[] = [];
  readonly configurationFile: string;
  readonly exited: Promise<AgentExit>;
  readonly #scratch: Scratch;
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #waiting = new Set<() => void>();
  #exit: AgentExit | undefined;
  #stderr = '';
  #settled = 0;
  #reconfigured = 0;

  private constructor(scratch: Scratch, file: string, options: AgentOptions) {
    const { env = {}, lifetimeMs = 300_000 * slowness, entrance = [] } = options;
    const args = [...(options.args ?? [])];
    this.#scratch = scratch;
    this.configurationFile = file;
    if (options.exports !== true) args.unshift('--no-export');
    const line = ['run', '-c', file, '--console', ...args];
    const [node, command] = commandLine(line, options.protectsItself);
    // Never outlives this process, and has an end of its own besides.
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', ...entrance, node, ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', ...env },
      timeout: lifetimeMs,
      killSignal: 'SIGKILL',
    });
    this.exited = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (code, signal) => {
        this.#exit = { code, signal };
        this.#changed();
        resolve(this.#exit);
      });
    });
    // What SIGKILL cuts short is no record.
    eachLine(this.#child.stdout, 'whole', (line) => {
      this.records.push(JSON.parse(line));
      this.#changed();
    });
    eachLine(this.#child.stderr, 'all', (line) => {
      this.#stderr += `${line}\n`;
      this.log.push(line.startsWith('{') ? JSON.parse(line) : { msg: line });
      this.#changed();
    });
    const killIt = (): void => this.kill();
    process.once('exit', killIt);
    this.#child.once('close', () => process.off('exit', killIt));
  }

  /** Starts the agent with a configuration (an object, or YAML text as it stands) and waits until it is ready. */
  static async start(
    scratch: Scratch,
    configuration: TestConfiguration | string,
    options: AgentOptions = {},
  ): Promise<Agent> {
    const file = path.join(scratch.base, 'fileward.config.yaml');
    writeConfiguration(scratch, file, configuration, 'first');
    const agent = new Agent(scratch, file, options);
    if (options.waitForReady === false) return agent;
    try {
      await agent.logged((line) => line.msg === 'ready', 'ready');
      return agent;
    } catch (error) {
      agent.kill();
      throw error;
    }
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error('the agent did not start');
    return pid;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** All records until now that match. */
  matching(query: RecordQuery): RecordLine[] {
    return this.records.filter((record) => matches(record, query));
  }

  /** Waits for the first record that matches, among those that came already too. */
  record(query: RecordQuery, timeoutMs = waitMs): Promise<RecordLine> {
    return this.#until(() => this.matching(query)[0], JSON.stringify(query), timeoutMs);
  }

  logged(
    predicate: (line: LogLine) => boolean,
    what: string,
    timeoutMs = waitMs,
  ): Promise<LogLine> {
    return this.#until(() => this.log.find(predicate), `log line: ${what}`, timeoutMs);
  }

  /**
   * Returns when what happened before the call has had its records: makes a violation and a change of its own, which
   * go the same ways, and waits for theirs. Twice, since a file that is being hashed may let the next one pass.
   * For saying that something was not reported; where that must be certain, `stop()` flushes everything.
   * Only with a configuration that was given as an object.
   */
  async settle(): Promise<void> {
    for (let round = 0; round < 2; round++) {
      this.#settled += 1;
      const file = path.join(settleFolder(this.#scratch), `${process.pid}-${this.#settled}`);
      const content = `${this.#settled}\n`;
      writeFileSync(file, content);
      readFileSync(file);
      await this.record({
        event: 'fileward.file.violated',
        path: file,
        attributes: { 'fileward.operation': 'read' },
      });
      // It waits for a hash, as the changes before it did; told with the `create` or with a `write` of its own.
      const sha256 = createHash('sha256').update(content).digest('hex');
      await this.record({ path: file, attributes: { 'fileward.file.sha256': sha256 } });
    }
  }

  /** Puts another configuration in place of the present one and waits until it is applied or refused. */
  async reconfigure(configuration: TestConfiguration | string): Promise<RecordLine> {
    this.#reconfigured += 1;
    const version = `reconfigured-${this.#reconfigured}`;
    const began = this.records.length;
    writeConfiguration(this.#scratch, this.configurationFile, configuration, version);
    this.signal('SIGHUP');
    const isAnswer = ({ event, attributes }: RecordLine): boolean =>
      event === 'fileward.policy.rejected' ||
      // The agent also sees the file change and may load it twice: an answer to the one before isn't ours.
      (event === 'fileward.policy.loaded' &&
        (typeof configuration === 'string' || attributes['security_rule.version'] === version));
    return await this.#until(
      () => this.records.slice(began).find(isAnswer),
      'the answer to a reload',
      waitMs,
    );
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends the agent and waits for it. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<AgentExit> {
    if (this.#exit === undefined) this.signal(signal);
    const exit = await this.#until(() => this.#exit, `its end after ${signal}`, waitMs);
    return exit;
  }

  kill(): void {
    if (this.#exit === undefined) this.#child.kill('SIGKILL');
  }

  #changed(): void {
    for (const check of this.#waiting) check();
  }

  #until<Value>(look: () => Value | undefined, what: string, timeoutMs: number): Promise<Value> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(check);
      };
      const check = (): void => {
        const value = look();
        if (value !== undefined) {
          end();
          resolve(value);
        } else if (this.#exit !== undefined) {
          end();
          reject(this.#failure(`the agent ended (${JSON.stringify(this.#exit)}) before ${what}`));
        }
      };
      const timer = setTimeout(() => {
        end();
        reject(this.#failure(`no ${what} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#waiting.add(check);
      check();
    });
  }

  #failure(message: string): Error {
    const lately = this.records
      .slice(-20)
      .map(({ event, body, attributes }) => `  ${event}: ${body} ${JSON.stringify(attributes)}`);
    return new Error(
      [`${message}; records:`, ...lately, 'log:', this.#stderr.slice(-4000)].join('\n'),
    );
  }
}

function settleFolder(scratch: Scratch): string {
  return scratch.path('.settle');
}

/** By a rename, so that the agent never reads half of it. */
function writeConfiguration(
  scratch: Scratch,
  file: string,
  configuration: TestConfiguration | string,
  version: string,
): void {
  const text =
    typeof configuration === 'string'
      ? configuration
      : documentText(scratch, configuration, version);
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

function documentText(scratch: Scratch, configuration: TestConfiguration, version: string): string {
  mkdirSync(settleFolder(scratch), { recursive: true });
  const settle = {
    name: 'settle',
    members: { host: true },
    mode: 'monitor',
    rules: [
      {
        name: 'settle',
        path: path.join(settleFolder(scratch), '*'),
        behavior: 'block',
        operations: ['read', 'write'],
        apps: [],
      },
    ],
  };
  const document = {
    version: 1,
    policy_version: version,
    state: path.join(scratch.base, 'state'),
    ...(slowness > 1 && { verdict: { deadline: `${100 * slowness}ms` } }),
    ...configuration,
    groups: [...(configuration.groups ?? []), settle],
  };
  return JSON.stringify(document, null, 2); // JSON is YAML
}

function eachLine(stream: Readable, which: 'whole' | 'all', take: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') take(line);
  });
  stream.on('end', () => {
    if (rest !== '' && which === 'all') take(rest);
  });
}

/** What tests of the guardian share: rules whose answers differ, ways to stop an agent, and an end for what they leave. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StatusResult } from '../../src/control/protocol.ts';
import { copyHelper, helper, openInChild, run } from './children.ts';
import { Agent, type AgentOptions, commandLine } from './harness.ts';
import { Scratch } from './scratch.ts';

const GUARDIAN = path.resolve(import.meta.dirname, '../../build/Release/fileward_guardian');

/** Polls until there is something. @throws Error after 20 s */
export async function eventually<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  for (const end = Date.now() + 20_000; ; await sleep(20)) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`not within 20 s: ${what}`);
  }
}

/** True when it does not run any more. */
export function hasEnded(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}

/** Files and rules, an agent that has them, and what it should answer with and without being there. */
export class GuardedSite {
  readonly scratch = new Scratch();
  /** Reading is for one app only, and `on_deadline: deny`. */
  readonly sealed = this.scratch.write('sealed/file');
  /** The same with `on_deadline: allow`. */
  readonly lenient = this.scratch.write('lenient/file');
  /** Only writing is covered, `on_deadline: deny`. */
  readonly program = this.scratch.write('program/file');
  /** Covered by nothing, beside a sealed file. */
  readonly neighbour = this.scratch.write('sealed/neighbour');
  readonly listed = copyHelper('opener', path.join(this.scratch.base, 'listed'));
  readonly state = path.join(this.scratch.base, 'state');
  readonly #guardians = new Set<number>();
  #agent: Agent | undefined;

  async start(
    options: AgentOptions = {},
    configuration: object = this.configuration(),
  ): Promise<Agent> {
    this.#agent = await Agent.start(this.scratch, { ...configuration }, options);
    return this.#agent;
  }

  /** @param keeps - false: every rule says `on_deadline: allow` */
  configuration(keeps = true, deadline = '500ms') {
    const rule = (name: string, file: string, given: object) => ({
      name,
      path: file,
      behavior: 'block',
      operations: ['read', 'write'],
      apps: [this.listed],
      ...given,
    });
    const onDeadline = { on_deadline: keeps ? 'deny' : 'allow' };
    const rules = [
      rule('sealed', this.sealed, onDeadline),
      rule('lenient', this.lenient, {}),
      rule('program', this.program, { ...onDeadline, operations: ['write'] }),
    ];
    return {
      verdict: { deadline },
      groups: [{ name: 'host', members: { host: true }, mode: 'protect', rules }],
    };
  }

  async status(): Promise<StatusResult> {
    const [node, command] = commandLine(['status', '--json', '--state', this.state]);
    const { stdout, stderr } = await run(node, command);
    assert.notEqual(stdout, '', stderr);
    return JSON.parse(stdout);
  }

  /** Pid of the guardian that stands now. */
  async guardian(): Promise<number> {
    const pid = await eventually('a guardian', async () => {
      const { guardian } = await this.status();
      return guardian.pid || undefined;
    });
    this.#guardians.add(pid);
    return pid;
  }

  /** Opens everything by everybody at once. @returns the answers, one a line */
  async answers(): Promise<string[]> {
    const asked: [string, string, string, string?][] = [
      ['sealed, listed, read', this.sealed, 'O_RDONLY', this.listed],
      ['sealed, not listed, read', this.sealed, 'O_RDONLY'],
      ['lenient, not listed, read', this.lenient, 'O_RDONLY'],
      ['lenient, not listed, write', this.lenient, 'O_WRONLY'],
      ['program, not listed, write', this.program, 'O_WRONLY'],
      ['neighbour, not listed, write', this.neighbour, 'O_WRONLY'],
    ];
    return await Promise.all(
      asked.map(async ([what, file, flags, app = helper('opener')]) => {
        return `${what}: ${await openInChild(file, flags, { app })}`;
      }),
    );
  }

  /** Waits until the answers are these. */
  async answersAre(expected: readonly string[]): Promise<void> {
    let last: readonly string[] = [];
    await eventually('these answers', async () => {
      last = await this.answers();
      return last.join() === expected.join() || undefined;
    }).catch(() => {
      const told = this.#agent?.records.slice(-12).map((record) => JSON.stringify(record)) ?? [];
      assert.fail(`not ${expected.join(', ')}\nbut ${last.join(', ')}\n${told.join('\n')}`);
    });
  }

  /** Ends what a killed agent left, and holds that nothing runs on. */
  async remove(agent: Agent | undefined): Promise<void> {
    agent?.signal('SIGCONT');
    agent?.kill();
    await agent?.exited;
    const socket = path.join(this.state, 'guardian.sock');
    // Those that keep nothing end by themselves; one that keeps has a socket soon.
    for (const pid of new Set([...this.#guardians, ...guardiansOf(this.state)])) {
      if (isGuardian(pid)) process.kill(pid, 'SIGCONT');
      await eventually(`the end of the guardian ${pid}`, async () => {
        if (hasEnded(pid)) return true;
        if (existsSync(socket)) await tell(socket, 'end').catch(() => undefined);
        return undefined;
      }).catch((error: unknown) => {
        if (isGuardian(pid)) process.kill(pid, 'SIGKILL');
        throw error;
      });
    }
    const left = guardiansOf(this.state);
    for (const pid of left) process.kill(pid, 'SIGKILL');
    this.scratch.remove();
    assert.deepEqual(left, [], 'guardians are left');
  }
}

/** When the agent decides. */
export const decided = [
  'sealed, listed, read: ok',
  'sealed, not listed, read: EPERM',
  'lenient, not listed, read: EPERM',
  'lenient, not listed, write: EPERM',
  'program, not listed, write: EPERM',
  'neighbour, not listed, write: ok',
];

/** When nobody judges, and `on_deadline` answers. */
export const byDeadline = [
  'sealed, listed, read: EPERM',
  'sealed, not listed, read: EPERM',
  'lenient, not listed, read: ok',
  'lenient, not listed, write: ok',
  'program, not listed, write: EPERM',
  'neighbour, not listed, write: ok',
];

/** When there is no group any more. */
export const released = decided.map((line) => line.replace('EPERM', 'ok'));

/** Says something to a guardian that keeps, and what it answers. */
export async function tell(socket: string, line: string): Promise<string> {
  const connection = createConnection(socket);
  connection.setTimeout(2000, () => connection.destroy(new Error('no answer')));
  connection.write(`${line}\n`);
  return await text(connection);
}

function isGuardian(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`).startsWith(GUARDIAN);
  } catch {
    return false;
  }
}

/** Guardians and their canaries that belong to an agent with this state directory, which is in their arguments. */
function guardiansOf(state: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && isGuardian(pid))
    .filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(state));
}

/** A helper of helpers/ that holds threads until it is let go. */
export class Hold implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async begin(name: 'hold' | 'slow', ...args: readonly string[]): Promise<Hold> {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', helper(name), ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
      timeout: 60_000,
      killSignal: 'SIGKILL',
    });
    await Promise.race([
      once(child.stdout, 'data'),
      once(child, 'close').then(() => assert.fail(`${name} ended`)),
    ]);
    return new Hold(child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.stdin?.end();
    await closed;
  }
}

/** Threads of a process, all or by name. */
export function threadsOf(pid: number, name?: string): string[] {
  return readdirSync(`/proc/${pid}/task`).filter(
    (tid) =>
      name === undefined || readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').trim() === name,
  );
}

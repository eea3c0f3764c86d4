/**
 * The guardian that an earlier agent left behind: where a rule says `on_deadline: deny` it goes on answering for an agent
 * that has died, until its successor, ready by now, tells it to end. It listens in the state directory, whose lock is
 * held; there is one at most.
 */
import { rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { codeOf } from './failure.ts';

/** It answers at once unless somebody stopped it. */
const ANSWER_MS = 2000;
const PATIENCE_MS = 10_000;

const count = z.coerce.number().int().min(0);
const legacySchema = z.object({
  agent: z.number().int(),
  since_ns: z.coerce.bigint(),
  allowed: count,
  denied: count,
});

/** What was answered for an agent that had died. */
export interface Legacy {
  /** Pid of that agent. */
  readonly agent: number;
  /** Since when, ns since the epoch. */
  readonly sinceNs: bigint;
  readonly allowed: number;
  readonly denied: number;
}

/** Where the guardian of the agent with this state directory listens once the agent has died. */
export function guardianSocket(state: string): string {
  return join(state, 'guardian.sock');
}

export interface OtherEnd {
  /** Who listens at the other end of a connection. */
  readonly pidOf: (connection: Socket) => number;
  readonly kill: (pid: number) => void;
}

/**
 * Kills it when it no longer answers: whoever opens what it covers waits for good, and this process may be the next. For
 * the start, before any file of the state directory is opened.
 */
export async function killHung(socket: string, other: OtherEnd): Promise<void> {
  await ask(socket, 'look', other);
}

/** Ends it, for this agent decides now. @returns what it had done; undefined: there was none */
export async function takeOver(socket: string, other: OtherEnd): Promise<Legacy | undefined> {
  const line = await ask(socket, 'end', other);
  rmSync(socket, { force: true });
  if (line === undefined) return undefined;
  const { agent, since_ns, allowed, denied } = legacySchema.parse(JSON.parse(line));
  return { agent, sinceNs: since_ns, allowed, denied };
}

/** @returns its line; undefined: nobody listens there, or somebody who had to be killed */
async function ask(path: string, command: string, other: OtherEnd): Promise<string | undefined> {
  let pid: number | undefined;
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; ) {
    const socket = createConnection(path, () => (pid = other.pidOf(socket)));
    let isSilent = false;
    const timer = setTimeout(() => {
      isSilent = true;
      socket.destroy();
    }, ANSWER_MS);
    try {
      socket.write(`${command}\n`);
      const line = await text(socket);
      if (line !== '') return line;
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ECONNREFUSED') return undefined;
    } finally {
      clearTimeout(timer);
    }
    if (isSilent) break;
    // It waits for a word for a moment only, and this process may have been too slow: once more.
    await sleep(50);
  }
  if (pid !== undefined) other.kill(pid);
  return undefined;
}

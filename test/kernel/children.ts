/** Child processes of kernel tests, each with an end: openers that would wait for ever are killed. */
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';

/** As in harness.ts. */
const slowness = Number(process.env['FILEWARD_TEST_SLOWNESS'] ?? 1);

export interface ChildResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ChildOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly timeoutMs?: number;
}

/** Runs a program to its end. @throws Error when it had to be killed after `timeoutMs` (20 s). */
export function run(
  program: string,
  args: readonly string[] = [],
  options: ChildOptions = {},
): Promise<ChildResult> {
  const { input = '', timeoutMs: limitMs = 20_000, env, ...rest } = options;
  const timeoutMs = limitMs * slowness;
  return new Promise((resolve, reject) => {
    // Dies with this process, whatever kills it.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], {
      ...rest,
      ...(env !== undefined && { env: { ...process.env, ...env } }),
    });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${program} ${args.join(' ')} did not end within ${timeoutMs} ms`));
    }, timeoutMs);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    child.stdin.on('error', () => {}); // it may end without reading
    child.stdin.end(input);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

export function shell(script: string, options: ChildOptions = {}): Promise<ChildResult> {
  return run('/bin/sh', ['-c', script], options);
}

let programs: string | undefined;

/** Path of test/kernel/helpers/NAME.c, compiled statically once per test process, where no rule covers it. */
export function helper(name: string): string {
  const ready = process.env['FILEWARD_TEST_HELPERS']; // of a machine without a compiler
  if (ready !== undefined) return path.join(ready, name);
  if (programs === undefined) {
    const folder = mkdtempSync('/tmp/fileward-helpers-');
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    programs = folder;
  }
  const program = path.join(programs, name);
  const source = path.join(import.meta.dirname, 'helpers', `${name}.c`);
  const flags = ['-O1', '-Wall', '-Wextra', '-Werror', '-static', '-pthread'];
  if (!compiled.has(name)) execFileSync('gcc', [...flags, '-o', program, source]);
  compiled.add(name);
  return program;
}
const compiled = new Set<string>();

/** A copy of a helper under another path: an app with an identity of its own. */
export function copyHelper(name: string, file: string): string {
  copyFileSync(helper(name), file);
  return file;
}

/** How an opener opens: see test/kernel/helpers/opener.c. */
export interface OpenOptions extends ChildOptions {
  /** The program to run, a copy of `opener`. */
  readonly app?: string;
  readonly call?: 'open' | 'openat' | 'openat2' | 'creat' | 'io_uring' | 'int80' | 'path_reopen';
  /** Another thread is alive while it opens. */
  readonly threaded?: boolean;
  /** This text is written once it is open. */
  readonly write?: string;
  /** Opens and closes so many times; the first failure counts. */
  readonly times?: number;
}

/**
 * Opens `file` in a child with the given flags, e.g. `O_RDWR|O_TRUNC`, and reads or writes a little.
 * @returns `ok`, or the name of the error: `EPERM` when fileward denied it.
 */
export async function openInChild(
  file: string,
  flags: string,
  options: OpenOptions = {},
): Promise<string> {
  const { app = helper('opener'), call = 'openat', threaded, write, times, ...rest } = options;
  const args = [call, flags, file];
  if (threaded === true) args.push('--threaded');
  if (write !== undefined) args.push('--write', write);
  if (times !== undefined) args.push('--times', String(times));
  const { stdout, stderr, code, signal } = await run(app, args, rest);
  if (stdout === '') throw new Error(`opener said nothing: ${stderr} (${code ?? signal})`);
  return stdout.trim();
}

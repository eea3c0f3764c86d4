/**
 * Where running agents are found. Each one has its socket in its own state directory and registers in `/run/fileward`
 * (one file, named by its pid); a command asks the one that `-c` or `--state` names, else the only one that runs.
 * `$FILEWARD_SOCKET` goes before all of that, on both sides.
 */
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { codeOf, Failure } from './failure.ts';
import type { Registration } from './protocol.ts';

const FOLDER = '/run/fileward';

/** The socket that an agent with this state directory listens on. */
export function socketPath(state: string, env: NodeJS.ProcessEnv): string {
  return env['FILEWARD_SOCKET'] || join(state, 'fileward.sock');
}

/** Writes this agent's registration; the returned function takes it back. */
export function register(registration: Registration): () => void {
  const file = join(FOLDER, `${registration.pid}.json`);
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(FOLDER)) {
    if (readRegistration(join(FOLDER, name)) === null) rmSync(join(FOLDER, name), { force: true });
  }
  writeFileSync(file, `${JSON.stringify(registration)}\n`, { mode: 0o600 });
  return () => rmSync(file, { force: true });
}

export interface AgentChoice {
  readonly config?: string | undefined;
  readonly state?: string | undefined;
}

/**
 * The socket of the agent that is meant.
 * @throws Failure 3 when none runs, 2 when several do and none was named.
 */
export function findAgent(choice: AgentChoice, env: NodeJS.ProcessEnv): string {
  if (choice.state !== undefined) return join(choice.state, 'fileward.sock');
  if (env['FILEWARD_SOCKET']) return env['FILEWARD_SOCKET'];
  const running = registrations();
  const config = choice.config ?? env['FILEWARD_CONFIG'];
  if (config) {
    const file = realPath(config);
    const found = running.find((agent) => agent.config === file);
    if (found) return found.socket;
    throw new Failure(3, `no agent runs with ${config}; start one with: fileward run -c ${config}`);
  }
  const [first, ...others] = running;
  if (!first) throw new Failure(3, 'no agent is running; start one with: fileward run');
  if (others.length === 0) return first.socket;
  const installed = running.filter((agent) => agent.config.startsWith('/etc/fileward/'));
  if (installed.length === 1 && installed[0]) return installed[0].socket;
  const list = running.map((agent) => `  -c ${agent.config}  (pid ${agent.pid})`).join('\n');
  throw new Failure(2, `${running.length} agents are running, say which one:\n${list}`);
}

function registrations(): Registration[] {
  let names: string[];
  try {
    names = readdirSync(FOLDER);
  } catch (error) {
    if (codeOf(error) === 'EACCES') throw new Failure(3, 'only root may ask the agent; try sudo');
    return [];
  }
  const found: Registration[] = [];
  for (const name of names) {
    const registration = readRegistration(join(FOLDER, name));
    if (registration) found.push(registration);
  }
  return found.sort((a, b) => a.started.localeCompare(b.started));
}

/** Null for what a killed agent left behind: its process is gone or its socket is. */
function readRegistration(file: string): Registration | null {
  try {
    const registration: Registration = JSON.parse(readFileSync(file, 'utf8'));
    statSync(`/proc/${registration.pid}`);
    statSync(registration.socket);
    return registration;
  } catch {
    return null;
  }
}

/** The path with every symlink followed, or as it is when it isn't there. */
export function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

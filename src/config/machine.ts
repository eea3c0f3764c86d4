/** What the checks ask this machine; with `--offline` nothing is there to ask. */
import {
  closeSync,
  constants,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { basename } from 'node:path';

export interface Machine {
  exists(path: string): boolean;
  isFolder(path: string): boolean;
  /** The first line after `#!`, trimmed; undefined when the file is no script or can't be read. */
  interpreterLine(path: string): string | undefined;
  /** The path with its links followed; itself when it is absent. */
  real(path: string): string;
  /** Names of /etc/passwd; undefined when that is not known. */
  readonly users: ReadonlySet<string> | undefined;
}

const longestLine = 256;

/** This machine as it is now. */
export function thisMachine(): Machine {
  return {
    exists: (path) => status(path) !== undefined,
    isFolder: (path) => status(path)?.isDirectory() ?? false,
    interpreterLine,
    real,
    users: readUsers(),
  };
}

export const offline: Machine = {
  exists: () => false,
  isFolder: () => false,
  interpreterLine: () => undefined,
  real: (path) => path,
  users: undefined,
};

function status(path: string) {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function interpreterLine(path: string): string | undefined {
  if (!status(path)?.isFile()) return undefined;
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    const head = Buffer.alloc(longestLine);
    const line = head.toString('latin1', 0, readSync(fd, head)).split('\n', 1)[0] ?? '';
    return line.startsWith('#!') ? line.slice(2).trim() : undefined;
  } finally {
    closeSync(fd);
  }
}

function readUsers(): ReadonlySet<string> | undefined {
  try {
    const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
    return new Set(lines.map((line) => line.split(':', 1)[0] ?? '').filter((name) => name !== ''));
  } catch {
    return undefined;
  }
}

const searchPath = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/sbin', '/sbin'];

/** The interpreter that a `#!` line starts, `env` looked through. */
export function interpreterOf(line: string, machine: Machine): string {
  const [program = '', ...rest] = line.split(/\s+/);
  if (basename(program) !== 'env') return program;
  const name = rest.find((word) => !word.startsWith('-') && !word.includes('=')) ?? program;
  if (name.startsWith('/')) return name;
  return searchPath.map((folder) => `${folder}/${name}`).find(machine.exists) ?? `/usr/bin/${name}`;
}

const interpreters =
  /^(python[\d.]*|perl[\d.]*|ruby[\d.]*|node|nodejs|deno|bun|php[\d.]*|lua[\d.]*|tclsh[\d.]*|java|dotnet|mono|guile|Rscript|osascript|awk|gawk|mawk|nawk|sh|bash|dash|ash|zsh|ksh[\d.]*|mksh|fish|csh|tcsh|rbash|pwsh|expect|emacs|ld-linux[\w.-]*|ld-musl[\w.-]*)$/;
const multicalls =
  /^(busybox[\w.-]*|toybox|coreutils|sbase-box|hexdump-multicall|systemd-multicall)$/;

/** A file with more names than that is one program under each of them, as busybox and git install themselves. */
const mostNames = 10;

/** Programs that are many programs: whoever is listed as one of them is everything that it runs. */
export function appKind(path: string, machine: Machine): 'binary' | 'interpreter' | 'multicall' {
  const names = [basename(path), basename(machine.real(path))];
  if (names.some((name) => multicalls.test(name))) return 'multicall';
  const plain = names.map((name) => name.replace(/[*?]+$/, ''));
  return [...names, ...plain].some((name) => interpreters.test(name)) ? 'interpreter' : 'binary';
}

/** Of a running executable, whose path has no links, by the number of names that its file has. */
export function runningAppKind(path: string, names: number): ReturnType<typeof appKind> {
  const kind = appKind(path, offline);
  return kind === 'binary' && names > mostNames ? 'multicall' : kind;
}

/**
 * The folder that `state` names: mode 0700, one agent at a time, small JSON files that are written whole or not at all.
 */
import {
  chmodSync,
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { ZodType } from 'zod';
import { codeOf, Failure, messageOf } from './failure.ts';

const LOCK_FILE = 'agent.lock';

export class StateDirectory {
  readonly path: string;
  readonly #onBroken: (file: string, error: unknown) => void;

  /**
   * Makes the folder if it is absent and takes its lock until this process ends.
   * @param lockFile - flock on a file, as the native addon offers it
   * @param onBroken - told of a file that holds something else than it should; it is set aside
   * @throws Failure 3 when it can't be used or another agent holds it.
   */
  constructor(
    path: string,
    lockFile: (path: string) => boolean,
    onBroken: (file: string, error: unknown) => void = () => undefined,
  ) {
    this.path = path;
    this.#onBroken = onBroken;
    let locked: boolean;
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      this.#tighten();
      locked = lockFile(join(path, LOCK_FILE));
    } catch (error) {
      if (error instanceof Failure) throw error;
      throw new Failure(3, `cannot use the state directory ${path}: ${messageOf(error)}`);
    }
    if (!locked) {
      throw new Failure(
        3,
        `another fileward agent is running with the state directory ${path}; ` +
          'see it with: fileward status',
      );
    }
    this.#closeFiles();
  }

  /** Undefined when the file is absent or broken: what it held is forgotten then, the agent starts all the same. */
  read<T>(name: string, schema: ZodType<T>): T | undefined {
    const file = join(this.path, name);
    try {
      return schema.parse(JSON.parse(readFileSync(file, 'utf8')));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      this.#onBroken(file, error);
      renameSync(file, `${file}.broken`);
      return undefined;
    }
  }

  /** Replaces the file atomically; after a crash it holds the old or the new value. */
  write(name: string, value: unknown): void {
    const file = join(this.path, name);
    const fd = openSync(`${file}.new`, 'w', 0o600);
    try {
      writeFileSync(fd, `${JSON.stringify(value, null, 1)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${file}.new`, file);
  }

  /** A folder of ours that is too open is closed; one that holds other things, or is somebody else's, is refused. */
  #tighten(): void {
    const { mode, uid } = statSync(this.path);
    if (uid !== 0 && uid !== process.geteuid?.()) {
      const message = `the state directory ${this.path} is owned by uid ${uid}, not by root`;
      throw new Failure(2, `${message}; give it to root, or name another one under "state"`);
    }
    if ((mode & 0o077) === 0) return;
    const names = readdirSync(this.path);
    if (names.length > 0 && !names.includes(LOCK_FILE)) {
      throw new Failure(
        2,
        `the state directory ${this.path} holds files that are not fileward's and others may enter it; ` +
          'name a folder of its own under "state"',
      );
    }
    chmodSync(this.path, 0o700);
  }

  /** Files that a backup brought here, or another umask made. */
  #closeFiles(): void {
    for (const name of readdirSync(this.path)) closeFile(join(this.path, name));
  }
}

function closeFile(file: string): void {
  const status = lstatSync(file);
  if (status.isFile() && (status.mode & 0o177) !== 0) chmodSync(file, 0o600);
}

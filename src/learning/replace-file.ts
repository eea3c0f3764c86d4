/** Writes a configuration file as a whole or not at all. */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** It must not be written, or can't be: why. */
export class NotWritable extends Error {}

/** @throws NotWritable when what is written there would not stay. */
export function checkReplaceable(file: string): void {
  const target = realpathSync(file);
  // A kubelet writes each version of a ConfigMap into a folder of its own, `..2026_11_21…`, and removes the others.
  if (target.split('/').some((name) => /^\.\.[^.]/.test(name))) {
    throw new NotWritable('it comes from a ConfigMap or Secret: change that');
  }
}

/**
 * Where a link leads the file it means is replaced, with its mode and owner.
 * @param before - what it held when the change was made
 * @throws NotWritable when it holds something else now; Error of the system when it can't be written
 */
export function replaceFile(file: string, before: string, after: string): void {
  checkReplaceable(file);
  const target = realpathSync(file);
  const { mode, uid, gid } = statSync(target);
  const made = join(dirname(target), `.${basename(target)}.${process.pid}.new`);
  const fd = openSync(made, 'wx', 0o600);
  try {
    try {
      fchownSync(fd, uid, gid);
      fchmodSync(fd, mode & 0o7777);
      writeFileSync(fd, after);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (readFileSync(target, 'utf8') !== before) {
      throw new NotWritable('it was changed meanwhile; do it again');
    }
    renameSync(made, target);
  } catch (error) {
    rmSync(made, { force: true });
    throw error;
  }
  const folder = openSync(dirname(target), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

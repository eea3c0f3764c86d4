/**
 * A place on disk for one kernel test: a file system of its own under /tmp, so that no permission mark ever lands on
 * anything the machine runs on. Unmounted and removed when the test process ends, however it ends short of SIGKILL.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const open = new Set<Scratch>();

process.once('exit', () => {
  for (const scratch of open) scratch.remove();
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => process.exit(1));
}

export class Scratch {
  /** What the test fills and rules cover: the root of the file system. */
  readonly files: string;
  /** Beside it, covered by nothing: configuration, state, programs. */
  readonly base: string;

  constructor(filesystem: 'tmpfs' | 'ext4' = 'tmpfs') {
    this.base = mkdtempSync('/tmp/fileward-test-');
    this.files = path.join(this.base, 'files');
    mkdirSync(this.files);
    chmodSync(this.base, 0o755);
    open.add(this);
    if (filesystem === 'tmpfs') {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'fileward-test', this.files]);
    } else {
      const image = path.join(this.base, 'image');
      execFileSync('truncate', ['-s', '64M', image]);
      execFileSync('mkfs.ext4', ['-q', '-F', image]);
      execFileSync('mount', ['-o', 'loop', image, this.files]);
    }
  }

  /** A path in `files`. */
  path(...names: string[]): string {
    return path.join(this.files, ...names);
  }

  /** Writes a file in `files` with the folders above it, and returns its path. */
  write(name: string, content = `${name}\n`, mode = 0o644): string {
    const file = this.path(name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content);
    chmodSync(file, mode);
    return file;
  }

  directory(name: string): string {
    const directory = this.path(name);
    mkdirSync(directory, { recursive: true });
    return directory;
  }

  remove(): void {
    if (!open.delete(this)) return;
    // Lazily: a process that still stands in it must not keep the mount, and with it the marks, alive.
    execFileSync('umount', ['--lazy', '--recursive', this.files]);
    rmSync(this.base, { recursive: true, force: true });
  }
}

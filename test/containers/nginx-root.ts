/**
 * Debian with its nginx, as a tar to import as an image: made once of the root that test/kernel/debian-root.ts keeps,
 * and kept beside it. The first time takes half a minute, or some more where that root has to be made, and the network.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { keptRoot } from '../kernel/debian-root.ts';

/** Changed when what the tar holds changes. */
const version = 1;

const finish = `
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y --no-install-recommends install nginx-light
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/later
`;

/** Path of the tar. @throws Error when it is not there and can't be made. */
export function nginxRoot(): string {
  const debian = keptRoot();
  const tar = `${debian}-nginx-${version}.tar`;
  if (existsSync(tar)) return tar;
  const folder = mkdtempSync(path.join(path.dirname(debian), 'nginx-'));
  const root = path.join(folder, 'root');
  const run = (program: string, ...args: readonly string[]): void => {
    execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  };
  try {
    run('cp', '-a', debian, root);
    run('chroot', root, 'sh', '-c', finish);
    run('tar', '--create', '--file', `${folder}/tar`, '--directory', root, '.');
    renameSync(`${folder}/tar`, tar);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return tar;
}

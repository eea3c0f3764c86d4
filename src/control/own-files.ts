/** Where the parts of this program and of this agent are. */
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { OwnFiles } from '../policy/built-in.ts';
import { realPath } from './registry.ts';

/** src/control and dist/control are equally far from it. */
const packageFolder = realpathSync(resolve(import.meta.dirname, '../..'));

/** The executable of the guardian, beside the addon. */
export const guardianFile = join(packageFolder, 'build/Release/fileward_guardian');

/** What the guardian opens, below `state`. */
export function canaryFile(state: string): string {
  return join(state, 'canary');
}

/** What is built; and what came with it, where the program is installed and nobody works on it. */
const built = ['dist/**', 'build/Release/fileward*'];
const installed = ['src/**', 'config/**', 'package.json', 'node_modules/**'];
const isWorkTree = existsSync(join(packageFolder, '.git'));
const program = (isWorkTree ? built : [...built, ...installed]).filter(isInside);

/** @param configuration - the files that it was read from */
export function ownFiles(
  state: string,
  socket: string,
  configuration: readonly string[],
): OwnFiles {
  const npm = join(dirname(process.execPath), '../lib/node_modules/npm/bin/npm-cli.js');
  return {
    state: realPath(state),
    socket: resolve(socket),
    canary: canaryFile(realPath(state)),
    guardian: guardianFile,
    node: process.execPath,
    packageFolder,
    program,
    npm: packageFolder.includes('/node_modules/') && existsSync(npm) ? npm : undefined,
    configuration,
  };
}

/** What lies elsewhere in truth is not fileward's alone. */
function isInside(glob: string): boolean {
  const part = join(packageFolder, glob.replace(/\/[^/]*\*.*$/, ''));
  return existsSync(part) && realpathSync(part) === part;
}

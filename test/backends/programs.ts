/** Where the real servers are: what `.ci/backends` built or unpacked. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';

export const repository = path.resolve(import.meta.dirname, '../..');

export type ProgramName =
  | 'otelcol'
  | 'loki'
  | 'prometheus'
  | 'promtool'
  | 'alertmanager'
  | 'amtool';

let known: { readonly paths: ReadonlyMap<string, string>; readonly missing: string } | undefined;

function look(): { readonly paths: ReadonlyMap<string, string>; readonly missing: string } {
  if (known !== undefined) return known;
  const script = path.join(repository, '.ci/backends');
  const { stdout, stderr, status } = spawnSync(script, ['--path'], { encoding: 'utf8' });
  const lines = stdout.trim().split('\n');
  const paths = new Map(lines.map((line) => line.split(' ', 2) as [string, string]));
  known = { paths, missing: status === 0 ? '' : stderr.trim() };
  return known;
}

/** For `{ skip: missingBackends() }`: what is missing, or false when every program is there. */
export function missingBackends(): string | false {
  return look().missing || false;
}

/**
 * The path of a real server or its tool.
 * @throws Error when it has not been built; the message says how.
 */
export function program(name: ProgramName): string {
  const { paths, missing } = look();
  const found = paths.get(name);
  if (found === undefined) throw new Error(missing);
  return found;
}

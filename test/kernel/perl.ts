/**
 * Changes made by a process that lives for a moment before and after: of one that comes and goes within the time that a
 * busy machine takes to look, fileward says `process_gone` or `process_changed`, and never believes it to be listed.
 */
import { copyFileSync } from 'node:fs';
import { type ChildOptions, type ChildResult, run } from './children.ts';

const linger = 'select(undef, undef, undef, 0.15 * ($ENV{FILEWARD_TEST_SLOWNESS} // 1))';

/** Runs Perl code, its arguments in `@ARGV`; dies with status 1 when a statement returns false. */
export function perl(
  code: string,
  args: readonly string[] = [],
  options: ChildOptions & { readonly program?: string } = {},
): Promise<ChildResult> {
  const { program = '/usr/bin/perl', ...rest } = options;
  return run(program, ['-e', `${linger}; ${code} or exit 1; ${linger}`, ...args], rest);
}

export function rename(
  from: string,
  to: string,
  options: { readonly program?: string } = {},
): Promise<ChildResult> {
  return perl('rename($ARGV[0], $ARGV[1])', [from, to], options);
}

/** A copy of Perl: an app with an identity of its own, that can rename, delete and write. */
export function copyPerl(file: string): string {
  copyFileSync('/usr/bin/perl', file);
  return file;
}

import type { PatternProblem } from '../native/addon.ts';

/** What of the native core the checks need: the same parsers that decide at run time. */
export interface PatternChecker {
  checkGlob(pattern: string): PatternProblem | null;
  checkRegex(pattern: string): PatternProblem | null;
}

export const globCharacters = /[*?[\]{}\\]/;
const maxPathBytes = 4095;
const searchPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** What is wrong with an absolute path or glob; `exists` finds a program that was named without its folder. */
export function globProblem(
  pattern: string,
  checker: PatternChecker,
  exists: (path: string) => boolean = () => false,
): string | undefined {
  if (!pattern.startsWith('/')) return relativeProblem(pattern, exists);
  if (pattern.includes('\0')) return 'a path can not hold a NUL character';
  if (Buffer.byteLength(pattern) > maxPathBytes) return `a path has at most ${maxPathBytes} bytes`;
  if (pattern === '/') return "'/' is the root folder itself; write '/**' for what is in it";
  if (pattern.includes('//')) return `'${pattern}' has an empty part; write '${squeeze(pattern)}'`;
  if (/\/\.{1,2}(\/|$)/.test(pattern)) {
    return `'${pattern}' has a '.' or '..' part; write the path without it`;
  }
  if (pattern.endsWith('/'))
    return `'${pattern}' ends in '/'; write '${pattern}**' for what is in it`;
  const problem = checker.checkGlob(pattern);
  return problem === null ? undefined : patternMessage('glob', pattern, problem);
}

/** What is wrong with an expression that is matched against whole paths. */
export function regexProblem(pattern: string, checker: PatternChecker): string | undefined {
  const problem = checker.checkRegex(pattern);
  return problem === null ? undefined : patternMessage('regex', pattern, problem);
}

function patternMessage(kind: string, pattern: string, problem: PatternProblem): string {
  const place = problem.offset > 0 ? ` at byte ${problem.offset + 1}` : '';
  return `bad ${kind} '${pattern}'${place}: ${problem.message}`;
}

function relativeProblem(pattern: string, exists: (path: string) => boolean): string {
  if (pattern === '') return 'a path can not be empty';
  if (pattern.startsWith('~')) {
    return `'~' is not expanded; write '/root${pattern.slice(1)}' or '/home/*${pattern.slice(1)}'`;
  }
  if (pattern.startsWith('$')) return `variables are not expanded; write the path of '${pattern}'`;
  const bare = pattern.replace(/^(\.\/)+/, '');
  const program = bare.includes('/')
    ? undefined
    : searchPath.map((folder) => `${folder}/${bare}`).find((path) => exists(path));
  return `'${pattern}' is not an absolute path; did you mean '${program ?? `/${bare}`}'?`;
}

function squeeze(path: string): string {
  return path.replace(/\/+/g, '/');
}

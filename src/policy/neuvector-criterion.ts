/** The value of one criterion as globs. */
import type { NeuvectorCriterion } from './neuvector-schema.ts';

/** Undefined where our globs can't say it: their `*` and `?` have no escape. */
export function globsOf({ op, value }: NeuvectorCriterion): string[] | undefined {
  if (value === '') return undefined;
  if (op === '=' && value === 'any') return ['*'];
  if (op === '=' || op === '!=') return [value];
  if (op === 'regex' || op === '!regex') return regexGlobs(value);
  if (/[*?]/.test(value)) return undefined;
  return [op === 'prefix' ? `${value}*` : `*${value}*`];
}

/** Of expressions that are text, `.`, `.*` and alternatives of such; NeuVector looks for them anywhere in the value. */
function regexGlobs(regex: string): string[] | undefined {
  const [, before = '', inside, after = ''] =
    /^([^()|]*)\((?:\?:)?([^()]*)\)([^()|]*)$/.exec(regex) ?? [];
  const alternatives =
    inside === undefined
      ? regex.split('|')
      : inside.split('|').map((each) => `${before}${each}${after}`);
  const globs = alternatives.map(regexGlob);
  return globs.every((glob) => glob !== undefined) ? globs : undefined;
}

function regexGlob(regex: string): string | undefined {
  const [, start, body = '', end] =
    /^(\^?)((?:[\w:@/ -]|\\[^\w\s*?]|\.[*+]?)*)(\$?)$/.exec(regex) ?? [];
  if (start === undefined || body === '') return undefined;
  const glob = body.replace(
    /\\(.)|\.\*|\.\+|\./g,
    (all, escaped) => escaped ?? { '.*': '*', '.+': '?*' }[all] ?? '?',
  );
  return `${start ? '' : '*'}${glob}${end ? '' : '*'}`.replace(/\*+/g, '*');
}

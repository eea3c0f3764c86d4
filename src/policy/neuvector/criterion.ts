/** The value of one criterion as globs. */
import type { NeuvectorCriterion } from './schema.ts';

/** Undefined where our globs can't say it: their `*` and `?` have no escape. */
export function globsOf({ op, value }: NeuvectorCriterion): string[] | undefined {
  if (value === '') return undefined;
  if (op === '=' && value === 'any') return ['*'];
  if (op === '=' || op === '!=') return [value];
  if (op === 'regex' || op === '!regex') return regexGlobs(value);
  if (/[*?]/.test(value)) return undefined;
  return [op === 'prefix' ? `${value}*` : `*${value}*`];
}

/** The container that NeuVector's name of a pod's container means: `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT`. */
export function containerInPod(glob: string): string | undefined {
  const [, container, rest] = /^k8s_([a-z0-9-]+)(_?)\*$/.exec(glob) ?? [];
  return container && `${container}${rest === '' ? '*' : ''}`;
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

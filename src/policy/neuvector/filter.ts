/**
 * NeuVector's path filters as patterns of ours. There `*` is a regular expression's `.*`: in the folders of a path it
 * crosses `/`; what it stands for in the last part is a name, in the folder itself or, `recursive`, anywhere below.
 */
import { posix } from 'node:path';

export interface FilterPattern {
  /** A glob, or else `regex`. */
  readonly path?: string;
  readonly regex?: string;
  /** Files that are named, names in one folder, names below a folder: the first is the most specific. */
  readonly reach: 'file' | 'folder' | 'below';
  /** The same for two filters that say the same. */
  readonly key: string;
  /** What the reader should know. */
  readonly notes: readonly string[];
}

export type FilterResult =
  | { readonly kind: 'pattern'; readonly pattern: FilterPattern }
  /** NeuVector refuses it as well. */
  | { readonly kind: 'wrong'; readonly message: string }
  | { readonly kind: 'no counterpart'; readonly message: string };

export function filterPattern(filter: string, recursive: boolean): FilterResult {
  const clean = posix.normalize(filter.trim());
  const wrong = whatIsWrong(filter, clean);
  if (wrong !== undefined) return { kind: 'wrong', message: wrong };
  const whole = clean.endsWith('/') ? `${clean}*` : clean;
  const special = /[\\^$|]/.exec(whole)?.[0];
  if (whole.includes('*') && special !== undefined) {
    const message = `filter '${filter}': '${special}' beside '*' is left to NeuVector's regular expressions`;
    return { kind: 'no counterpart', message };
  }
  const notes: string[] = [];
  if (clean.endsWith('/')) {
    notes.push(
      `'${filter}' is taken as '${whole}', as it reads; NeuVector cuts the '/' off in these resources and then covers the folder alone`,
    );
  }
  return { kind: 'pattern', pattern: patternOf(whole, recursive, notes) };
}

function whatIsWrong(filter: string, clean: string): string | undefined {
  if (!clean.startsWith('/')) return `filter '${filter}' is not an absolute path`;
  if (clean === '/') return "filter '/' is refused by NeuVector; write '/*' for what is in it";
  if (clean.includes('\0')) return 'a filter can not hold a NUL character';
  const refused = /[[\]()<>]|\.\./.exec(clean)?.[0];
  return refused && `filter '${filter}' is refused by NeuVector: it holds '${refused}'`;
}

function patternOf(whole: string, recursive: boolean, notes: string[]): FilterPattern {
  const slash = whole.lastIndexOf('/');
  const [folder, name] = [whole.slice(0, slash), whole.slice(slash + 1)];
  const names = name.includes('*');
  if (recursive && !names) {
    notes.push("'recursive' has no effect: the last part of the filter has no '*'");
  }
  if (name === '*' && !recursive) {
    notes.push(
      "'recursive' is not set: files of the folder itself; NeuVector's code reaches some of those below a bare '*' all the same",
    );
  }
  const below = recursive && names;
  const reach = below ? 'below' : names ? 'folder' : 'file';
  const shared = { reach, key: `${whole}\0${below}`, notes } as const;
  if (!whole.includes('*')) return { ...shared, path: literalGlob(whole) };
  const meta = /[?+{}]/.exec(whole)?.[0];
  if (meta !== undefined) {
    notes.push(`'${meta}' beside '*' is of a regular expression in NeuVector, and so it is here`);
  } else if (!folder.includes('*')) {
    const inside = name === '*' ? '**' : `**/${name}`;
    return { ...shared, path: `${folder}/${below ? inside : name}` };
  }
  const deeper = below ? '(?:.*/)?' : '';
  return { ...shared, regex: `${regexOf(folder, '.*')}/${deeper}${regexOf(name, '[^/]*')}` };
}

/** As NeuVector makes one: only `.` and `*` are not what they are in a regular expression. */
function regexOf(text: string, star: string): string {
  return text.replaceAll('.', '\\.').replaceAll('*', star);
}

/** A path as a glob that matches this path only. */
export function literalGlob(path: string): string {
  return path.replace(/[*?[\]{}\\]/g, '\\$&');
}

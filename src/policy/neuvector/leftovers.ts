/** What of NeuVector's resources is not about files, or not known. */
import type { Note, Placed } from './note.ts';
import type { NeuvectorRule } from './schema.ts';

/** What a resource is called. */
export function originOf({ value }: Placed<NeuvectorRule>): string {
  return `${value.kind} ${value.metadata?.name ?? value.spec.target.selector.name}`;
}

/** Its own comment, to follow its name. */
export function commentOf({ value }: Placed<NeuvectorRule>): string {
  const { comment } = value.spec.target.selector;
  return comment ? `: ${comment}` : '';
}

/** Why a resource is not about files. */
export function noFilesOf({ value }: Placed<NeuvectorRule>): string | undefined {
  const { target, file } = value.spec;
  const { name } = target.selector;
  if (!file || file.length === 0) return 'has no file rules';
  if (name === 'external' || name.startsWith('nv.ip.')) {
    return `is for '${name}', which has no files, and NeuVector ignores its file rules`;
  }
  return undefined;
}

const specKeys = ['target', 'file', 'process_profile'];

/** What of a resource is not about files. */
export function otherSections({ value, at }: Placed<NeuvectorRule>): Note[] {
  const { spec } = value;
  const notes: Note[] = [];
  const told = new Set(specKeys);
  const sections = {
    ingress: 'network rule',
    egress: 'network rule',
    process: 'process rule',
    response: 'response rule',
  };
  for (const [key, what] of Object.entries(sections)) {
    told.add(key);
    const list = spec[key];
    if (!Array.isArray(list) || list.length === 0) continue;
    const text = `'${key}' (${list.length} ${what}${list.length > 1 ? 's' : ''}) has no counterpart: fileward decides about files only`;
    notes.push({ position: at(spec, key), text });
  }
  const baseline = spec.process_profile?.['baseline'];
  if (baseline && spec.process_profile) {
    const text = `'baseline: ${baseline}' is about processes and has no counterpart`;
    notes.push({ position: at(spec.process_profile, 'baseline'), text });
  }
  const { target } = spec;
  return [
    ...notes,
    ...unknownKeys(spec, [...told], at),
    ...unknownKeys(target, ['policymode', 'selector'], at),
    ...unknownKeys(target.selector, ['name', 'criteria', 'name_referral', 'comment'], at),
    ...(target.selector.criteria ?? []).flatMap((each) =>
      unknownKeys(each, ['key', 'op', 'value'], at),
    ),
    ...(spec.process_profile ? unknownKeys(spec.process_profile, ['mode', 'baseline'], at) : []),
  ];
}

/** Those that say anything: exports write out what is empty or off. */
export function unknownKeys(
  map: Readonly<Record<string, unknown>>,
  known: readonly string[],
  at: Placed<unknown>['at'],
): Note[] {
  return Object.keys(map)
    .filter((key) => !known.includes(key) && map[key])
    .map((key) => ({ position: at(map, key), text: `'${key}' has no counterpart` }));
}

/** The `app` list of a NeuVector file rule: exact text, compared with a process's path, its last part and its name. */
import { literalGlob } from './filter.ts';
import type { Note, Placed } from './note.ts';
import type { NeuvectorFileRule } from './schema.ts';

export interface ImportedApps {
  /** Globs of executables. */
  readonly apps: readonly string[];
  readonly notes: readonly Note[];
}

/** Where a program that is named without its folder is looked for: a name alone would list anybody's file. */
const folders = '{usr/local/sbin,usr/local/bin,usr/sbin,usr/bin,sbin,bin}';

/** Reads that NeuVector never denies, by the name of the process. */
const exceptions: Readonly<Record<string, string>> = { '/etc/passwd': 'ps', '/etc/group': 'ls' };

export function importApps({ value, at }: Placed<NeuvectorFileRule>): ImportedApps {
  const list = value.app ?? [];
  const notes: Note[] = [];
  if (value.behavior === 'monitor_change') {
    const text = `NeuVector ignores 'app' (${list.join(', ')}) for monitor_change: whoever changes a file is told`;
    return { apps: [], notes: list.length > 0 ? [{ position: at(value, 'app'), text }] : [] };
  }
  const named = list.map((each) => each.trim());
  for (const [index, app] of named.entries()) {
    if (canMatch(app)) continue;
    const text = `app '${app}' lists nobody in NeuVector, which compares it as text; it is left out`;
    notes.push({ position: at(list, index), text });
  }
  const apps = named.filter(canMatch);
  const bare = apps.filter((app) => !app.startsWith('/'));
  if (bare.length > 0) {
    const text = `app ${bare.join(', ')}: any program or process of that name in NeuVector; here that of the system's folders only, so name the path of another`;
    notes.push({ position: at(value, 'app'), text });
  }
  const exception = exceptions[value.filter];
  if (exception !== undefined) {
    const text = `NeuVector lets any process named ${exception} read ${value.filter}; here it must be listed`;
    notes.push({ position: at(value, 'filter'), text });
  }
  const globs = apps.map((app) =>
    app.startsWith('/') ? literalGlob(app) : `/${folders}/${literalGlob(app)}`,
  );
  return { apps: globs, notes };
}

function canMatch(app: string): boolean {
  return app !== '' && !app.includes('*') && (app.startsWith('/') || !app.includes('/'));
}

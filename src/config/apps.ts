/** Entries of `apps`: what is wrong with them, and what they are with everything filled in. */
import type { AppEntry, Position } from '../policy/document.ts';
import type { AppSource } from '../policy/schema.ts';
import type { Draft, DraftApp, DraftSet } from './draft.ts';
import { interpreterOf, type Machine } from './machine.ts';
import { globCharacters, globProblem, type PatternChecker } from './patterns.ts';
import { type ProblemList, suggestion } from './problem.ts';

export interface CheckContext {
  readonly problems: ProblemList;
  readonly patterns: PatternChecker;
  readonly machine: Machine;
}

type AppMap = Exclude<AppSource, string>;

/** Makes entries of drafts; each set is checked once, however many rules use it. */
export class AppNormaliser {
  readonly #context: CheckContext;
  readonly #sets: Draft['sets'];
  readonly #resolved = new Map<string, readonly AppEntry[]>();
  readonly #open: string[] = [];
  readonly #paths = new Map<string, string | undefined>();

  constructor(sets: Draft['sets'], context: CheckContext) {
    this.#sets = sets;
    this.#context = context;
  }

  /** Also those that no rule uses. */
  checkSets(): void {
    for (const [name, set] of this.#sets) this.#expandSet(name, set.position);
  }

  /** `onHost`: the entries are of this machine's files and users, which can be looked at. */
  normalise(drafts: readonly DraftApp[], onHost: boolean): AppEntry[] {
    return drafts.flatMap((draft) => this.#entries(draft, onHost));
  }

  #entries(draft: DraftApp, onHost: boolean): readonly AppEntry[] {
    const { item, position } = draft;
    if (typeof item === 'string') {
      if (item.startsWith('set:')) return this.#expandSet(item.slice(4), position);
      this.#checkPath('app', item, position, onHost);
      return [plainEntry(item, position)];
    }
    this.#checkMap(item, draft, onHost);
    return [entryOf(item, position)];
  }

  #expandSet(name: string, position: Position): readonly AppEntry[] {
    const done = this.#resolved.get(name);
    if (done !== undefined) return done;
    const set: DraftSet | undefined = this.#sets.get(name);
    if (set === undefined) {
      const near = suggestion(name, this.#sets.keys(), 'set:');
      this.#context.problems.error(position, `no set '${name}'${near}`);
      return [];
    }
    if (this.#open.includes(name)) {
      const circle = [...this.#open.slice(this.#open.indexOf(name)), name].join(' -> ');
      this.#context.problems.error(position, `set '${name}' holds itself: ${circle}`);
      return [];
    }
    this.#open.push(name);
    // A shipped set may name what this machine spells otherwise: only the form is checked.
    const entries = this.normalise(set.apps, false).map((entry) => ({ ...entry, set: name }));
    this.#open.pop();
    this.#resolved.set(name, entries);
    return entries;
  }

  #checkMap(item: AppMap, { source, position }: DraftApp, onHost: boolean): void {
    const { problems, machine } = this.#context;
    const at = (key: keyof AppMap) => source.valueAt(item, key);
    if (item.exe?.startsWith('set:')) {
      problems.error(at('exe'), `a set is an entry of its own: write '${item.exe}' without exe`);
    } else if (item.exe !== undefined) {
      // With `script` the interpreter is what is meant.
      this.#checkPath('app', item.exe, at('exe'), onHost);
    }
    if (item.script !== undefined) {
      this.#checkPath('script', item.script, at('script'), onHost);
      if (item.exe === undefined) {
        problems.error(at('script'), "'script' needs 'exe', the interpreter that runs it");
      }
    }
    if (item.ancestor !== undefined) {
      this.#checkPath('ancestor', item.ancestor, at('ancestor'), onHost);
    }
    if (item.children && item.exe === undefined) {
      problems.error(at('children'), "'children' needs 'exe', whose descendants are meant");
    }
    if (item.unit !== undefined && !/\.(service|scope|socket|timer|mount|slice)$/.test(item.unit)) {
      const message = `'${item.unit}' is not the full name of a unit; did you mean '${item.unit}.service'?`;
      problems.error(at('unit'), message);
    }
    if (onHost && typeof item.user === 'string') {
      this.#checkUser(item.user, at('user'), machine);
    }
    checkOperationList(
      item.operations,
      (index) => source.valueAt(item.operations, index),
      problems,
    );
    const says = ['exe', 'user', 'ancestor', 'unit', 'sha256', 'script'] as const;
    if (!item.package_manager && says.every((key) => item[key] === undefined)) {
      const message =
        'the entry lists every process; give exe, user, unit, ancestor or package_manager';
      problems.error(position, message);
    }
  }

  #checkUser(user: string, position: Position, machine: Machine): void {
    if (/^\d+$/.test(user) || machine.users === undefined || machine.users.has(user)) return;
    const message = `no user '${user}' in /etc/passwd${suggestion(user, machine.users)}`;
    this.#context.problems.error(position, message);
  }

  #checkPath(
    role: 'app' | 'script' | 'ancestor',
    path: string,
    position: Position,
    onHost: boolean,
  ): void {
    const key = `${role}${onHost}${path}`;
    if (!this.#paths.has(key)) this.#paths.set(key, this.#pathProblem(role, path, onHost));
    const message = this.#paths.get(key);
    if (message !== undefined) this.#context.problems.error(position, message);
  }

  #pathProblem(role: string, path: string, onHost: boolean): string | undefined {
    const { machine, patterns } = this.#context;
    const problem = globProblem(path, patterns, machine.exists);
    if (problem !== undefined) return problem;
    if (!onHost || globCharacters.test(path)) return undefined;
    if (machine.isFolder(path)) return `'${path}' is a folder; write '${path}/*' for what is in it`;
    const line = role === 'script' ? undefined : machine.interpreterLine(path);
    if (line === undefined) return undefined;
    const interpreter = interpreterOf(line, machine);
    if (role === 'ancestor') return `'${path}' is a script; name its interpreter, ${interpreter}`;
    return `'${path}' is a script; list its interpreter: { exe: ${interpreter}, script: ${path} }`;
  }
}

/** A list of operations that names one twice. */
export function checkOperationList(
  list: readonly string[] | undefined,
  at: (index: number) => Position,
  problems: ProblemList,
): void {
  for (const [index, operation] of (list ?? []).entries()) {
    if (list?.indexOf(operation) !== index)
      problems.error(at(index), `'${operation}' is given twice`);
  }
}

function plainEntry(exe: string, position: Position): AppEntry {
  return { exe, children: false, workload: 'same', packageManager: false, position };
}

function entryOf(item: AppMap, position: Position): AppEntry {
  return {
    ...(item.exe !== undefined && { exe: item.exe }),
    ...(item.script !== undefined && { script: item.script }),
    ...(item.operations !== undefined && { operations: item.operations }),
    ...(item.user !== undefined && { user: String(item.user) }),
    ...(item.ancestor !== undefined && { ancestor: item.ancestor }),
    ...(item.unit !== undefined && { unit: item.unit }),
    ...(item.sha256 !== undefined && { sha256: item.sha256.toLowerCase() }),
    children: item.children ?? false,
    workload: item.workload ?? 'same',
    packageManager: item.package_manager ?? false,
    position,
  };
}

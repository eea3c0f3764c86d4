/** Makes the ruleset that the native core decides by, and beside it what records say of each rule. */
import type {
  AppEntry,
  Configuration,
  Group,
  Position,
  RecordLimit,
  Rule,
  Severity,
} from './document.ts';
import { host, isMember } from './members.ts';
import { containerRuntimes } from './container-runtimes.ts';
import { packageManagers } from './package-managers.ts';
import type {
  Behavior,
  CompiledApp,
  CompiledExe,
  CompiledGroup,
  CompiledRule,
  CompiledRuleset,
  Mode,
  Operation,
} from './ruleset.ts';
import { UserTable } from './users.ts';

/** Break glass and pauses: the mode that a rule may have at most. */
export type ModeCaps = (group: string, rule: string) => 'monitor' | undefined;

export const noCaps: ModeCaps = () => undefined;

/** One rule as records and commands tell it; the index in `CompiledPolicy.rules` is the `rule_index` of events. */
export interface RuleInfo {
  readonly index: number;
  /** Index of its group in the compiled ruleset. */
  readonly groupIndex: number;
  readonly group: string;
  readonly rule: string;
  readonly behavior: Behavior;
  readonly operations: readonly Operation[];
  /** In effect now. */
  readonly mode: Mode;
  /** As written, before break glass and pauses. */
  readonly configuredMode: Mode;
  readonly description?: string;
  readonly reference?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
  readonly severity?: Severity;
  readonly maxRecords?: RecordLimit;
  readonly hash: boolean;
  readonly required: boolean;
  readonly policyVersion?: string;
  /** As written: for `check`, `explain` and snippets. */
  readonly source: Rule;
  /** The entries that were compiled, by the `app_index` of the evaluator. */
  readonly apps: readonly AppEntry[];
  readonly position: Position;
}

export interface CompiledPolicy {
  readonly ruleset: CompiledRuleset;
  readonly json: string;
  readonly rules: readonly RuleInfo[];
  /** By whose numbers it was compiled: questions to the evaluator take the same. */
  readonly users: UserTable;
}

/** Disabled rules are left out. */
export function compile(
  configuration: Configuration,
  caps: ModeCaps,
  users = new UserTable(),
): CompiledPolicy {
  const compiler = new Compiler(configuration, caps, users);
  for (const group of configuration.document.groups) compiler.addGroup(group);
  return compiler.finish();
}

class Compiler {
  readonly #configuration: Configuration;
  readonly #caps: ModeCaps;
  readonly #users: UserTable;
  readonly #exes: CompiledExe[] = [];
  readonly #exeIndexes = new Map<string, number>();
  readonly #userNames: Record<string, string> = {};
  readonly #groups: CompiledGroup[] = [];
  readonly #rules: RuleInfo[] = [];

  constructor(configuration: Configuration, caps: ModeCaps, users: UserTable) {
    this.#configuration = configuration;
    this.#caps = caps;
    this.#users = users;
  }

  addGroup(group: Group): void {
    const rules: CompiledRule[] = [];
    for (const rule of group.rules) {
      if (!rule.enabled) continue;
      const mode = this.#effectiveMode(group, rule);
      rules.push(this.#compileRule(rule, mode));
      this.#rules.push(this.#ruleInfo(group, rule, mode));
    }
    this.#groups.push({ name: group.name, host: isMember(group.members, host), rules });
  }

  finish(): CompiledPolicy {
    const { limits, verdict, document } = this.#configuration;
    const managers = packageManagers.map(({ name, exes, scripts }) => ({
      name,
      exes: exes.map((exe) => this.#exe(exe, false)),
      scripts: scripts.map((script) => this.#exe(script, false)),
    }));
    const runtimes = document.groups.some(mayHoldContainers) ? containerRuntimes : [];
    const ruleset: CompiledRuleset = {
      format: 1,
      limits,
      verdict: { deadline_ns: verdict.deadlineMs * 1e6, on_deadline: verdict.onDeadline },
      exes: this.#exes,
      package_managers: managers,
      runtimes: runtimes.map((exe) => this.#exe(exe, true)),
      users: this.#userNames,
      groups: this.#groups,
    };
    return { ruleset, json: JSON.stringify(ruleset), rules: this.#rules, users: this.#users };
  }

  #effectiveMode(group: Group, rule: Rule): Mode {
    const mode = rule.mode ?? group.mode;
    return mode === 'protect' ? (this.#caps(group.name, rule.name) ?? mode) : mode;
  }

  #compileRule(rule: Rule, mode: Mode): CompiledRule {
    return {
      name: rule.name,
      ...(rule.regex === undefined ? { path: rule.path } : { regex: rule.regex }),
      except: rule.except,
      behavior: rule.behavior,
      operations: rule.operations,
      mode,
      apps: compiledApps(rule).map((app) => this.#compileApp(app, rule)),
      changes_listed: rule.changes,
      on_deadline: rule.onDeadline ?? this.#configuration.verdict.onDeadline,
      runtime: rule.runtime,
      strict: rule.strict,
      required: rule.required,
    };
  }

  #compileApp(app: AppEntry, rule: Rule): CompiledApp {
    const onHost = app.workload === 'host';
    const exe = (pattern: string | undefined) =>
      pattern === undefined ? undefined : this.#exe(pattern, onHost);
    const [exeIndex, script, ancestor] = [exe(app.exe), exe(app.script), exe(app.ancestor)];
    return {
      operations: sharedOperations(app, rule),
      ...(exeIndex !== undefined && { exe: exeIndex }),
      ...(script !== undefined && { script }),
      ...(ancestor !== undefined && { ancestor }),
      children: app.children,
      host: onHost,
      ...(app.user !== undefined && { user_id: this.#userId(app.user) }),
      ...(app.unit !== undefined && { unit: app.unit }),
      ...(app.sha256 !== undefined && { sha256: app.sha256 }),
      package_manager: app.packageManager,
    };
  }

  #userId(user: string): number {
    const id = this.#users.idOf(user);
    if (String(id) !== user) this.#userNames[id] = user;
    return id;
  }

  #exe(pattern: string, onHost: boolean): number {
    const key = `${onHost ? 'host' : 'same'} ${pattern}`;
    let index = this.#exeIndexes.get(key);
    if (index === undefined) {
      index = this.#exes.length;
      this.#exes.push({ pattern, host: onHost });
      this.#exeIndexes.set(key, index);
    }
    return index;
  }

  #ruleInfo(group: Group, rule: Rule, mode: Mode): RuleInfo {
    const { policyVersion } = this.#configuration;
    const { behavior, operations, description, reference, severity, maxRecords } = rule;
    return {
      index: this.#rules.length,
      groupIndex: this.#groups.length,
      group: group.name,
      rule: rule.name,
      behavior,
      operations,
      mode,
      configuredMode: rule.mode ?? group.mode,
      ...(description !== undefined && { description }),
      ...(reference !== undefined && { reference }),
      labels: group.labels,
      tags: rule.tags,
      ...(severity !== undefined && { severity }),
      ...(maxRecords !== undefined && { maxRecords }),
      hash: rule.hash,
      required: rule.required,
      ...(policyVersion !== undefined && { policyVersion }),
      source: rule,
      apps: compiledApps(rule),
      position: rule.position,
    };
  }
}

/** Whether its criteria can hold for anything but the host. */
export function mayHoldContainers({ members }: Group): boolean {
  return members.some((criteria) => criteria.host !== true);
}

/** A set's entry may name only operations that this rule doesn't hold: it lists nobody here. */
function compiledApps(rule: Rule): AppEntry[] {
  return rule.apps.filter((app) => sharedOperations(app, rule).length > 0);
}

function sharedOperations(app: AppEntry, rule: Rule): Operation[] {
  return rule.operations.filter((each) => app.operations?.includes(each) ?? true);
}

/**
 * The compiled ruleset: what `compile` makes of a validated document and the native core parses (JSON, UTF-8).
 * Everything is resolved except paths on disk: patterns stay as written, the core resolves and follows them.
 * Rules are numbered through all groups in configuration order; that number is the `rule_index` of native events.
 */
export type Operation = 'read' | 'write' | 'exec';
export type Mode = 'discover' | 'monitor' | 'protect';
export type Behavior = 'watch' | 'block';

export interface CompiledRuleset {
  readonly format: 1;
  readonly limits: { readonly marks: number; readonly depth: number };
  readonly verdict: { readonly deadline_ns: number; readonly on_deadline: 'allow' | 'deny' };
  /** Globs of executables (and scripts) that app entries name; entries refer to them by index. */
  readonly exes: readonly CompiledExe[];
  /** Named package managers, each with the executables that are one or drive one, and the scripts that do. */
  readonly package_managers: readonly {
    readonly name: string;
    readonly exes: readonly number[];
    readonly scripts: readonly number[];
  }[];
  /** Executables of the host that start processes in containers; empty when no rule is about containers. */
  readonly runtimes: readonly number[];
  /** Names of users by the `user_id` that entries have for them: a container may number them otherwise. */
  readonly users: Readonly<Record<string, string>>;
  readonly groups: readonly CompiledGroup[];
}

export interface CompiledExe {
  readonly pattern: string;
  /** `workload: host`: the host's file, whatever workload the rule guards. */
  readonly host: boolean;
}

export interface CompiledGroup {
  readonly name: string;
  /** True when the host is a member. Which containers are is told by name, as they come and go. */
  readonly host: boolean;
  readonly rules: readonly CompiledRule[];
}

export interface CompiledRule {
  readonly name: string;
  /** Globs, or one RE2 expression; one of the two. */
  readonly path?: readonly string[];
  readonly regex?: string;
  readonly except: readonly string[];
  readonly behavior: Behavior;
  readonly operations: readonly Operation[];
  /** The effective mode: rule over group, capped by break glass and pauses. */
  readonly mode: Mode;
  readonly apps: readonly CompiledApp[];
  readonly changes_listed: 'report' | 'quiet';
  readonly on_deadline: 'allow' | 'deny';
  readonly runtime: boolean;
  readonly strict: boolean;
  readonly required: boolean;
}

export interface CompiledApp {
  readonly operations: readonly Operation[];
  readonly exe?: number;
  readonly script?: number;
  readonly ancestor?: number;
  /** `children: true`: the executable `exe` or any process that has it as an ancestor. */
  readonly children: boolean;
  /** `workload: host`: a process of the host's, whatever workload the rule guards. */
  readonly host: boolean;
  /** Effective uid in the workload; for one given by name that of the host, see `users`. */
  readonly user_id?: number;
  readonly unit?: string;
  /** Lower-case hex. */
  readonly sha256?: string;
  readonly package_manager: boolean;
}

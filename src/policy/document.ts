/**
 * The policy as the program works with it: imports merged, overrides applied, sets expanded, every default filled in.
 * `schema.ts` says what a file may hold; `src/config/` makes one of these from files.
 */
import type { Behavior, Mode, Operation } from './ruleset.ts';

/** Where a thing was written. Lines and columns count from 1; a file that runs code is its line 1. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export type Severity = 'info' | 'warn' | 'error';

export interface AppEntry {
  readonly exe?: string;
  readonly script?: string;
  /** Absent: all operations of the rule. */
  readonly operations?: readonly Operation[];
  /** A name of /etc/passwd or a number. */
  readonly user?: string;
  readonly ancestor?: string;
  readonly unit?: string;
  /** Lower-case hex. */
  readonly sha256?: string;
  readonly children: boolean;
  readonly workload: 'same' | 'host';
  readonly packageManager: boolean;
  /** The set it came from, without `set:`. */
  readonly set?: string;
  readonly position: Position;
}

export interface RecordLimit {
  readonly count: number;
  readonly windowMs: number;
}

export interface Rule {
  readonly name: string;
  readonly path: readonly string[];
  /** Given instead of `path`. */
  readonly regex?: string;
  readonly except: readonly string[];
  readonly behavior: Behavior;
  readonly operations: readonly Operation[];
  readonly apps: readonly AppEntry[];
  /** The rule's own mode; absent: its group's. */
  readonly mode?: Mode;
  /** How changes by a listed app are told; the default depends on the behavior. */
  readonly changes: 'report' | 'quiet';
  readonly description?: string;
  readonly reference?: string;
  readonly severity?: Severity;
  readonly tags: Readonly<Record<string, string>>;
  readonly required: boolean;
  readonly hash: boolean;
  readonly onDeadline?: 'allow' | 'deny';
  readonly strict: boolean;
  readonly runtime: boolean;
  readonly enabled: boolean;
  readonly maxRecords?: RecordLimit;
  readonly position: Position;
}

/** A value, any of several, or none of them. */
export type Criterion = { readonly any: readonly string[] } | { readonly none: readonly string[] };

export interface WorkloadCriteria {
  /** Keys are `image`, `name`, `id`, `runtime` or `namespace`, `pod`, `container`, `service_account`. */
  readonly keys: Readonly<Record<string, Criterion>>;
  readonly labels: Readonly<Record<string, Criterion>>;
  /** None of what these criteria describe. */
  readonly not?: WorkloadCriteria;
}

export interface MemberCriteria {
  readonly host?: true;
  readonly container?: WorkloadCriteria;
  readonly kubernetes?: WorkloadCriteria;
  readonly not?: MemberCriteria;
}

export interface Group {
  readonly name: string;
  /** A workload is a member when any of these criteria holds. */
  readonly members: readonly MemberCriteria[];
  readonly mode: Mode;
  readonly labels: Readonly<Record<string, string>>;
  readonly rules: readonly Rule[];
  readonly position: Position;
}

export interface PolicyDocument {
  readonly groups: readonly Group[];
}

export interface TelemetryConfiguration {
  readonly protocol: 'grpc' | 'http/protobuf';
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly compression: 'none' | 'gzip';
  readonly tls: {
    readonly insecure: boolean;
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
  };
  readonly outbox: { readonly maxSizeBytes: number };
  readonly metrics: { readonly perRule: boolean; readonly intervalMs: number };
}

export interface Configuration {
  /** The main file, absolute. */
  readonly file: string;
  readonly document: PolicyDocument;
  readonly policyVersion?: string;
  readonly telemetry: TelemetryConfiguration;
  readonly records: {
    readonly windowMs: number;
    readonly commandArgs: boolean;
    readonly hash: { readonly enabled: boolean; readonly maxSizeBytes: number };
  };
  readonly limits: { readonly marks: number; readonly depth: number };
  readonly verdict: { readonly deadlineMs: number; readonly onDeadline: 'allow' | 'deny' };
  readonly learning: { readonly user: boolean };
  /** Folder for what outlives a restart. */
  readonly state: string;
}

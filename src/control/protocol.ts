/**
 * What goes over the control socket: one JSON object a line, a request from the client, then one response line.
 * After the response to `tail` the agent sends one line a record until either side closes.
 */
import { z } from 'zod';
import type { LearnedPage } from '../learning/learned-book.ts';
import type { Stage } from '../records/ledger.ts';

/** Longest line the agent reads from a client. */
export const MAX_REQUEST_BYTES = 64 * 1024;

const name = z.string().min(1).max(256);
const MAX_PAUSE_MS = 30 * 24 * 3600 * 1000;

export const requestSchema = z.discriminatedUnion('command', [
  z.strictObject({ command: z.literal('status') }),
  z.strictObject({
    command: z.literal('tail'),
    group: name.optional(),
    rule: name.optional(),
    event: name.optional(),
  }),
  z.strictObject({ command: z.literal('confirm') }),
  z.strictObject({ command: z.literal('release'), path: z.string().min(1).max(4096) }),
  z.strictObject({
    command: z.literal('pause'),
    group: name.optional(),
    rule: name.optional(),
    for_ms: z.number().int().min(1000).max(MAX_PAUSE_MS),
    reason: z.string().trim().min(1).max(1024),
  }),
  z.strictObject({ command: z.literal('learned'), after: z.int().min(0).optional() }),
  z.strictObject({ command: z.literal('resume'), group: name.optional(), rule: name.optional() }),
]);

export type Request = z.infer<typeof requestSchema>;
export type TailFilter = Omit<Extract<Request, { command: 'tail' }>, 'command'>;
export type PauseRequest = Omit<Extract<Request, { command: 'pause' }>, 'command'>;
export type PauseTarget = Omit<Extract<Request, { command: 'resume' }>, 'command'>;

export type Response =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly status: 1 | 2 | 3; readonly error: string };

/** Lines of a tail stream; `record` is the NDJSON line of the contract as it stands. */
export type TailLine = { readonly record: unknown } | { readonly dropped: number };
export const RECORD_LINE_PREFIX = '{"record":';

/** What each request is answered with. */
export interface Results {
  readonly status: StatusResult;
  readonly tail: null;
  readonly confirm: { readonly groups: readonly string[] };
  readonly release: null;
  readonly pause: PauseStatus;
  /** A part; the next one comes after `next`. */
  readonly learned: LearnedPage;
  readonly resume: { readonly ended: readonly PauseStatus[] };
}

/** How a running agent says where it is: one file in `/run/fileward`, named by its pid. */
export interface Registration {
  readonly pid: number;
  readonly socket: string;
  readonly config: string;
  readonly state: string;
  readonly started: string;
}

export interface GroupStatus {
  readonly name: string;
  /** As configured. */
  readonly mode: string;
  /** What is in force: capped by break glass, a pause or a missing confirmation. */
  readonly effective_mode: string;
  readonly why: string;
  readonly rules: number;
}

export interface RuleStatus {
  readonly group: string;
  readonly rule: string;
  readonly behavior: string;
  readonly mode: string;
  /** In all workloads that have it. */
  readonly files: number;
  readonly directories: number;
  /** On the host. */
  readonly absent: readonly string[];
  /** Since the policy in force was loaded. */
  readonly quiet: { readonly read: number; readonly write: number; readonly exec: number };
}

export interface Gap {
  readonly group: string;
  /** Absent: about the whole group. */
  readonly rule?: string;
  /** Name or id of the container that it is about; absent: the host, or none in particular. */
  readonly workload?: string;
  readonly error_type: string;
  readonly detail: string;
}

export interface WorkloadStatus {
  readonly kind: 'host' | 'container';
  /** Names of the groups that hold it. */
  readonly groups: readonly string[];
  /** By group, the criteria that hold. */
  readonly why: Readonly<Record<string, string>>;
  readonly container?: ContainerStatus;
}

/** What isn't known is ''. */
export interface ContainerStatus {
  readonly id: string;
  readonly name: string;
  readonly runtime: string;
  readonly image: string;
  readonly pod: string;
  readonly namespace: string;
  /** Of its init. */
  readonly pid: number;
  /** `no_group`: its files are nobody's concern. */
  readonly state: 'covered' | 'starting' | 'failed' | 'no_group';
  /** Since when all its files are covered, '' when they aren't. */
  readonly covered: string;
  readonly error: string;
  /** Facts about it that no runtime tells, and why. */
  readonly unknown: readonly string[];
  readonly unknown_why: string;
}

/** Upper bounds; null beyond the last bound of the histogram, 0 without a verdict. */
export interface LatencyStatus {
  readonly count: number;
  readonly p50_us: number | null;
  readonly p99_us: number | null;
}

/** The process that answers by `on_deadline` when the agent doesn't. */
export interface GuardianStatus {
  /** 0: there is none now. */
  readonly pid: number;
  /** How many came after the first. */
  readonly restarts: number;
  /** False: what freezes or kills the agent's cgroup does the same to it. */
  readonly own_cgroup: boolean;
  /** Why it answers instead of the agent now, '' when it doesn't. */
  readonly standing_in: string;
  /** Opens that it answered and nobody had judged. */
  readonly answered: { readonly allowed: number; readonly denied: number };
  /** Files that it knows to deny, and whether there are more. */
  readonly deny_table: { readonly entries: number; readonly full: boolean };
  readonly canary: LatencyStatus & { readonly misses: number };
}

export interface PauseStatus {
  readonly group?: string | undefined;
  readonly rule?: string | undefined;
  readonly until: string;
  readonly reason: string;
}

/** Why the agent isn't wholly itself; empty when ready. */
export interface StatusResult {
  readonly ready: boolean;
  readonly degraded: readonly string[];
  readonly pid: number;
  readonly version: string;
  readonly started: string;
  readonly config: string;
  readonly state: string;
  readonly policy: { readonly hash: string; readonly version: string; readonly loaded: string };
  readonly break_glass: string;
  readonly pauses: readonly PauseStatus[];
  readonly unconfirmed: { readonly groups: readonly string[]; readonly until: string } | null;
  /** The host, then all containers there are. */
  readonly workloads: readonly WorkloadStatus[];
  readonly groups: readonly GroupStatus[];
  readonly rules: readonly RuleStatus[];
  /** What guards fileward itself; these count in none of the above. */
  readonly built_in: readonly RuleStatus[];
  readonly marks: { readonly permission: number; readonly notification: number };
  readonly moved: readonly { readonly path: string; readonly protected_path: string }[];
  readonly records: Readonly<Record<string, number>>;
  readonly losses: Readonly<Record<string, number>>;
  readonly verdicts: { readonly allow: LatencyStatus; readonly deny: LatencyStatus };
  readonly guardian: GuardianStatus;
  readonly gaps: readonly Gap[];
  readonly export: Readonly<Record<string, number | string | boolean>>;
  /** The stages from the kernel to the collector, in order; `outbox` only where records are exported. */
  readonly ledger: readonly Stage[];
  /** Connections turned away since the start, as they were not root's. */
  readonly refused_clients: number;
}

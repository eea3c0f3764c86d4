/**
 * Words and byte offsets of event records: the TypeScript side of native/event/event_record.h. `loadNative` compares
 * it with what the addon says of itself, so the two can't drift apart unseen.
 */
export const eventKinds = [
  'none',
  'open',
  'access',
  'change',
  'lost',
  'coverage',
  'enforcement',
  'app_replaced',
] as const;
export const eventOperations = ['none', 'read', 'write', 'exec'] as const;
export const eventChanges = [
  'none',
  'created',
  'deleted',
  'renamed',
  'written',
  'closed_write',
  'attributes',
  'linked',
  'directory_moved',
  'directory_deleted',
  'made',
] as const;
export const eventOutcomes = [
  'not_covered',
  'quiet',
  'learned',
  'accessed',
  'modified',
  'violated',
  'denied',
] as const;
export const eventVerdicts = ['none', 'allow', 'deny'] as const;
export const eventModes = ['none', 'discover', 'monitor', 'protect'] as const;
export const eventReasons = [
  'none',
  'app_not_listed',
  'identity_mismatch',
  'ancestry_unknown',
  'intent_unproven',
  'not_enforceable',
  'descriptor_not_judged',
  'empty_file_left',
  'process_gone',
  'process_changed',
  'deadline',
  'found_on_rescan',
] as const;
export const actorStates = ['unknown', 'known', 'gone', 'changed'] as const;

export type EventKind = (typeof eventKinds)[number];
export type EventOperation = (typeof eventOperations)[number];
export type EventChange = (typeof eventChanges)[number];
export type EventOutcome = (typeof eventOutcomes)[number];
export type EventVerdict = (typeof eventVerdicts)[number];
export type EventMode = (typeof eventModes)[number];
export type EventReason = (typeof eventReasons)[number];
export type ActorState = (typeof actorStates)[number];

export const eventFlags = {
  listed: 1,
  judged: 2,
  replaced: 4,
  o_creat_fresh: 8,
  own: 16,
  directory: 32,
  rename_target_covered: 64,
  unlinked: 128,
  changes_quiet: 256,
  extended_attributes: 512,
} as const;
export type EventFlag = keyof typeof eventFlags;

/** The workload of the host, and of a process of which that isn't known; others are those of `WorkloadSpec`. */
export const hostWorkload = 0;
export const unknownWorkload = 0xffff_ffff;

/** Byte offsets in a record's header, under the native field names. */
export const eventFields = {
  size_bytes: 0,
  kind: 4,
  flags: 6,
  time_ns: 8,
  ruleset_version: 16,
  operation: 24,
  change: 25,
  outcome: 26,
  verdict: 27,
  mode: 28,
  reason: 29,
  actor_state: 30,
  package_manager: 31,
  rule_index: 32,
  nlink: 36,
  dev: 40,
  ino: 48,
  size: 56,
  mtime_ns: 64,
  file_mode: 72,
  file_uid: 76,
  file_gid: 80,
  before_known: 84,
  before_size: 88,
  before_mtime_ns: 96,
  before_mode: 104,
  before_uid: 108,
  before_gid: 112,
  detail: 116,
  pid: 120,
  tid: 124,
  ppid: 128,
  euid: 132,
  ruid: 136,
  sequence: 140,
  process_start_ns: 144,
  verdict_duration_ns: 152,
  count: 160,
  workload: 168,
  actor_workload: 172,
  lengths: 176,
} as const;

/** The strings behind the header, in this order. */
export const eventStrings = [
  'path',
  'protected_path',
  'new_path',
  'exe',
  'cgroup',
  'ancestors',
  'args',
  'text',
] as const;
export type EventString = (typeof eventStrings)[number];

/** Bytes of the header: `lengths` and a u32 for each string. */
export const eventHeaderBytes = eventFields.lengths + eventStrings.length * 4;

/** What the addon says of its own layout; `loadNative` compares it with `eventLayout`. */
export interface EventLayout {
  readonly header_bytes: number;
  readonly fields: Readonly<Record<string, number>>;
  readonly strings: readonly string[];
  readonly flags: Readonly<Record<string, number>>;
  readonly kinds: readonly string[];
  readonly operations: readonly string[];
  readonly changes: readonly string[];
  readonly outcomes: readonly string[];
  readonly verdicts: readonly string[];
  readonly modes: readonly string[];
  readonly reasons: readonly string[];
  readonly actor_states: readonly string[];
}

export const eventLayout: EventLayout = {
  header_bytes: eventHeaderBytes,
  fields: eventFields,
  strings: eventStrings,
  flags: eventFlags,
  kinds: eventKinds,
  operations: eventOperations,
  changes: eventChanges,
  outcomes: eventOutcomes,
  verdicts: eventVerdicts,
  modes: eventModes,
  reasons: eventReasons,
  actor_states: actorStates,
};

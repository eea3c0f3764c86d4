/**
 * Every event, attribute and metric name that fileward sends, each once. What has no name in the OpenTelemetry semantic
 * conventions 1.45 is `fileward.*`.
 */
import type { EventReason } from '../native/event-layout.ts';

export const SCOPE_NAME = 'fileward';
export const SCHEMA_URL = 'https://opentelemetry.io/schemas/1.45.0';

/** OTLP severity numbers. */
export const SEVERITY = { info: 9, info2: 10, warn: 13, error: 17 } as const;

export const FILE_EVENT = {
  accessed: 'fileward.file.accessed',
  modified: 'fileward.file.modified',
  violated: 'fileward.file.violated',
  denied: 'fileward.file.denied',
} as const;
export type FileEvent = keyof typeof FILE_EVENT;

export const RULE_LEARNED = 'fileward.rule.learned';
export const RECORD_LOST = 'fileward.record.lost';

/** Events about the agent itself, with the severity of each. */
export const AGENT_EVENT_SEVERITY = {
  'fileward.policy.loaded': SEVERITY.info,
  'fileward.policy.rejected': SEVERITY.error,
  'fileward.workload.started': SEVERITY.info,
  'fileward.workload.stopped': SEVERITY.info,
  'fileward.record.lost': SEVERITY.error,
  'fileward.coverage.degraded': SEVERITY.warn,
  'fileward.coverage.restored': SEVERITY.info,
  'fileward.enforcement.degraded': SEVERITY.error,
  'fileward.enforcement.restored': SEVERITY.info,
  'fileward.enforcement.paused': SEVERITY.warn,
  'fileward.enforcement.resumed': SEVERITY.info,
} as const;
export type AgentEvent = keyof typeof AGENT_EVENT_SEVERITY;

/** Why an event is what it is: the closed list of `fileward.reason`. */
export type Reason = Exclude<EventReason, 'none'>;

/** `fileward.operation` of records; for rules and metrics each from `create` on is a `write`. */
export type RecordOperation =
  | 'read'
  | 'write'
  | 'exec'
  | 'create'
  | 'delete'
  | 'rename'
  | 'truncate'
  | 'attributes';

export const ATTRIBUTE = {
  eventName: 'otel.event.name',
  recordUid: 'log.record.uid',
  errorType: 'error.type',

  filePath: 'file.path',
  fileInode: 'file.inode',
  fileMode: 'file.mode',
  fileOwnerId: 'file.owner.id',
  fileGroupId: 'file.group.id',
  fileSize: 'file.size',
  /** Base64 of a `file.path` that is not UTF-8. */
  pathBytes: 'fileward.file.path_bytes',
  protectedPath: 'fileward.file.protected_path',
  protectedPathBytes: 'fileward.file.protected_path_bytes',
  newPath: 'fileward.file.new_path',
  newPathBytes: 'fileward.file.new_path_bytes',
  replaced: 'fileward.file.replaced',
  /** Covered files in a directory that was moved, replaced or deleted. */
  fileCount: 'fileward.file.count',
  sha256: 'fileward.file.sha256',
  sha256Before: 'fileward.file.sha256_before',

  operation: 'fileward.operation',
  verdict: 'fileward.verdict',
  mode: 'fileward.mode',
  reason: 'fileward.reason',

  rule: 'security_rule.name',
  group: 'security_rule.ruleset.name',
  policyVersion: 'security_rule.version',
  ruleDescription: 'security_rule.description',
  ruleReference: 'security_rule.reference',
  ruleTagPrefix: 'fileward.rule.tag.',
  groupLabelPrefix: 'fileward.group.label.',
  ruleYaml: 'fileward.rule.yaml',

  processPid: 'process.pid',
  processParentPid: 'process.parent_pid',
  processPath: 'process.executable.path',
  processName: 'process.executable.name',
  processUserId: 'process.user.id',
  processUserName: 'process.user.name',
  processRealUserId: 'process.real_user.id',
  processCreationTime: 'process.creation.time',
  processCgroup: 'process.linux.cgroup',
  processArgs: 'process.command_args',
  processAncestors: 'fileward.process.ancestors',
  appKind: 'fileward.app.kind',
  packageManager: 'fileward.package.manager',

  count: 'fileward.count',
  firstSeen: 'fileward.first_seen',
  lastSeen: 'fileward.last_seen',

  lostStage: 'fileward.lost.stage',
  lostTree: 'fileward.lost.tree',

  // Of metrics only.
  event: 'fileward.event',
  behavior: 'fileward.rule.behavior',
  markKind: 'fileward.mark.kind',
  policyHash: 'fileward.policy.hash',
  policyOutcome: 'fileward.policy.outcome',
} as const;

export interface Metric {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
}

function metric(name: string, unit: string, description: string): Metric {
  return { name, unit, description };
}

export const METRIC = {
  fileEvents: metric(
    'fileward.file.events',
    '{event}',
    'Opens and changes of covered files, by what came of them.',
  ),
  verdictDuration: metric(
    'fileward.verdict.duration',
    's',
    'From reading a permission event to answering it.',
  ),
  recordLost: metric(
    'fileward.record.lost',
    '{record}',
    'Records that never reached the collector.',
  ),
  recordExported: metric(
    'fileward.record.exported',
    '{record}',
    'Records that the collector took.',
  ),
  outboxRecords: metric(
    'fileward.outbox.record.count',
    '{record}',
    'Records that wait for the collector.',
  ),
  outboxSize: metric('fileward.outbox.size', 'By', 'Size of the records that wait.'),
  marks: metric('fileward.mark.count', '{mark}', 'Marks placed in the kernel.'),
  workloads: metric('fileward.workload.count', '{workload}', 'Members of each group.'),
  rules: metric('fileward.rule.count', '{rule}', 'Rules in force.'),
  enforcementActive: metric('fileward.enforcement.active', '1', '1 where a rule denies, else 0.'),
  coverageGaps: metric('fileward.coverage.gaps', '{rule}', 'Rules that are not wholly covered.'),
  learnedPairs: metric('fileward.learned.pair.count', '{pair}', 'Learned pairs of rule and app.'),
  policyInfo: metric('fileward.policy.info', '1', 'The policy in force.'),
  policyReloads: metric('fileward.policy.reloads', '{reload}', 'Loads of the configuration.'),
} as const;

/** `error.type` of what was lost between the kernel and the collector; each counter exists at 0 from the start. */
export const LOST_REASONS = [
  'queue_overflow',
  'inotify_overflow',
  'ring_full',
  'coverage_queue_full',
  'event_open_failed',
  'event_read_failed',
  'event_malformed',
  'outbox_full',
  'export_rejected',
  'shutdown',
] as const;

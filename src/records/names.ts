/**
 * Every event, attribute and metric name that fileward sends, each once. Made from config/telemetry-registry/ by
 * `.ci/registry`: not to be edited.
 */
// Long because it has every name.
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
export type Reason =
  | 'app_not_listed'
  | 'identity_mismatch'
  | 'ancestry_unknown'
  | 'intent_unproven'
  | 'not_enforceable'
  | 'descriptor_not_judged'
  | 'empty_file_left'
  | 'process_gone'
  | 'process_changed'
  | 'deadline'
  | 'found_on_rescan';

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

/** `fileward.lost.stage`: between which stations something was lost. */
export type LostStage = 'kernel' | 'ring' | 'records' | 'outbox' | 'export' | 'agent';

/** `error.type` of what was lost between the kernel and the collector; each counter exists at 0 from the start. */
export const LOST_REASONS = [
  'queue_overflow',
  'inotify_overflow',
  'ring_full',
  'coverage_queue_full',
  'deadline',
  'event_open_failed',
  'event_read_failed',
  'event_malformed',
  'policy_gone',
  'outbox_full',
  'outbox_write_failed',
  'outbox_corrupt',
  'export_rejected',
  'crash',
  'shutdown',
  'unaccounted',
] as const;
export type LostReason = (typeof LOST_REASONS)[number];

export const ATTRIBUTE = {
  /** What was done; on metrics `read`, `write` or `exec` only. */
  operation: 'fileward.operation',
  /** What the kernel was told. */
  verdict: 'fileward.verdict',
  /** The mode in force for the rule. */
  mode: 'fileward.mode',
  /** Why the record is what it is. */
  reason: 'fileward.reason',
  /** How many equal events the record stands for, or how many records were lost, or verdicts late. */
  count: 'fileward.count',
  /** Time of the first of them, ISO 8601. */
  firstSeen: 'fileward.first_seen',
  /** Time of the last of them, ISO 8601. */
  lastSeen: 'fileward.last_seen',
  /** The bytes of a `file.path` that is not UTF-8, base64. */
  pathBytes: 'fileward.file.path_bytes',
  /** The covered name, when the file was reached by another one: hard link, bind mount, moved file. */
  protectedPath: 'fileward.file.protected_path',
  /** The bytes of that name when they are not UTF-8, base64. */
  protectedPathBytes: 'fileward.file.protected_path_bytes',
  /** The other name of a rename or link. */
  newPath: 'fileward.file.new_path',
  /** The bytes of that name when they are not UTF-8, base64. */
  newPathBytes: 'fileward.file.new_path_bytes',
  /** Something was there under the name. */
  replaced: 'fileward.file.replaced',
  /** Covered files in a directory that was moved, replaced or deleted. */
  fileCount: 'fileward.file.count',
  /** SHA-256 of the content after the change, hex. */
  sha256: 'fileward.file.sha256',
  /** The same of the content before, where it was known. */
  sha256Before: 'fileward.file.sha256_before',
  /** A tag of the rule, `<key>` being the tag's own key. */
  ruleTagPrefix: 'fileward.rule.tag.',
  /** A label of the group, `<key>` being the label's own key. */
  groupLabelPrefix: 'fileward.group.label.',
  /** The rule text to paste. */
  ruleYaml: 'fileward.rule.yaml',
  /** The rule's behavior. */
  behavior: 'fileward.rule.behavior',
  /** Executables of the ancestors, nearest first, at most 8: what each ran when it forked the next. */
  processAncestors: 'fileward.process.ancestors',
  /** Where the process comes from when it is not of the file's workload. */
  processOrigin: 'fileward.process.origin',
  /** The container of the process when it is not the file's. */
  processContainerId: 'fileward.process.container.id',
  /** What the executable is; `interpreter` and `multicall` are too broad to list without a second look. */
  appKind: 'fileward.app.kind',
  /** The package manager that made the change. */
  packageManager: 'fileward.package.manager',
  /** The criteria by which the group holds the workload. */
  workloadCriteria: 'fileward.workload.criteria',
  /** Between which stations it was lost. */
  lostStage: 'fileward.lost.stage',
  /** The file tree it was about, where that is known. */
  lostTree: 'fileward.lost.tree',
  /** Opens that `on_deadline` allowed until then. */
  enforcementAllowed: 'fileward.enforcement.allowed',
  /** Opens that `on_deadline` denied until then. */
  enforcementDenied: 'fileward.enforcement.denied',
  /** SHA-256 of the configuration as it was read, hex. */
  policyHash: 'fileward.policy.hash',
  /** What came of loading the configuration. */
  policyOutcome: 'fileward.policy.outcome',
  /** What came of it. */
  event: 'fileward.event',
  /** Kind of the mark. */
  markKind: 'fileward.mark.kind',
  eventName: 'otel.event.name',
  recordUid: 'log.record.uid',
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
  rule: 'security_rule.name',
  group: 'security_rule.ruleset.name',
  policyVersion: 'security_rule.version',
  ruleDescription: 'security_rule.description',
  ruleReference: 'security_rule.reference',
  filePath: 'file.path',
  fileInode: 'file.inode',
  fileMode: 'file.mode',
  fileOwnerId: 'file.owner.id',
  fileGroupId: 'file.group.id',
  fileSize: 'file.size',
  errorType: 'error.type',
  serviceName: 'service.name',
  serviceInstanceId: 'service.instance.id',
  serviceVersion: 'service.version',
  hostId: 'host.id',
  hostName: 'host.name',
  osType: 'os.type',
  osName: 'os.name',
  osVersion: 'os.version',
  osDescription: 'os.description',
  k8sNodeName: 'k8s.node.name',
  k8sClusterName: 'k8s.cluster.name',
  containerId: 'container.id',
  containerName: 'container.name',
  containerImageName: 'container.image.name',
  containerImageTags: 'container.image.tags',
  containerRuntimeName: 'container.runtime.name',
  k8sPodName: 'k8s.pod.name',
  k8sPodUid: 'k8s.pod.uid',
  k8sNamespaceName: 'k8s.namespace.name',
  k8sContainerName: 'k8s.container.name',
} as const;

export interface Metric {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
}

export const METRIC = {
  fileEvents: {
    name: 'fileward.file.events',
    unit: '{event}',
    description: 'Opens and changes of covered files, by what came of them.',
  },
  verdictDuration: {
    name: 'fileward.verdict.duration',
    unit: 's',
    description: 'From reading a permission event to answering it.',
  },
  recordLost: {
    name: 'fileward.record.lost',
    unit: '{record}',
    description: 'Records that never reached the collector.',
  },
  recordExported: {
    name: 'fileward.record.exported',
    unit: '{record}',
    description: 'Records that the collector took.',
  },
  outboxRecordCount: {
    name: 'fileward.outbox.record.count',
    unit: '{record}',
    description: 'Records that wait for the collector.',
  },
  outboxSize: {
    name: 'fileward.outbox.size',
    unit: 'By',
    description: 'Size of the records that wait.',
  },
  outboxLimit: {
    name: 'fileward.outbox.limit',
    unit: 'By',
    description: 'The size at which records are refused.',
  },
  markCount: {
    name: 'fileward.mark.count',
    unit: '{mark}',
    description: 'Marks placed in the kernel.',
  },
  workloadCount: {
    name: 'fileward.workload.count',
    unit: '{workload}',
    description: 'Members of each group.',
  },
  ruleCount: {
    name: 'fileward.rule.count',
    unit: '{rule}',
    description: 'Rules in force.',
  },
  enforcementActive: {
    name: 'fileward.enforcement.active',
    unit: '{group}',
    description: '1 where a rule denies and the agent decides, else 0.',
  },
  coverageGaps: {
    name: 'fileward.coverage.gaps',
    unit: '{rule}',
    description: 'Rules that are not wholly covered.',
  },
  learnedPairCount: {
    name: 'fileward.learned.pair.count',
    unit: '{pair}',
    description: 'Learned pairs of rule and app.',
  },
  policyInfo: {
    name: 'fileward.policy.info',
    unit: '{policy}',
    description: 'The policy in force.',
  },
  policyReloads: {
    name: 'fileward.policy.reloads',
    unit: '{reload}',
    description: 'Loads of the configuration.',
  },
  canaryDuration: {
    name: 'fileward.canary.duration',
    unit: 's',
    description: "How long the guardian's open of the canary file takes, every two seconds.",
  },
} as const satisfies Readonly<Record<string, Metric>>;

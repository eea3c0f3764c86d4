/** The records about files and rules: attributes, severity and sentence of each. */
import { printable } from '../policy/printable.ts';
import { hostWorkload, unknownWorkload } from '../native/event-layout.ts';
import type { RuleInfo } from '../policy/compile.ts';
import { isoNanoseconds } from './clock.ts';
import type { Actor, FileStatus, KernelEvent, PathName } from './kernel-event.ts';
import { ATTRIBUTE, FILE_EVENT, RULE_LEARNED, type RecordOperation, SEVERITY } from './names.ts';
import type { Folded, Occurrence, Rest } from './occurrence.ts';
import type { Attributes, AttributeValue, FilewardRecord } from './record.ts';
import { uuidV7 } from './uuid.ts';
import type { RecordWorkload } from './workload-book.ts';

type Draft = Record<string, AttributeValue>;

/** What is known of a workload; undefined: nothing, or nothing any more. */
export type WorkloadOf = (id: number) => RecordWorkload | undefined;

/** Where something happened, and who did it. */
interface Deed {
  readonly workload: number;
  readonly actorWorkload: number;
  readonly actor: Actor;
}

/** Completes a record: every one carries its name and an id that stays the same on each retry. */
export function makeRecord(
  resource: Attributes,
  record: Omit<FilewardRecord, 'resource'>,
): FilewardRecord {
  return {
    ...record,
    attributes: {
      ...record.attributes,
      [ATTRIBUTE.eventName]: record.event,
      [ATTRIBUTE.recordUid]: uuidV7(Number(record.time / 1_000_000n)),
    },
    resource,
  };
}

export function fileRecord(workloadOf: WorkloadOf, folded: Folded): FilewardRecord {
  const { occurrence } = folded;
  const attributes: Draft = {};
  addPath(attributes, ATTRIBUTE.filePath, ATTRIBUTE.pathBytes, occurrence.path);
  addPath(
    attributes,
    ATTRIBUTE.protectedPath,
    ATTRIBUTE.protectedPathBytes,
    occurrence.protectedPath,
  );
  addPath(attributes, ATTRIBUTE.newPath, ATTRIBUTE.newPathBytes, occurrence.newPath);
  add(attributes, ATTRIBUTE.replaced, occurrence.replaced);
  add(attributes, ATTRIBUTE.fileCount, occurrence.fileCount);
  add(attributes, ATTRIBUTE.fileInode, occurrence.inode);
  addStatus(attributes, occurrence.status);
  add(attributes, ATTRIBUTE.sha256, occurrence.sha256);
  add(attributes, ATTRIBUTE.sha256Before, occurrence.sha256Before);
  attributes[ATTRIBUTE.operation] = occurrence.operation;
  attributes[ATTRIBUTE.verdict] = occurrence.verdict;
  attributes[ATTRIBUTE.mode] = occurrence.mode;
  add(attributes, ATTRIBUTE.reason, occurrence.reason);
  addRule(attributes, occurrence.rule);
  addActor(attributes, occurrence, workloadOf);
  add(attributes, ATTRIBUTE.packageManager, occurrence.packageManager);
  addCount(attributes, folded);
  return makeRecord(resourceOf(occurrence.workload, workloadOf), {
    time: occurrence.timeNs,
    event: FILE_EVENT[occurrence.event],
    severity: occurrence.severity,
    body: fileSentence(occurrence),
    attributes,
  });
}

/** One record for all that a rule had to tell beyond its `max_records`. */
export function restRecord(workloadOf: WorkloadOf, rest: Rest): FilewardRecord {
  const attributes: Draft = {
    [ATTRIBUTE.verdict]: rest.verdict,
    [ATTRIBUTE.mode]: rest.mode,
  };
  addRule(attributes, rest.rule);
  addCount(attributes, rest);
  const what = rest.event === 'modified' ? 'changes' : 'accesses';
  const rule = ruleName(rest.rule);
  return makeRecord(resourceOf(rest.workload, workloadOf), {
    time: rest.lastNs,
    event: FILE_EVENT[rest.event],
    severity: rest.severity,
    body: `${rest.count} more ${what} ${rest.event} under rule ${rule}, beyond its max_records`,
    attributes,
  });
}

export interface LearnedPair extends Deed {
  readonly timeNs: bigint;
  readonly rule: RuleInfo;
  readonly operation: 'read' | 'write' | 'exec';
  readonly path: PathName;
  readonly appKind: string;
  readonly yaml: string;
}

export function learnedRecord(workloadOf: WorkloadOf, pair: LearnedPair): FilewardRecord {
  const attributes: Draft = { [ATTRIBUTE.operation]: pair.operation };
  addPath(attributes, ATTRIBUTE.filePath, ATTRIBUTE.pathBytes, pair.path);
  attributes[ATTRIBUTE.mode] = 'discover';
  addRule(attributes, pair.rule);
  addActor(attributes, pair, workloadOf);
  attributes[ATTRIBUTE.appKind] = pair.appKind;
  attributes[ATTRIBUTE.ruleYaml] = pair.yaml;
  return makeRecord(resourceOf(pair.workload, workloadOf), {
    time: pair.timeNs,
    event: RULE_LEARNED,
    severity: SEVERITY.info2,
    body: printable(
      `learned for rule ${ruleName(pair.rule)}: ${pair.actor.exe} ${pair.operation}s, first ${pair.path.text}`,
    ),
    attributes,
  });
}

/** Which file an app's path names now, and who put it there. */
export function appReplacedAttributes(event: KernelEvent, workloadOf: WorkloadOf): Attributes {
  const attributes: Draft = { [ATTRIBUTE.errorType]: 'identity_mismatch' };
  addPath(attributes, ATTRIBUTE.filePath, ATTRIBUTE.pathBytes, event.path);
  addActor(attributes, event, workloadOf);
  return attributes;
}

/** Of a workload that is not known any more only the host is. */
export function resourceOf(workload: number, workloadOf: WorkloadOf): Attributes {
  return (workloadOf(workload) ?? workloadOf(hostWorkload))?.resource ?? {};
}

function add(attributes: Draft, name: string, value: AttributeValue | undefined): void {
  if (value !== undefined) attributes[name] = value;
}

function addPath(attributes: Draft, name: string, bytesName: string, path?: PathName): void {
  if (path === undefined) return;
  attributes[name] = path.text;
  add(attributes, bytesName, path.bytes?.toString('base64'));
}

function addStatus(attributes: Draft, status: FileStatus | undefined): void {
  if (status === undefined) return;
  attributes[ATTRIBUTE.fileMode] = (status.mode & 0o7777).toString(8).padStart(4, '0');
  attributes[ATTRIBUTE.fileOwnerId] = String(status.uid);
  attributes[ATTRIBUTE.fileGroupId] = String(status.gid);
  attributes[ATTRIBUTE.fileSize] = Number(status.size);
}

function addRule(attributes: Draft, rule: RuleInfo): void {
  attributes[ATTRIBUTE.rule] = rule.rule;
  attributes[ATTRIBUTE.group] = rule.group;
  add(attributes, ATTRIBUTE.policyVersion, rule.policyVersion);
  add(attributes, ATTRIBUTE.ruleDescription, rule.description);
  add(attributes, ATTRIBUTE.ruleReference, rule.reference);
  for (const [key, value] of Object.entries(rule.tags)) {
    attributes[ATTRIBUTE.ruleTagPrefix + key] = value;
  }
  for (const [key, value] of Object.entries(rule.labels)) {
    attributes[ATTRIBUTE.groupLabelPrefix + key] = value;
  }
}

/** Undefined: the file's workload, or nobody knows. */
function originOf({
  workload,
  actorWorkload,
}: Pick<Deed, 'workload' | 'actorWorkload'>): 'host' | 'container' | undefined {
  if (actorWorkload === unknownWorkload || actorWorkload === workload) return undefined;
  return actorWorkload === hostWorkload ? 'host' : 'container';
}

function addActor(attributes: Draft, { actor, ...deed }: Deed, workloadOf: WorkloadOf): void {
  const own = workloadOf(deed.actorWorkload);
  if (actor.pid > 0) attributes[ATTRIBUTE.processPid] = actor.pid;
  const origin = originOf(deed);
  add(attributes, ATTRIBUTE.processOrigin, origin);
  if (origin !== undefined) add(attributes, ATTRIBUTE.processContainerId, own?.containerId);
  if (actor.exe === undefined) return;
  const userId = (uid: number | undefined) => (uid === undefined ? uid : (own?.userId(uid) ?? uid));
  const uid = userId(actor.uid);
  add(attributes, ATTRIBUTE.processParentPid, actor.parentPid);
  attributes[ATTRIBUTE.processPath] = actor.exe;
  attributes[ATTRIBUTE.processName] = baseName(actor.exe);
  add(attributes, ATTRIBUTE.processUserId, uid);
  if (uid !== undefined) add(attributes, ATTRIBUTE.processUserName, own?.users.nameOf(uid));
  add(attributes, ATTRIBUTE.processRealUserId, userId(actor.realUid));
  if (actor.startNs !== undefined) {
    attributes[ATTRIBUTE.processCreationTime] = isoNanoseconds(actor.startNs);
  }
  add(attributes, ATTRIBUTE.processCgroup, actor.cgroup);
  add(attributes, ATTRIBUTE.processAncestors, actor.ancestors?.slice(0, 8));
  add(attributes, ATTRIBUTE.processArgs, actor.args);
}

function addCount(
  attributes: Draft,
  { count, firstNs, lastNs }: Pick<Folded, 'count' | 'firstNs' | 'lastNs'>,
): void {
  attributes[ATTRIBUTE.count] = count;
  if (count === 1) return;
  attributes[ATTRIBUTE.firstSeen] = isoNanoseconds(firstNs);
  attributes[ATTRIBUTE.lastSeen] = isoNanoseconds(lastNs);
}

const OPENED: Readonly<Record<string, string>> = {
  read: 'read access to',
  write: 'write access to',
  exec: 'execution of',
};
const CHANGED: Readonly<Record<RecordOperation, string>> = {
  read: 'opened',
  write: 'wrote to',
  exec: 'executed',
  create: 'created',
  delete: 'deleted',
  rename: 'renamed',
  truncate: 'truncated',
  attributes: 'changed owner, mode or times of',
};

/** When nobody saw who did it. */
const FOUND: Readonly<Record<RecordOperation, string>> = {
  read: 'opened',
  write: 'written',
  exec: 'executed',
  create: 'created',
  delete: 'deleted',
  rename: 'renamed',
  truncate: 'truncated',
  attributes: 'given another owner, mode or times',
};

function fileSentence(occurrence: Occurrence): string {
  const { actor, operation } = occurrence;
  const origin = originOf(occurrence);
  const from = origin && (origin === 'host' ? ' of the host' : ' of another container');
  const who = actor.exe
    ? `${baseName(actor.exe)} (pid ${actor.pid}${from ?? ''})`
    : `a process that is not known${actor.pid > 0 ? ` (pid ${actor.pid})` : ''}`;
  const what = objectOf(occurrence);
  if (occurrence.event === 'modified' && occurrence.reason === 'found_on_rescan') {
    return printable(`found on rescan: ${what} was ${FOUND[operation]}`);
  }
  if (operation === 'create' && occurrence.newPath) return printable(`${who} linked ${what}`);
  const opened = OPENED[operation];
  const done = `${who} ${CHANGED[operation]} ${what}`;
  const against = `against rule ${ruleName(occurrence.rule)}`;
  switch (occurrence.event) {
    case 'denied':
      return printable(
        `${who} was denied ${opened} ${what}${
          occurrence.reason === 'empty_file_left' ? '; the empty file it created stays' : ''
        }`,
      );
    case 'violated':
      return printable(
        opened && occurrence.reason !== 'descriptor_not_judged'
          ? `${who} was let through to ${opened} ${what} ${against}`
          : `${done} ${against}`,
      );
    case 'accessed':
    case 'modified':
      return printable(done);
  }
}

function objectOf({ path, newPath, fileCount }: Occurrence): string {
  const name = newPath ? `${path.text} to ${newPath.text}` : path.text;
  return fileCount === undefined ? name : `${name} with ${fileCount} covered files`;
}

function ruleName(rule: RuleInfo): string {
  return `${rule.group}/${rule.rule}`;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

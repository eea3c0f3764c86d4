/**
 * From drained kernel events to records: names rule, file and process, learns, waits for what belongs together, folds.
 * Owns all that waits in memory, each kind of it bounded. Runs on the JavaScript thread; `accept` copies what it keeps,
 * so a batch may be overwritten when it returns. `tick` is to be called every 50 ms or so.
 */
// Long because it is the whole way of an event to its record.
import { printable } from '../policy/printable.ts';
import type { EventBatch } from '../native/event-batch.ts';
import { hostWorkload, unknownWorkload } from '../native/event-layout.ts';
import type { CompiledPolicy, RuleInfo } from '../policy/compile.ts';
import type { Configuration } from '../policy/document.ts';
import type { Operation } from '../policy/ruleset.ts';
import { type Change, Changes } from './changes.ts';
import { type Clock, oldestOf, systemClock } from './clock.ts';
import { ChangeHasher } from './change-hasher.ts';
import type { RecordCounters } from './counters.ts';
import {
  appReplacedAttributes,
  fileRecord,
  learnedRecord,
  makeRecord,
  resourceOf,
  restRecord,
  type WorkloadOf,
} from './file-record.ts';
import { AwaitNames } from './await-names.ts';
import { Fold } from './fold.ts';
import { hasFlag, type KernelEvent, readEvent } from './kernel-event.ts';
import type { Found, HashedFile } from './known-files-messages.ts';
import type { LearnedPairs } from './learned.ts';
import { EventAccount, type LedgerSources } from './ledger.ts';
import { type Gap, gapAttributes, gapSentence, type Loss, LossLedger, lossOf } from './loss.ts';
import {
  AGENT_EVENT_SEVERITY,
  type AgentEvent,
  type FileEvent,
  RECORD_LOST,
  SEVERITY,
} from './names.ts';
import { foundOccurrence, type Occurrence, occurrenceOf } from './occurrence.ts';
import { type ProcessFiles, procFiles } from './process-files.ts';
import type { Attributes, FilewardRecord } from './record.ts';
import { RecordLimit } from './record-limit.ts';
import type { WorkloadBook } from './workload-book.ts';

/** What of a configuration says how records are made. */
export type RecordSettings = Pick<Configuration, 'records' | 'learning'>;

export interface PipelineOptions {
  /** Whose files and processes there are. */
  readonly workloads: Pick<WorkloadBook, 'of' | 'openFile'>;
  readonly onRecord: (record: FilewardRecord) => void;
  readonly counters: RecordCounters;
  readonly learned: LearnedPairs;
  readonly clock?: Clock;
  readonly processes?: ProcessFiles;
}

export interface PipelineStats {
  /** Events taken from the native core, by kind. */
  readonly events: Readonly<Record<string, number>>;
  /** Records handed on, by event name. */
  readonly records: Readonly<Record<string, number>>;
  /** Records lost or dropped, by reason; a gap whose number isn't known counts 1. */
  readonly lost: Readonly<Record<string, number>>;
}

/** At the end, hashes that take longer are left out. */
const FLUSH_HASHES_MS = 1000;
/** Events of a replaced ruleset are still on their way for a moment. */
const KEPT_POLICIES = 4;

export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #workloadOf: WorkloadOf;
  readonly #policies = new Map<bigint, CompiledPolicy>();
  readonly #changes: Changes;
  readonly #fold: Fold;
  readonly #limit: RecordLimit;
  readonly #names = new AwaitNames();
  readonly #hasher: ChangeHasher;
  readonly #losses: LossLedger;
  readonly #account = new EventAccount();
  readonly #unknownGaps: Record<string, Record<string, number>> = {};
  #emitted = 0;
  readonly #counts = {
    events: new Map<string, number>(),
    records: new Map<string, number>(),
    lost: new Map<string, number>(),
  };
  #settings: RecordSettings | undefined;

  constructor(options: PipelineOptions) {
    const clock = options.clock ?? systemClock;
    this.#options = options;
    this.#workloadOf = (id) => options.workloads.of(id);
    this.#losses = new LossLedger(clock, (gap) => this.#tellGap(gap));
    this.#limit = new RecordLimit({
      clock,
      pass: (folded) =>
        this.#emitNamed(folded.occurrence, folded.events, () =>
          fileRecord(this.#workloadOf, folded),
        ),
      emitRest: (rest) => this.#emit(restRecord(this.#workloadOf, rest), rest.events),
    });
    this.#fold = new Fold({
      clock,
      windowMs: () => this.#settings?.records.windowMs ?? 0,
      emit: (folded) => this.#limit.add(folded),
    });
    this.#hasher = new ChangeHasher(
      () => this.#settings?.records.hash,
      (workload, path, flags) => options.workloads.openFile(workload, path, flags),
    );
    this.#changes = new Changes({
      clock,
      processes: options.processes ?? procFiles,
      isGated: (event) => this.#ruleOf(event)?.behavior === 'block',
      onChange: (change) => this.#change(change),
      onDenied: (open, emptyFileLeft) => this.#tellOpen(open, emptyFileLeft),
      onNothing: (why) => {
        this.#account[why] += 1;
      },
    });
  }

  /** To be called before the native session gets the ruleset of this version. */
  usePolicy(version: bigint, policy: CompiledPolicy, settings: RecordSettings): void {
    this.#policies.set(version, policy);
    this.#settings = settings;
    const oldest = this.#policies.keys().next();
    if (this.#policies.size > KEPT_POLICIES && !oldest.done) this.#policies.delete(oldest.value);
  }

  /** The ruleset of this version did not come into force. */
  dropPolicy(version: bigint): void {
    this.#policies.delete(version);
  }

  /** @throws what the first event threw that could not be understood; it is counted as lost and the others are told. */
  accept(batch: EventBatch): void {
    const errors: unknown[] = [];
    while (batch.next()) {
      try {
        this.#acceptOne(batch);
      } catch (error) {
        errors.push(error);
        this.#drop('event_malformed', 1);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  /** A record about the agent itself, or about a workload as the agent sees it; it is never folded. */
  agentEvent(
    event: AgentEvent,
    body: string,
    attributes: Attributes = {},
    workload = hostWorkload,
  ): void {
    const time = (this.#options.clock ?? systemClock).nowNs();
    const severity = AGENT_EVENT_SEVERITY[event];
    const resource = resourceOf(workload, this.#workloadOf);
    // It may name a container, which is called what somebody likes.
    const about = { time, event, severity, body: printable(body), attributes };
    this.#emit(makeRecord(resource, about));
  }

  /** Something did not become a record, or a record did not reach the collector. */
  lost(loss: Loss): void {
    const { reason, stage } = loss;
    count(this.#counts.lost, reason, loss.count ?? 1);
    this.#options.counters.lost(reason, loss.count ?? 1);
    if (loss.count === undefined) {
      const gaps = this.#unknownGaps[stage];
      this.#unknownGaps[stage] = { ...gaps, [reason]: (gaps?.[reason] ?? 0) + 1 };
    }
    this.#losses.add(loss);
  }

  /** A change that happened while no agent ran; `ruleIndex` counts in the ruleset of that version. */
  found(found: Found, ruleIndex: number, rulesetVersion: bigint): void {
    const rule = this.#policies.get(rulesetVersion)?.rules[ruleIndex];
    if (rule === undefined) {
      this.lost({ reason: 'policy_gone', stage: 'records', count: 1 });
      return;
    }
    this.#options.counters.fileEvent(rule, 'modified', 'write');
    const now = (this.#options.clock ?? systemClock).nowNs();
    this.#fold.add(foundOccurrence(found, rule, now));
  }

  /** Paths (`pathKey`) and inode numbers of what was accepted and is not told yet. */
  notTold(): ReadonlySet<string> {
    const keys = new Set<string>();
    for (const about of [this.#changes, this.#hasher, this.#fold]) about.addWaiting(keys);
    return keys;
  }

  /** Content of files as it is known to be, so that a first change can say what was there. */
  learnHashes(files: readonly HashedFile[]): void {
    this.#hasher.learn(files);
  }

  /** Hashes of changed files since the last call. */
  takeHashes(): HashedFile[] {
    return this.#hasher.takeHashes();
  }

  /** Tells the gaps known so far, without waiting for more of the same. */
  tellLosses(): void {
    this.#losses.flush();
  }

  tick(): void {
    this.#changes.tick();
    this.#fold.tick();
    this.#limit.tick();
    this.#losses.tick();
  }

  /** Hands on all that waits, hashes included. */
  async flush(): Promise<void> {
    this.#changes.flush();
    await this.#hasher.finish(FLUSH_HASHES_MS);
    this.#fold.flush();
    this.#limit.flush();
    this.#names.flush();
    this.#losses.flush();
  }

  stats(): PipelineStats {
    const { events, records, lost } = this.#counts;
    return {
      events: Object.fromEntries(events),
      records: Object.fromEntries(records),
      lost: Object.fromEntries(lost),
    };
  }

  /** Time of the oldest event that is not wholly told; undefined: nothing waits. */
  oldestWaitingNs(): bigint | undefined {
    const waiting = [
      this.#changes,
      this.#hasher,
      this.#fold,
      this.#limit,
      this.#names,
      this.#losses,
    ];
    return oldestOf(waiting.map((each) => each.oldestWaitingNs()));
  }

  /** What the ledger has to know of this stage. */
  books(): LedgerSources['records'] {
    return {
      account: this.#account,
      waiting:
        this.#changes.waiting +
        this.#hasher.waiting +
        this.#fold.waiting +
        this.#limit.waiting +
        this.#names.waiting,
      emitted: this.#emitted,
      unknownGaps: this.#unknownGaps,
    };
  }

  #acceptOne(batch: EventBatch): void {
    const { kind } = batch;
    count(this.#counts.events, kind, 1);
    switch (kind) {
      case 'lost':
        // The ring's own report is no record that went through the ring.
        if (batch.failureName !== 'ring_full') this.#account.lossReports += 1;
        this.lost(lossOf(batch));
        break;
      case 'app_replaced':
        this.#acceptAppReplaced(readEvent(batch));
        break;
      case 'open':
      case 'access':
      case 'change':
        this.#acceptFile(batch);
        break;
      default:
        this.#account.quiet += 1;
    }
  }

  #drop(reason: string, events: number): void {
    this.#account.drop(reason, events);
    this.lost({ reason, stage: 'records', count: events });
  }

  /** A replacement that is followed is what the configuration meant; one that isn't leaves an app unlisted. */
  #acceptAppReplaced(event: KernelEvent): void {
    if (hasFlag(event, 'listed')) {
      this.#account.quiet += 1;
      return;
    }
    this.#account.told += 1;
    this.agentEvent(
      'fileward.coverage.degraded',
      `${event.path.text} was replaced and is listed no more until a reload`,
      appReplacedAttributes(event, this.#workloadOf),
      event.workload,
    );
  }

  #acceptFile(batch: EventBatch): void {
    if (batch.has('own')) {
      this.#account.quiet += 1;
      return;
    }
    const event = readEvent(batch);
    if (event.kind === 'change') this.#changes.fact(event);
    else if (event.kind === 'access' || !this.#changes.open(event)) this.#tellOpen(event, false);
  }

  /** A judged or a watched open. */
  #tellOpen(event: KernelEvent, emptyFileLeft: boolean): void {
    const rule = this.#ruleOf(event);
    const { outcome, operation } = event;
    if (rule === undefined) {
      this.#drop('policy_gone', 1);
      return;
    }
    if (operation === 'none') {
      this.#account.quiet += 1;
      return;
    }
    const learns = outcome === 'learned' || (outcome === 'accessed' && event.mode === 'discover');
    const learned = learns && this.#learn(rule, event, operation);
    if (outcome !== 'accessed' && outcome !== 'violated' && outcome !== 'denied') {
      this.#account[learned ? 'told' : 'quiet'] += 1;
      this.#options.counters.fileEvent(rule, 'quiet', operation);
      return;
    }
    this.#options.counters.fileEvent(rule, outcome, operation);
    const occurrence = this.#occurrence(rule, event, outcome, operation, 1);
    const left = {
      reason: 'empty_file_left',
      severity: SEVERITY[rule.severity ?? 'error'],
    } as const;
    this.#fold.add(emptyFileLeft ? { ...occurrence, ...left } : occurrence);
  }

  #change(change: Change): void {
    const { fact, judged, events } = change;
    const rule = this.#ruleOf(fact);
    if (rule === undefined) {
      this.#drop('policy_gone', events);
      return;
    }
    if (fact.outcome !== 'modified' && fact.outcome !== 'violated') {
      this.#account.quiet += events;
      this.#hasher.forget(change);
      this.#options.counters.fileEvent(rule, 'quiet', 'write');
      return;
    }
    let told = !judged && this.#tellUnlisted(rule, fact, change.operation);
    for (const other of change.accomplices) {
      const rule = this.#ruleOf(other);
      if (!rule || hasFlag(other, 'judged')) continue;
      told = this.#tellUnlisted(rule, other, change.operation) || told;
    }
    this.#hasher.add(change, rule.hash, (hashes) => {
      if (!change.differs && hashes.sha256 !== undefined && hashes.sha256 === hashes.sha256Before) {
        this.#account[told ? 'folded' : 'quiet'] += events;
        return;
      }
      this.#options.counters.fileEvent(rule, 'modified', 'write');
      const occurrence = this.#occurrence(rule, fact, 'modified', change.operation, events);
      this.#fold.add({ ...occurrence, ...hashes });
    });
  }

  /** A change that no gate could have stopped, by an app that no entry lists; true when there was something to tell. */
  #tellUnlisted(rule: RuleInfo, fact: KernelEvent, operation: Change['operation']): boolean {
    if (hasFlag(fact, 'listed')) return false;
    const learned = fact.mode === 'discover' && this.#learn(rule, fact, 'write');
    if (fact.outcome !== 'violated') return learned;
    this.#options.counters.fileEvent(rule, 'violated', 'write');
    // The record of the change itself accounts for its events.
    this.#fold.add(this.#occurrence(rule, fact, 'violated', operation, 0));
    return true;
  }

  /** True when it is new, and told. */
  #learn(rule: RuleInfo, event: KernelEvent, operation: Operation): boolean {
    const { learned, counters } = this.#options;
    const { actor, workload, actorWorkload, timeNs, path } = event;
    if (actor.exe === undefined) return false;
    const userName = actor.uid === undefined ? undefined : this.#userName(event, actor.uid);
    const container = this.#containerOf(workload);
    const pair = learned.add({
      rule,
      app: actor.exe,
      operation,
      ...(this.#settings?.learning.user && userName !== undefined && { user: userName }),
      ...(userName !== undefined && { userName }),
      origin: originOf(event),
      ancestors: actor.ancestors ?? [],
      ...(actor.args && { args: actor.args }),
      pid: actor.pid,
      path: path.text,
      timeNs,
      ...(container !== undefined && { workload: container }),
    });
    if (pair === undefined) return false;
    counters.learnedPairs(rule.group, learned.countOf(rule.group));
    const { kind: appKind, yaml } = pair;
    const where = { workload, actorWorkload, timeNs, path };
    this.#emitNamed(event, 0, () =>
      learnedRecord(this.#workloadOf, { ...where, rule, operation, actor, appKind, yaml }),
    );
    return true;
  }

  /** As the opener's own workload knows it; by number when it has no name. */
  #userName({ actorWorkload }: KernelEvent, uid: number): string {
    const own = this.#workloadOf(actorWorkload);
    const inside = own?.userId(uid) ?? uid;
    return own?.users.nameOf(inside) ?? String(inside);
  }

  /** Name and image, for people; undefined: the host. */
  #containerOf(workload: number): string | undefined {
    if (workload === hostWorkload) return undefined;
    const resource = this.#workloadOf(workload)?.resource ?? {};
    const { 'container.name': name, 'container.image.name': image } = resource;
    const text = String(name ?? resource['container.id'] ?? 'a container');
    return image === undefined ? text : `${text} (${image})`;
  }

  #occurrence(
    rule: RuleInfo,
    event: KernelEvent,
    name: FileEvent,
    operation: Occurrence['operation'],
    events: number,
  ): Occurrence {
    const { ruleset } = this.#policies.get(event.rulesetVersion) ?? {};
    const manager = ruleset?.package_managers[event.packageManager]?.name;
    return occurrenceOf(event, rule, name, operation, events, manager);
  }

  #ruleOf(event: KernelEvent): RuleInfo | undefined {
    return this.#policies.get(event.rulesetVersion)?.rules[event.ruleIndex];
  }

  #tellGap(gap: Gap): void {
    this.agentEvent(RECORD_LOST, gapSentence(gap), gapAttributes(gap), gap.workload);
  }

  /** With the name of its user, if that can be read soon. */
  #emitNamed(
    { actor, actorWorkload, timeNs }: Pick<Occurrence, 'actor' | 'actorWorkload' | 'timeNs'>,
    events: number,
    make: () => FilewardRecord,
  ): void {
    const own = actor.uid === undefined ? undefined : this.#workloadOf(actorWorkload);
    const settled = own?.users.settled(own.userId(actor.uid ?? 0));
    this.#names.add(settled, events, timeNs, () => this.#emit(make(), events));
  }

  #emit(record: FilewardRecord, events = 0): void {
    this.#account.tell(events);
    this.#emitted += 1;
    count(this.#counts.records, record.event, 1);
    this.#options.onRecord(record);
  }
}

function count(counts: Map<string, number>, key: string, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}

/** Seen from the file's workload; one whose workload is not known passes for its own. */
function originOf({ workload, actorWorkload }: KernelEvent): 'same' | 'host' | 'container' {
  if (actorWorkload === workload || actorWorkload === unknownWorkload) return 'same';
  return actorWorkload === hostWorkload ? 'host' : 'container';
}

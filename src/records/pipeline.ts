/**
 * From drained kernel events to records: names rule, file and process, learns, waits for what belongs together, folds.
 * Owns all that waits in memory, each kind of it bounded. Runs on the JavaScript thread; `accept` copies what it keeps,
 * so a batch may be overwritten when it returns. `tick` is to be called every 50 ms or so.
 */
import type { EventBatch } from '../native/event-batch.ts';
import type { CompiledPolicy, RuleInfo } from '../policy/compile.ts';
import type { Configuration } from '../policy/document.ts';
import type { Operation } from '../policy/ruleset.ts';
import { overrideYaml } from '../policy/snippet.ts';
import { type Change, Changes } from './changes.ts';
import { type Clock, systemClock } from './clock.ts';
import { ChangeHasher } from './change-hasher.ts';
import type { RecordCounters } from './counters.ts';
import {
  appReplacedAttributes,
  fileRecord,
  learnedRecord,
  makeRecord,
  type RecordContext,
  restRecord,
} from './file-record.ts';
import { Fold } from './fold.ts';
import { hasFlag, type KernelEvent, readEvent } from './kernel-event.ts';
import { LearnedPairs } from './learned.ts';
import { type Gap, gapAttributes, gapSentence, type Loss, LossLedger, lossOf } from './loss.ts';
import {
  AGENT_EVENT_SEVERITY,
  type AgentEvent,
  type FileEvent,
  RECORD_LOST,
  SEVERITY,
} from './names.ts';
import { type Occurrence, occurrenceOf } from './occurrence.ts';
import { type ProcessFiles, procFiles } from './process-files.ts';
import type { Attributes, FilewardRecord } from './record.ts';
import { RecordLimit } from './record-limit.ts';
import { UserNames } from './users.ts';

/** What of a configuration says how records are made. */
export type RecordSettings = Pick<Configuration, 'records' | 'learning'>;

export interface PipelineOptions {
  /** Of the host. */
  readonly resource: Attributes;
  readonly onRecord: (record: FilewardRecord) => void;
  readonly counters: RecordCounters;
  /** What an executable is, for `fileward.app.kind`: binary, interpreter or multicall. */
  readonly appKind: (path: string) => string;
  readonly clock?: Clock;
  readonly passwd?: string;
  readonly processes?: ProcessFiles;
}

export interface PipelineStats {
  /** Events taken from the native core, by kind. */
  readonly events: Readonly<Record<string, number>>;
  /** Records handed on, by event name. */
  readonly records: Readonly<Record<string, number>>;
  /** Records lost or dropped, by reason; -1n where a number isn't known. */
  readonly lost: Readonly<Record<string, number>>;
}

/** At the end, hashes that take longer are left out. */
const FLUSH_HASHES_MS = 1000;
/** Events of a replaced ruleset are still on their way for a moment. */
const KEPT_POLICIES = 4;

export class Pipeline {
  readonly #options: PipelineOptions;
  readonly #context: RecordContext;
  readonly #policies = new Map<bigint, CompiledPolicy>();
  readonly #changes: Changes;
  readonly #fold: Fold;
  readonly #limit: RecordLimit;
  readonly #hasher: ChangeHasher;
  readonly #learned = new LearnedPairs();
  readonly #ledger: LossLedger;
  readonly #counts = {
    events: new Map<string, number>(),
    records: new Map<string, number>(),
    lost: new Map<string, number>(),
  };
  #settings: RecordSettings | undefined;

  constructor(options: PipelineOptions) {
    const clock = options.clock ?? systemClock;
    this.#options = options;
    this.#context = {
      resource: options.resource,
      users: new UserNames(options.passwd ?? '/etc/passwd', clock),
    };
    this.#ledger = new LossLedger(clock, (gap) => this.#tellGap(gap));
    this.#limit = new RecordLimit({
      clock,
      pass: (folded) => this.#emit(fileRecord(this.#context, folded)),
      emitRest: (rest) => this.#emit(restRecord(this.#context, rest)),
    });
    this.#fold = new Fold({
      clock,
      windowMs: () => this.#settings?.records.windowMs ?? 0,
      emit: (folded) => this.#limit.add(folded),
    });
    this.#hasher = new ChangeHasher(() => this.#settings?.records.hash);
    this.#changes = new Changes({
      clock,
      processes: options.processes ?? procFiles,
      isGated: (event) => this.#ruleOf(event)?.behavior === 'block',
      onChange: (change) => this.#change(change),
      onDenied: (open, emptyFileLeft) => this.#tellOpen(open, emptyFileLeft),
    });
  }

  /** To be called before the native session gets the ruleset of this version. */
  usePolicy(version: bigint, policy: CompiledPolicy, settings: RecordSettings): void {
    this.#policies.set(version, policy);
    this.#settings = settings;
    const oldest = this.#policies.keys().next();
    if (this.#policies.size > KEPT_POLICIES && !oldest.done) this.#policies.delete(oldest.value);
  }

  accept(batch: EventBatch): void {
    while (batch.next()) {
      const { kind } = batch;
      count(this.#counts.events, kind, 1);
      if (kind === 'lost') this.lost(lossOf(batch));
      else if (kind === 'app_replaced') this.#acceptAppReplaced(readEvent(batch));
      else if (kind === 'open' || kind === 'access' || kind === 'change') this.#acceptFile(batch);
    }
  }

  /** A record about the agent itself; it is never folded. */
  agentEvent(event: AgentEvent, body: string, attributes: Attributes = {}): void {
    const time = (this.#options.clock ?? systemClock).nowNs();
    const severity = AGENT_EVENT_SEVERITY[event];
    this.#emit(makeRecord(this.#context.resource, { time, event, severity, body, attributes }));
  }

  /** Something did not become a record, or a record did not reach the collector. */
  lost(loss: Loss): void {
    count(this.#counts.lost, loss.reason, loss.count ?? 1);
    this.#options.counters.lost(loss.reason, loss.count ?? 1);
    this.#ledger.add(loss);
  }

  /** Learns hashes of files as they are now, in the background, so that a first change can say what was there. */
  baseline(paths: readonly string[]): Promise<void> {
    return this.#hasher.baseline(paths);
  }

  tick(): void {
    this.#changes.tick();
    this.#fold.tick();
    this.#limit.tick();
    this.#ledger.tick();
  }

  /** Hands on all that waits, hashes included. */
  async flush(): Promise<void> {
    this.#changes.flush();
    await this.#hasher.finish(FLUSH_HASHES_MS);
    this.#fold.flush();
    this.#limit.flush();
    this.#ledger.flush();
  }

  stats(): PipelineStats {
    const { events, records, lost } = this.#counts;
    return {
      events: Object.fromEntries(events),
      records: Object.fromEntries(records),
      lost: Object.fromEntries(lost),
    };
  }

  /** A replacement that is followed is what the configuration meant; one that isn't leaves an app unlisted. */
  #acceptAppReplaced(event: KernelEvent): void {
    if (hasFlag(event, 'listed')) return;
    this.agentEvent(
      'fileward.coverage.degraded',
      `${event.path.text} was replaced and is listed no more until a reload`,
      appReplacedAttributes(event, this.#context.users),
    );
  }

  #acceptFile(batch: EventBatch): void {
    if (batch.has('own')) return;
    const event = readEvent(batch);
    if (event.kind === 'change') this.#changes.fact(event);
    else if (event.kind === 'access' || !this.#changes.open(event)) this.#tellOpen(event, false);
  }

  /** A judged or a watched open. */
  #tellOpen(event: KernelEvent, emptyFileLeft: boolean): void {
    const rule = this.#ruleOf(event);
    const { outcome, operation } = event;
    if (rule === undefined || operation === 'none') return;
    if (outcome === 'learned' || (outcome === 'accessed' && event.mode === 'discover')) {
      this.#learn(rule, event, operation);
    }
    if (outcome !== 'accessed' && outcome !== 'violated' && outcome !== 'denied') {
      this.#options.counters.fileEvent(rule, 'quiet', operation);
      return;
    }
    this.#options.counters.fileEvent(rule, outcome, operation);
    const occurrence = this.#occurrence(rule, event, outcome, operation);
    const left = {
      reason: 'empty_file_left',
      severity: SEVERITY[rule.severity ?? 'error'],
    } as const;
    this.#fold.add(emptyFileLeft ? { ...occurrence, ...left } : occurrence);
  }

  #change(change: Change): void {
    const { fact, judged } = change;
    const rule = this.#ruleOf(fact);
    if (rule === undefined) return;
    if (fact.outcome !== 'modified' && fact.outcome !== 'violated') {
      this.#hasher.forget(change);
      this.#options.counters.fileEvent(rule, 'quiet', 'write');
      return;
    }
    if (!judged) this.#tellUnlisted(rule, fact, change.operation);
    for (const other of change.accomplices) {
      const rule = this.#ruleOf(other);
      if (rule && !hasFlag(other, 'judged')) this.#tellUnlisted(rule, other, change.operation);
    }
    this.#hasher.add(change, rule.hash, (hashes) => {
      if (!change.differs && hashes.sha256 !== undefined && hashes.sha256 === hashes.sha256Before) {
        return;
      }
      this.#options.counters.fileEvent(rule, 'modified', 'write');
      const occurrence = this.#occurrence(rule, fact, 'modified', change.operation);
      this.#fold.add({ ...occurrence, ...hashes });
    });
  }

  /** A change that no gate could have stopped, by an app that no entry lists. */
  #tellUnlisted(rule: RuleInfo, fact: KernelEvent, operation: Change['operation']): void {
    if (hasFlag(fact, 'listed')) return;
    if (fact.mode === 'discover') this.#learn(rule, fact, 'write');
    if (fact.outcome !== 'violated') return;
    this.#options.counters.fileEvent(rule, 'violated', 'write');
    this.#fold.add(this.#occurrence(rule, fact, 'violated', operation));
  }

  #learn(rule: RuleInfo, event: KernelEvent, operation: Operation): void {
    const { actor } = event;
    if (actor.exe === undefined) return;
    const uid = this.#settings?.learning.user ? actor.uid : undefined;
    if (!this.#learned.add(rule, actor.exe, operation, uid)) return;
    this.#options.counters.learnedPairs(rule.group, this.#learned.countOf(rule.group));
    const user = uid === undefined ? undefined : (this.#context.users.nameOf(uid) ?? String(uid));
    const entry = { exe: actor.exe, operations: [operation], ...(user !== undefined && { user }) };
    this.#emit(
      learnedRecord(this.#context, {
        timeNs: event.timeNs,
        rule,
        operation,
        path: event.path,
        actor,
        appKind: this.#options.appKind(actor.exe),
        yaml: overrideYaml(rule.group, rule.rule, [entry]),
      }),
    );
  }

  #occurrence(
    rule: RuleInfo,
    event: KernelEvent,
    name: FileEvent,
    operation: Occurrence['operation'],
  ): Occurrence {
    const { ruleset } = this.#policies.get(event.rulesetVersion) ?? {};
    const manager = ruleset?.package_managers[event.packageManager]?.name;
    return occurrenceOf(event, rule, name, operation, manager);
  }

  #ruleOf(event: KernelEvent): RuleInfo | undefined {
    return this.#policies.get(event.rulesetVersion)?.rules[event.ruleIndex];
  }

  #tellGap(gap: Gap): void {
    this.agentEvent(RECORD_LOST, gapSentence(gap), gapAttributes(gap));
  }

  #emit(record: FilewardRecord): void {
    count(this.#counts.records, record.event, 1);
    this.#options.onRecord(record);
  }
}

function count(counts: Map<string, number>, key: string, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}

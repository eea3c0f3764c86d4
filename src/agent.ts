/**
 * The agent: puts the parts together and runs them. Owns the native session, the record pipeline, the exporter, the
 * control socket and the timers, all on the JavaScript thread. Policies change one at a time, through `#inTurn`: a
 * candidate is loaded, compiled and covered before it decides, and a bad one leaves the running one alone. Verdicts
 * never pass through here.
 */
// Long because it is the one place that knows every part.
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { type LoadResult, loadConfiguration } from './config/load.ts';
import { formatProblem } from './config/problem.ts';
import { runningAppKind } from './config/machine.ts';
import { type ConfigurationWatch, watchConfiguration } from './config/watch.ts';
import { codeOf, Failure, messageOf } from './control/failure.ts';
import { AliveFile } from './control/alive.ts';
import { CoverageKeeper, type RuleNames, ruleGaps } from './control/coverage-keeper.ts';
import { kernelGaps, whyUnenforceable } from './control/kernel-gaps.ts';
import { GuardianKeeper } from './control/guardian-keeper.ts';
import { guardianSocket, killHung, type OtherEnd, takeOver } from './control/guardian-takeover.ts';
import { ModeLimits, protectingGroups } from './control/mode-limits.ts';
import { Operator } from './control/operator.ts';
import type { PauseTarget, Request, Results, StatusResult } from './control/protocol.ts';
import { canaryFile, guardianFile, ownFiles } from './control/own-files.ts';
import { realPath, register, socketPath } from './control/registry.ts';
import { startWatchdog } from './control/sd-notify.ts';
import { ControlServer, type Peer } from './control/server.ts';
import { descriptorOf } from './control/socket-descriptor.ts';
import { StateDirectory } from './control/state-directory.ts';
import { statusOf } from './control/status.ts';
import { WorkloadKeeper } from './control/workload-keeper.ts';
import type { CoverageReport, FeatureReport, Native } from './native/addon.ts';
import type { EventBatch } from './native/event-batch.ts';
import { hostWorkload } from './native/event-layout.ts';
import { LEARNED_FILE, Learning, type LearningTrouble } from './learning/learning.ts';
import { loadNative } from './native/load.ts';
import { type EventSession, openEventSession } from './native/session.ts';
import { BUILT_IN_GROUP, builtInGroup, withBuiltIn } from './policy/built-in.ts';
import { type CompiledPolicy, compile } from './policy/compile.ts';
import type { Configuration, TelemetryConfiguration } from './policy/document.ts';
import { AgentRecords } from './records/agent-records.ts';
import type { AgentEvent } from './records/names.ts';
import { systemClock, timeSpan } from './records/clock.ts';
import { planOf } from './records/known-files-plan.ts';
import { KnownFiles } from './records/known-files.ts';
import { eventsInCore, Ledger, type Stage, stagesOf } from './records/ledger.ts';
import type { Loss } from './records/loss.ts';
import { Pipeline } from './records/pipeline.ts';
import type { Attributes, FilewardRecord } from './records/record.ts';
import { WorkloadBook } from './records/workload-book.ts';
import { createTelemetry, type Telemetry } from './telemetry/exporter.ts';
import { toNdjson } from './telemetry/ndjson.ts';
import type { ContainerWorkload } from './workloads/container-workload.ts';
import { Containers } from './workloads/containers.ts';
import { hostResource } from './workloads/host.ts';

/** A configuration that can be used. */
export type Loaded = Extract<LoadResult, { ok: true }>;

export interface AgentOptions {
  /** `--config`. */
  readonly config?: string | undefined;
  readonly exports: boolean;
  /** False: nobody is kept from fileward's own files, and whoever may write the configuration may. */
  readonly protectsItself: boolean;
  /** Time in which a group that newly protects must be confirmed; absent: no need to. */
  readonly confirmMs?: number;
  readonly version: string;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Logger;
  readonly onRecord: (record: FilewardRecord) => void;
  /** The native core can't go on. */
  readonly onFatal: (error: Error) => void;
}

/** What decides now. */
interface Running {
  readonly loaded: Loaded;
  readonly policy: CompiledPolicy;
  readonly report: CoverageReport;
  readonly since: string;
}

const TICK_MS = 50;
const LEDGER_MS = 10_000;
const MOST_REFUSED_TOLD = 16;
const MOST_WARNINGS = 20;
const NO_FANOTIFY = 'this kernel offers no fanotify; see: fileward doctor';
/** Of the time that SIGTERM leaves, what the collector gets. */
const FLUSH_MS = 3_000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #native: Native;
  readonly #kernel: FeatureReport;
  readonly #state: StateDirectory;
  readonly #limits: ModeLimits;
  readonly #coverage: CoverageKeeper;
  readonly #operator: Operator;
  readonly #started = new Date().toISOString();
  readonly #resource: Attributes;
  readonly #telemetry: Telemetry;
  readonly #book: WorkloadBook;
  readonly #learning: Learning;
  readonly #pipeline: Pipeline;
  readonly #records: AgentRecords;
  readonly #session: EventSession;
  readonly #guardian: GuardianKeeper;
  readonly #containers: Containers;
  readonly #workloads: WorkloadKeeper;
  readonly #knownFiles: KnownFiles;
  readonly #alive: AliveFile;
  readonly #ledger: Ledger;
  readonly #server: ControlServer;
  readonly #cleanups: (() => void)[] = [];
  #running: Running | undefined;
  #version = 0n;
  /** Why the configuration on disk is not the running one. */
  #rejected: readonly string[] = [];
  #watch: { files: string; handle: ConfigurationWatch } | undefined;
  #turn: Promise<void> = Promise.resolve();
  #refusedClients = 0;
  readonly #refusedUsers = new Set<number>();

  /**
   * Resolves when every mark is placed and the agent decides.
   * @param loaded - the configuration to start with; a reload looks for it as `options` say
   * @throws Failure 3 when the machine can't do it or another agent runs.
   */
  static async start(options: AgentOptions, loaded: Loaded): Promise<Agent> {
    const native = loadNative();
    const kernel = native.probe();
    const { missing_capabilities: missing, can_watch } = kernel;
    if (missing.length > 0) {
      throw new Failure(3, `missing ${missing.join(', ')}: run as root (sudo fileward run)`);
    }
    if (!can_watch) throw new Failure(3, NO_FANOTIFY);
    await killHung(guardianSocket(loaded.configuration.state), otherEnd(native));
    const state = new StateDirectory(loaded.configuration.state, native.lockFile, (file, err) =>
      options.log.error({ err, file }, 'not what it should be: set aside'),
    );
    let agent: Agent | undefined;
    try {
      agent = new Agent(options, native, state, loaded, kernel);
      await agent.#begin(loaded);
      return agent;
    } catch (error) {
      await agent?.stop();
      if (codeOf(error) === 'ENOSYS') throw new Failure(3, NO_FANOTIFY);
      throw error instanceof Failure ? error : new Failure(3, messageOf(error));
    }
  }

  private constructor(
    options: AgentOptions,
    native: Native,
    state: StateDirectory,
    loaded: Loaded,
    kernel: FeatureReport,
  ) {
    const { configuration } = loaded;
    this.#kernel = kernel;
    this.#options = options;
    this.#native = native;
    this.#state = state;
    this.#limits = new ModeLimits(state, options.env);
    this.#coverage = new CoverageKeeper({
      state,
      log: options.log,
      tell: (event, body, gap, workload) => this.#records.tell(event, body, gap, workload),
      isThere: (workload) => workload === hostWorkload || this.#workloads.isThere(workload),
    });
    this.#operator = new Operator({
      limits: this.#limits,
      log: options.log,
      inTurn: (change) => this.#inTurn(change),
      apply: () => this.#applyLimits(),
      tell: (event, body, about) => this.#records.tell(event, body, about),
      isKnown: (target) => this.#isKnown(target),
    });
    this.#resource = hostResource(options.version, options.env);
    this.#telemetry = this.#createTelemetry(configuration.telemetry);
    this.#book = new WorkloadBook({ resource: this.#resource, clock: systemClock, native });
    this.#learning = this.#createLearning();
    this.#pipeline = new Pipeline({
      workloads: this.#book,
      onRecord: (record) => this.#take(record),
      counters: {
        fileEvent: (rule, event, operation) =>
          this.#telemetry.metrics.fileEvent(rule, event, operation),
        lost: (reason, count) => this.#telemetry.metrics.lost(reason, count),
        learnedPairs: (group, count) => this.#telemetry.metrics.learnedPairs(group, count),
      },
      learned: this.#learning.pairs,
    });
    this.#records = new AgentRecords(this.#pipeline);
    this.#server = new ControlServer({
      path: socketPath(state.path, options.env),
      handle: (request) => this.#handle(request),
      toNdjson,
      peerCredentials: native.peerCredentials,
      onRefused: (peer) => this.#noteRefused(peer),
    });
    this.#session = openEventSession(native, {
      onBatch: (batch) => this.#takeBatch(batch),
      onCoverage: (report) => this.#takeCoverage(report),
      onFatal: (error) => this.#fail(error),
      moved: this.#coverage.readMoved(),
      followed_apps: this.#coverage.readFollowedApps(),
      collectArgs: configuration.records.commandArgs,
      guardian: {
        executable: guardianFile,
        socket: guardianSocket(state.path),
        canary: makeCanary(realPath(state.path)),
      },
    });
    this.#telemetry.metrics.useSession(() => this.#session.stats());
    this.#guardian = new GuardianKeeper({
      log: options.log,
      stats: () => this.#session.stats(),
      tell: (event, body, about) => this.#records.tell(event, body, about),
      lost: (loss) => this.#pipeline.lost(loss),
      onEnforcing: (enforcing) => this.#telemetry.metrics.setEnforcing(enforcing),
      clock: systemClock,
    });
    this.#containers = new Containers({
      log: options.log,
      onChange: (containers) => this.#takeContainers(containers),
    });
    this.#workloads = new WorkloadKeeper({
      log: options.log,
      session: this.#session,
      inTurn: (change) => this.#inTurn(change),
      tell: (event, body, about, workload) => this.#records.tell(event, body, about, workload),
      onChange: () => this.#takeGaps(),
    });
    this.#alive = new AliveFile(state.path);
    this.#knownFiles = this.#createKnownFiles();
    this.#ledger = new Ledger({
      stages: () => this.#stages(),
      onUnaccounted: (stage, loss) => this.#tellUnaccounted(stage, loss),
    });
  }

  /** @throws Failure 2 when a variable, a certificate, a key or a header can't be used. */
  #createTelemetry(configuration: TelemetryConfiguration): Telemetry {
    const { env, version, exports, log } = this.#options;
    try {
      return createTelemetry({
        configuration,
        env,
        resource: this.#resource,
        version,
        state: this.#state.path,
        enabled: exports,
        onLost: (loss) => this.#pipeline.lost(loss),
        onReachable: (problem) =>
          problem === undefined
            ? log.info('the collector takes records again')
            : log.warn({ problem }, 'the collector takes no records; they wait'),
        onDisk: (problem) =>
          problem === undefined
            ? log.info('evidence is kept on disk again')
            : log.error({ problem }, 'evidence cannot be kept on disk, only in memory'),
      });
    } catch (error) {
      throw new Failure(2, `telemetry: ${messageOf(error)}`);
    }
  }

  /** Applies the configuration as it is on disk now, after what is under way. Never rejects. */
  reload(cause: string): Promise<void> {
    return this.#inTurn(async () => {
      try {
        await this.#reload(cause);
      } catch (error) {
        this.#reject(cause, [messageOf(error)]);
      }
    });
  }

  async #reload(cause: string): Promise<void> {
    const loaded = await load(this.#options);
    this.#watchFiles(loaded.files);
    if (!loaded.ok) return this.#reject(cause, loaded.problems.map(formatProblem));
    if (cause !== 'SIGHUP' && loaded.hash === this.#running?.loaded.hash) {
      this.#rejected = [];
      return;
    }
    await this.#apply(loaded);
    this.#announce(cause, loaded);
  }

  /** Flushes and leaves: openers that wait are allowed, records go to the collector as far as it takes them in time. */
  async stop(): Promise<void> {
    const { log } = this.#options;
    this.#native.sdNotify('STOPPING=1');
    this.#watch?.handle.close();
    this.#operator.close();
    this.#containers.close();
    this.#workloads.close();
    for (const cleanup of this.#cleanups.splice(0).reverse()) cleanup();
    this.#guardian.close();
    // The last export of metrics comes after the session has gone.
    const stats = this.#session.stats();
    this.#telemetry.metrics.useSession(() => stats);
    if (!this.#session.close())
      log.error('left behind: a thread of the native core waits for a file');
    const count = eventsInCore(this.#session.stats());
    if (count > 0) this.#pipeline.lost({ reason: 'shutdown', stage: 'kernel', count });
    this.#ledger.check();
    await this.#pipeline.flush();
    await Promise.all([this.#knownFiles.end(), this.#learning.close()]);
    let lostAndTold = 0;
    await this.#telemetry.shutdown(FLUSH_MS, async () => {
      await this.#pipeline.flush();
      lostAndTold = this.#lostOnTheWay();
    });
    const { waiting, onDisk } = this.#telemetry.stats();
    this.#alive.end(waiting === onDisk && this.#lostOnTheWay() === lostAndTold);
    this.#server.close();
  }

  async #begin(loaded: Loaded): Promise<void> {
    const { log, env } = this.#options;
    const { configuration } = loaded;
    const timer = setInterval(() => this.#pipeline.tick(), TICK_MS);
    this.#cleanups.push(() => clearInterval(timer));
    const ledgerTimer = setInterval(() => this.#ledger.check(), LEDGER_MS);
    this.#cleanups.push(() => clearInterval(ledgerTimer));
    await this.#server.listen();
    this.#cleanups.push(this.#register(configuration.file));
    if (this.#limits.breakGlass) {
      log.warn({ by: this.#limits.breakGlass }, 'break glass: every group acts as monitor');
      this.#records.tell(
        'fileward.enforcement.paused',
        `Break glass: ${this.#limits.breakGlass}; every group acts as monitor`,
      );
    }
    for (const gap of kernelGaps(this.#kernel)) {
      log.warn(gap);
      this.#records.tell('fileward.coverage.degraded', gap, { error_type: 'kernel_feature' });
    }
    void this.#tellCrash();
    await this.#containers.start();
    await this.#apply(loaded);
    await this.#takeOver();
    this.#knownFiles.start();
    this.#announce('start', loaded);
    this.#watchFiles(loaded.files);
    this.#cleanups.push(startWatchdog((state) => this.#native.sdNotify(state), env));
    this.#native.sdNotify('READY=1');
    log.info({ marks: this.#running?.report.marks }, 'ready');
  }

  /** Ends the guardian that an agent left behind: its rules are in force here now. */
  async #takeOver(): Promise<void> {
    const legacy = await takeOver(guardianSocket(this.#state.path), otherEnd(this.#native));
    if (legacy !== undefined) this.#guardian.tellLegacy(legacy);
  }

  #register(config: string): () => void {
    const { path } = this.#state;
    try {
      return register({
        pid: process.pid,
        socket: socketPath(path, this.#options.env),
        config: realPath(config),
        state: path,
        started: this.#started,
      });
    } catch (error) {
      this.#options.log.warn(
        { err: error },
        `commands find this agent only with --state ${path}: it can't register in /run/fileward`,
      );
      return () => undefined;
    }
  }

  /** Policies change one at a time. */
  #inTurn(change: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(change);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  /** Compiles within the mode limits of now, covers, swaps. On a failure the running policy stays. */
  async #apply(loaded: Loaded): Promise<void> {
    const { confirmMs, log } = this.#options;
    const { configuration } = loaded;
    const unenforceable = whyUnenforceable(configuration.document, this.#kernel);
    if (unenforceable !== undefined) throw new Failure(3, unenforceable);
    // First: it can be refused, and nothing has changed then.
    const useTelemetrySettings = this.#prepareTelemetry(configuration);
    if (confirmMs !== undefined && loaded !== this.#running?.loaded) {
      const waiting = this.#limits.awaitConfirmation(protectingGroups(configuration), confirmMs);
      if (waiting.length > 0) {
        log.warn(
          { groups: waiting, seconds: confirmMs / 1000 },
          'protects until then: fileward confirm',
        );
      }
    }
    const policy = compile(this.#guarded(loaded), this.#limits.cap);
    const version = ++this.#version;
    this.#pipeline.usePolicy(version, policy, configuration);
    const { groups } = configuration.document;
    const containers = this.#workloads.specs(groups);
    let report: CoverageReport;
    try {
      report = await this.#session.setRuleset(policy.json, version, containers);
    } catch (error) {
      this.#pipeline.dropPolicy(version);
      throw error;
    }
    useTelemetrySettings();
    this.#telemetry.metrics.usePolicy(version, policy, loaded.hash, BUILT_IN_GROUP);
    for (const [group, count] of this.#learning.usePolicy(configuration, loaded.hash)) {
      this.#telemetry.metrics.learnedPairs(group, count);
    }
    this.#running = { loaded, policy, report, since: new Date().toISOString() };
    this.#rejected = [];
    this.#workloads.useGroups(groups, containers);
    this.#takeCoverage(report);
    this.#operator.schedule();
  }

  /** With the group that guards fileward itself. */
  #guarded({ configuration, sources }: Loaded): Configuration {
    const socket = socketPath(this.#state.path, this.#options.env);
    const own = ownFiles(this.#state.path, socket, sources);
    return withBuiltIn(configuration, builtInGroup(own, this.#options.protectsItself));
  }

  /** Checks what a reload says about telemetry. @returns what puts it in force */
  #prepareTelemetry({ telemetry }: Configuration): () => void {
    const running = this.#running?.loaded.configuration.telemetry;
    // A renewed certificate has the name of the old one.
    const namesFiles = telemetry.tls.ca !== undefined || telemetry.tls.cert !== undefined;
    if (!running || (isDeepStrictEqual(running, telemetry) && !namesFiles)) return () => undefined;
    try {
      return this.#telemetry.prepare(telemetry);
    } catch (error) {
      throw new Failure(2, `telemetry: ${messageOf(error)}`);
    }
  }

  #createLearning(): Learning {
    const { log } = this.#options;
    const tell = (event: AgentEvent, { detail, ...about }: LearningTrouble): void => {
      log[event.endsWith('degraded') ? 'error' : 'info'](about, detail);
      // The first may come while this object is still being made.
      queueMicrotask(() => this.#records.tell(event, detail, about));
    };
    return new Learning({
      file: join(this.#state.path, LEARNED_FILE),
      appKind: runningAppKind,
      exeNames: (pid) => this.#native.exeNames(pid),
      onDegraded: (trouble) => tell('fileward.coverage.degraded', trouble),
      onRestored: (trouble) => tell('fileward.coverage.restored', trouble),
    });
  }

  #createKnownFiles(): KnownFiles {
    const { log } = this.#options;
    return new KnownFiles({
      file: join(this.#state.path, 'known-files.db'),
      session: this.#session,
      pipeline: this.#pipeline,
      settled: () => this.#telemetry.settled(),
      createEvaluator: ({ json, resolved }) => this.#native.createEvaluator(json, resolved),
      onCompared: (about) => log.info(about, 'compared with the last known state'),
      onDegraded: (reason, body, err) => {
        log.error({ err }, body);
        this.#records.tell('fileward.coverage.degraded', body, { error_type: reason });
      },
      onRestored: (reason, body) => {
        log.info(body);
        this.#records.tell('fileward.coverage.restored', body, { error_type: reason });
      },
    });
  }

  /** The agent before this one ended without a word: nobody looked since then. */
  async #tellCrash(): Promise<void> {
    const { crashedNs } = this.#alive;
    if (crashedNs !== undefined) {
      // In order, even when the clock was set back meanwhile.
      const span = timeSpan([crashedNs, systemClock.nowNs()]);
      this.#pipeline.lost({ reason: 'crash', stage: 'agent', ...span });
      this.#pipeline.tellLosses();
      await this.#telemetry.settled();
    }
    this.#alive.begin(() => this.#toldUntil());
  }

  /** Everything read from the kernel before this time is on disk, with the collector, or told as lost. */
  async #toldUntil(): Promise<bigint | undefined> {
    const now = systemClock.nowNs();
    if (eventsInCore(this.#session.stats()) > 0) return undefined;
    const waiting = this.#pipeline.oldestWaitingNs();
    await this.#telemetry.settled();
    return waiting !== undefined && waiting < now ? waiting : now;
  }

  #announce(cause: string, { configuration, warnings, hash }: Loaded): void {
    const { log } = this.#options;
    for (const warning of warnings.slice(0, MOST_WARNINGS)) log.warn(formatProblem(warning));
    const more = warnings.length - MOST_WARNINGS;
    if (more > 0) log.warn({ more }, 'and more warnings; fileward check lists them');
    const rules = countOf(this.#running?.policy);
    log.info({ cause, file: configuration.file, rules, hash }, 'policy loaded');
    this.#telemetry.metrics.policyReload('loaded');
    const { file, policyVersion } = configuration;
    const body = `Loaded ${rules} rules from ${file}`;
    this.#records.tell('fileward.policy.loaded', body, { hash, policyVersion });
  }

  #reject(cause: string, problems: readonly string[]): void {
    // Each save of the same mistake, or a second look at it, says nothing new.
    if (problems.join('\n') === this.#rejected.join('\n')) return;
    this.#rejected = problems;
    this.#options.log.error({ cause, problems }, 'policy rejected; the running one stays');
    this.#telemetry.metrics.policyReload('rejected');
    const [first = '', ...others] = problems;
    const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
    this.#records.tell(
      'fileward.policy.rejected',
      `Rejected, the running policy stays: ${first}${more}`,
    );
  }

  /** The watch stays as long as the files are the same ones, so that no change falls between two watches. */
  #watchFiles(files: readonly string[]): void {
    const key = files.join('\n');
    if (this.#watch?.files === key) return;
    this.#watch?.handle.close();
    const handle = watchConfiguration(files, () => void this.reload('file change'), {
      onError: (error) =>
        this.#options.log.warn({ err: error }, 'cannot watch the configuration; use SIGHUP'),
    });
    this.#watch = { files: key, handle };
    // What changed after it was read and before it was watched.
    void this.reload('file change');
  }

  /** One event that we stumble over must not end the agent. */
  #takeBatch(batch: EventBatch): void {
    try {
      this.#pipeline.accept(batch);
    } catch (error) {
      this.#options.log.error({ err: error }, 'events could not be told');
    }
  }

  #take(record: FilewardRecord): void {
    this.#telemetry.emit(record);
    this.#options.onRecord(record);
    this.#server.publish(record);
  }

  #takeCoverage(report: CoverageReport): void {
    const running = this.#running;
    // What comes before `setRuleset` resolves is told by what it resolves with.
    if (!running || report.ruleset_version !== running.report.ruleset_version) return;
    this.#running = { ...running, report };
    this.#knownFiles.usePlan(planOf(running.policy, running.loaded.configuration, report));
    this.#coverage.keep(report);
    this.#workloads.takeReport(report);
    this.#takeGaps();
  }

  #takeContainers(containers: readonly ContainerWorkload[]): void {
    this.#book.update(containers);
    this.#workloads.take(containers);
  }

  /** Members of groups, their state or what is covered of the host have changed. */
  #takeGaps(): void {
    if (this.#running === undefined) return;
    const { policy, report } = this.#running;
    const namesOf: RuleNames = (index) => {
      const { group = '', rule = '' } = policy.rules[index] ?? {};
      return { group, rule };
    };
    this.#coverage.update([
      ...ruleGaps(report.rules, namesOf, hostWorkload, ''),
      ...this.#workloads.gaps(namesOf),
    ]);
    const members = this.#workloads.counts();
    this.#telemetry.metrics.useCoverage(this.#coverage.gaps, members);
  }

  /** The same configuration within the mode limits of now. */
  async #applyLimits(): Promise<void> {
    if (this.#running) await this.#apply(this.#running.loaded);
  }

  #isKnown(target: PauseTarget): boolean {
    const rules = this.#running?.policy.rules ?? [];
    return rules.some(
      ({ group, rule }) => group === (target.group ?? group) && rule === (target.rule ?? rule),
    );
  }

  /** Whoever tries it again and again is told once. */
  #noteRefused({ pid, uid }: Peer): void {
    this.#refusedClients += 1;
    if (this.#refusedUsers.has(uid) || this.#refusedUsers.size >= MOST_REFUSED_TOLD) return;
    this.#refusedUsers.add(uid);
    this.#options.log.warn({ pid, uid }, 'turned away from the control socket: not root');
  }

  async #handle(request: Exclude<Request, { command: 'tail' }>): Promise<Results[keyof Results]> {
    switch (request.command) {
      case 'status':
        return this.#status();
      case 'confirm':
        return this.#operator.confirm();
      case 'pause': {
        const { command: _, ...pause } = request;
        return this.#operator.pause(pause);
      }
      case 'resume': {
        const { command: _, ...target } = request;
        return this.#operator.resume(target);
      }
      case 'learned':
        return this.#learning.page(request.after);
      case 'release':
        if (!(await this.#session.release(request.path))) {
          throw new Failure(
            1,
            `${request.path} is not a protected file that was moved; see: fileward status`,
          );
        }
        this.#options.log.info({ path: request.path }, 'released');
        return null;
    }
  }

  #status(): StatusResult {
    const running = this.#running;
    if (!running) throw new Failure(1, 'the agent is starting: not every mark is placed yet');
    const { configuration, hash } = running.loaded;
    this.#guardian.check();
    const exported = { ...this.#telemetry.stats(), lost: this.#lostOnTheWay() };
    return statusOf({
      identity: {
        pid: process.pid,
        version: this.#options.version,
        started: this.#started,
        config: configuration.file,
        state: this.#state.path,
      },
      policy: running.policy,
      policyFacts: { hash, version: configuration.policyVersion ?? '', loaded: running.since },
      report: running.report,
      stats: this.#session.stats(),
      guardian: this.#guardian.stats,
      limits: this.#limits,
      gaps: this.#coverage.gaps,
      workloads: this.#workloads.status(),
      troubles: [
        ...kernelGaps(this.#kernel),
        ...this.#guardian.troubles,
        ...this.#rejected.map((problem) => `the changed configuration was rejected: ${problem}`),
        ...(exported.diskProblem === ''
          ? []
          : [`evidence cannot be kept on disk: ${exported.diskProblem}`]),
      ],
      records: this.#pipeline.stats().records,
      exported,
      ledger: this.#stages(),
      refusedClients: this.#refusedClients,
    });
  }

  #lostOnTheWay(): number {
    return Object.values(this.#telemetry.stats().lost).reduce((sum, count) => sum + count, 0);
  }

  #stages(): Stage[] {
    const { endpoint, ...outbox } = this.#telemetry.stats();
    return stagesOf({
      session: this.#session.stats(),
      records: this.#pipeline.books(),
      outbox: endpoint === '' ? undefined : outbox,
    });
  }

  /** A sum that is not right is a defect of ours, and may be a loss: both are said. */
  #tellUnaccounted(stage: Stage, loss: Loss): void {
    this.#options.log.error(stage, 'the ledger does not add up');
    this.#pipeline.lost(loss);
  }

  #fail(error: Error): void {
    this.#guardian.close();
    this.#telemetry.metrics.setEnforcing(false);
    this.#records.tell(
      'fileward.enforcement.degraded',
      `The native core has failed and every opener is allowed: ${error.message}`,
      { error_type: 'core_failed' },
    );
    this.#options.onFatal(error);
  }
}

/** @returns the file that the guardian opens; its content says nothing */
function makeCanary(state: string): string {
  const file = canaryFile(state);
  closeSync(openSync(file, 'a', 0o600));
  return file;
}

function otherEnd(native: Native): OtherEnd {
  return {
    pidOf: (connection) => native.peerCredentials(descriptorOf(connection) ?? -1).pid,
    // 0: of another pid namespace, not to be seen from here; as a target it would be our own process group.
    kill: (pid) => pid > 0 && process.kill(pid, 'SIGKILL'),
  };
}

function load({ config, env, protectsItself }: AgentOptions): Promise<LoadResult> {
  const trust = protectsItself ? 'refuse' : 'warn';
  return loadConfiguration({ env, trust, ...(config !== undefined && { file: config }) });
}

/** Rules of the user's. */
function countOf(policy: CompiledPolicy | undefined): number {
  return policy?.rules.filter(({ group }) => group !== BUILT_IN_GROUP).length ?? 0;
}

/**
 * What the native addon offers, typed. This folder is the only one that loads the `.node` file.
 * N4 implements; the shapes here are the seam to the rest of the program.
 */
// Long because it is all that native code and TypeScript agree on.
export interface FeatureReport {
  /** e.g. { name: 'permission_events', available: true, detail: '' } in the order doctor shows them. */
  readonly features: readonly { name: string; available: boolean; detail: string }[];
  /** Missing capabilities by name, e.g. ['CAP_SYS_ADMIN']; empty when the agent can run. */
  readonly missing_capabilities: readonly string[];
  /** False when nothing can be enforced or not even watched. */
  readonly can_enforce: boolean;
  readonly can_watch: boolean;
}

/** One question to the evaluator that also decides at run time; nothing on disk is looked at. */
export interface EvaluationQuery {
  readonly paths: readonly string[];
  readonly operation: 'read' | 'write' | 'exec';
  /** Path of the executable, as in the workload. */
  readonly exe: string;
  readonly script?: string;
  readonly user_id?: number;
  readonly unit?: string;
  readonly sha256?: string;
  /** Nearest first; absent: not known (matches no ancestor). */
  readonly ancestors?: readonly string[];
  /** Only these groups (indexes); absent: the groups that hold the host. */
  readonly groups?: readonly number[];
  /** Whose process, where `groups` are not the host's: of the workload itself (default), the host or another. */
  readonly origin?: 'same' | 'host' | 'other';
  /** `open` is judged at the gate, `change` has none (rename, delete, attributes...). */
  readonly gate?: 'open' | 'change';
}

export type Outcome =
  | 'not_covered'
  | 'quiet'
  | 'learned'
  | 'accessed'
  | 'modified'
  | 'violated'
  | 'denied';

export interface EvaluationAnswer {
  readonly outcome: Outcome;
  readonly verdict: 'allow' | 'deny';
  /** Through all groups; -1 when nothing covers the path. */
  readonly rule_index: number;
  readonly path: string;
  readonly mode: 'discover' | 'monitor' | 'protect' | '';
  /** A word of the closed list, '' when listed or not covered. */
  readonly reason: string;
  readonly listed: boolean;
  /** Index of the app entry that lists the opener, -1 if none. */
  readonly app_index: number;
  /** Every rule (all groups) that covers one of the paths, in order: for explain. */
  readonly covering: readonly number[];
}

export interface Evaluator {
  evaluate(query: EvaluationQuery): EvaluationAnswer;
}

/** Null when fine, else what is wrong and where (byte offset in the pattern). */
export interface PatternProblem {
  readonly message: string;
  readonly offset: number;
}

export interface MovedFile {
  readonly device: string;
  readonly inode: string;
  readonly birth_ns: string;
  readonly path: string;
  readonly protected_path: string;
}

/**
 * An identity that an app's path named: the present one, or an earlier one that a process still runs. T3: keep the
 * list under `state` like the moved files and pass it back at the next start (contract section 2, which app).
 */
export interface FollowedApp {
  /** The `exe` as the ruleset writes it. */
  readonly pattern: string;
  readonly path: string;
  readonly device: string;
  readonly inode: string;
  readonly birth_ns: string;
  readonly current: boolean;
}

/** Per rule, what coverage found on disk. Paths as text (lossy). */
export interface RuleCoverage {
  readonly rule_index: number;
  readonly files: number;
  readonly directories: number;
  /** Patterns whose literal part (`base`) leads elsewhere. */
  readonly resolved: readonly { pattern: string; base: string; real: string }[];
  readonly absent: readonly string[];
  /** Apps of the rule that name nothing now. */
  readonly absent_apps: readonly string[];
  /** error.type words with text: mark_failed, mark_limit, depth_limit, walk_failed, absent (required). */
  readonly degraded: readonly { error_type: string; detail: string }[];
}

/** A container that is there. One that no group holds is told all the same: its processes are its own. */
export interface WorkloadSpec {
  /** From 1 on, 32 bits, never given twice. */
  readonly id: number;
  /** Of its init, with the start time (field 22 of `/proc/<pid>/stat`). */
  readonly pid: number;
  readonly start_ticks: string;
  /** As the native core reads it: of the systemd hierarchy, else of v2, else of the first one. */
  readonly cgroup: string;
  /** Names of the groups that hold it. */
  readonly groups: readonly string[];
}

/** A container that a group of the ruleset in force holds. */
export interface WorkloadReport {
  readonly workload: number;
  /**
   * Empty: covered. `gone`: its init has ended. `no_root`: its init has no root of its own yet; it is tried again with
   * each `setWorkloads`, as every error is. Else a sentence.
   */
  readonly error: string;
  /** CLOCK_REALTIME, nanoseconds, when all its marks were placed first; 0n: never yet. */
  readonly covered_ns: bigint;
  /** Those of its groups only. */
  readonly rules: readonly RuleCoverage[];
}

export interface CoverageReport {
  readonly ruleset_version: bigint;
  /** Of all workloads. */
  readonly marks: { readonly permission: number; readonly notification: number };
  /** The host's. */
  readonly rules: readonly RuleCoverage[];
  readonly workloads: readonly WorkloadReport[];
  readonly moved: readonly MovedFile[];
  readonly followed_apps: readonly FollowedApp[];
}

export interface SessionOptions {
  /** Called on the JavaScript thread, coalesced: there is something to drain. */
  readonly onWake: () => void;
  /** Coverage of a ruleset is complete (after setRuleset) or has changed since. */
  readonly onCoverage: (report: CoverageReport) => void;
  readonly onFatal: (error: Error & { code: string; errno: number; syscall: string }) => void;
  readonly moved?: readonly MovedFile[];
  readonly followed_apps?: readonly FollowedApp[];
  readonly collectArgs: boolean;
  /** Absent: nobody answers for this process when it doesn't itself. */
  readonly guardian?: GuardianOptions;
}

/** The process that answers for this one (native/guardian/). Opening a session fails when it can't be started. */
export interface GuardianOptions {
  /** build/Release/fileward_guardian. */
  readonly executable: string;
  /** Where it listens once this process has died and a rule wants the group kept. */
  readonly socket: string;
  /** A file that a rule covers and that the guardian's executable may read. */
  readonly canary: string;
}

export interface GuardianEpisode {
  readonly reason: 'not_reading' | 'canary';
  /** CLOCK_REALTIME, nanoseconds. */
  readonly from_ns: bigint;
  readonly to_ns: bigint;
  readonly allowed: bigint;
  readonly denied: bigint;
}

export interface GuardianStats {
  /** 0: there is none now; another is being started. */
  readonly pid: number;
  /** How many were started after the first. */
  readonly restarts: number;
  /** False: it shares a cgroup that can be frozen or killed. */
  readonly own_cgroup: boolean;
  /** Why it reads in our place now; empty: it doesn't. */
  readonly standing_in: '' | 'not_reading' | 'canary';
  /** CLOCK_REALTIME, nanoseconds, since when; 0n when it doesn't. */
  readonly since_ns: bigint;
  /** How many have ended. */
  readonly episode_count: number;
  /** The last 16 of them, oldest first. */
  readonly episodes: readonly GuardianEpisode[];
  /** Opens that it took from the kernel's queue and nobody judged, since the session began, episodes included. */
  readonly answered: { readonly allowed: bigint; readonly denied: bigint };
  /** Opens that were read here and that it answered, because the deadline had passed. */
  readonly late: bigint;
  /** What it denies by when nobody judges; `full`: files are missing, their opens are allowed then. */
  readonly deny_table: { readonly entries: number; readonly full: boolean };
  readonly canary: HistogramSnapshot & { readonly misses: bigint };
}

/** Quiet answers of one ruleset since it came into force. */
export interface QuietCounts {
  readonly ruleset_version: bigint;
  readonly count: (ruleIndex: number, operation: 'read' | 'write' | 'exec') => bigint;
}

export interface SessionStats {
  /**
   * The ruleset in force comes last, before it the latest that it replaced: what those counted until then isn't lost.
   * A version stays in the list for at least ten reloads.
   */
  readonly quiet: readonly QuietCounts[];
  /** Histogram of verdict time per verdict: counts per bound plus overflow, sum in seconds. */
  readonly verdicts: { readonly allow: HistogramSnapshot; readonly deny: HistogramSnapshot };
  /** Failure counters by name (the table in native/base/failure.h). */
  readonly failures: Readonly<Record<string, bigint>>;
  readonly marks: { readonly permission: number; readonly notification: number };
  /** Event records of both rings since the start; what is published and not drained waits there. */
  readonly ring: { readonly published: number; readonly drained: number; readonly dropped: number };
  /** Notification events read from the kernel, and those of them that coverage has looked into. */
  readonly notification: { readonly read: number; readonly handled: number };
  /** Absent when the session has no guardian. */
  readonly guardian?: GuardianStats;
}

export interface HistogramSnapshot {
  readonly bounds_seconds: readonly number[];
  readonly counts: readonly bigint[];
  readonly sum_seconds: number;
}

export interface Session {
  /**
   * Compiles, covers, swaps; resolves when the new ruleset decides and every mark is placed.
   * @param workloads - all containers that there are
   */
  setRuleset(
    json: string,
    version: bigint,
    workloads: readonly WorkloadSpec[],
  ): Promise<CoverageReport>;
  /**
   * @param workloads - all containers that there are now; who is missing has gone
   * @returns when each is covered by the ruleset in force or says why not. A later call may take the place of this one:
   * both resolve with what became of the later.
   */
  setWorkloads(workloads: readonly WorkloadSpec[]): Promise<CoverageReport>;
  /**
   * Copies whole event records into `buffer` (128 KiB at least); returns bytes written, 0 when empty. After `close()` it
   * gives what was left. `openEventSession` (session.ts) does this; use that.
   */
  drain(buffer: Uint8Array): number;
  stats(): SessionStats;
  /** Ends the protection of a moved file; false when it was none. T3: a promise, since it waits for the coverage thread. */
  release(path: string): Promise<boolean>;
  /**
   * Covered files as `CoveredFiles` (covered-files.ts) reads them: all, as the last ruleset that had to be walked found
   * them, when nobody has taken those yet; else those that changed since the last call. Their state after all facts that
   * `drain` gives once this has resolved. Works after `close()` too; one call at a time.
   */
  coveredFiles(): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Answers what is outstanding, wakes the threads, closes both groups. Idempotent.
   * @returns false: a thread waits for a file that it may never get. It was left after 2 s: rules and openers with it, until
   * the process ends
   */
  close(): boolean;
}

export interface Native {
  /** The table of native/base/failure.h, by the index that `EventBatch.detail` of a lost record has. */
  readonly failureNames: readonly string[];
  probe(): FeatureReport;
  checkGlob(pattern: string): PatternProblem | null;
  checkRegex(pattern: string): PatternProblem | null;
  /**
   * @param resolved - where literal parts of patterns lead, as `RuleCoverage.resolved` has them; both spellings match
   * @throws Error when the JSON is not a ruleset (a bug of ours, never of the user's).
   */
  createEvaluator(rulesetJson: string, resolved?: Readonly<Record<string, string>>): Evaluator;
  /** Dry coverage for `check`: resolves paths and apps on this disk, places no mark. */
  inspectCoverage(rulesetJson: string): CoverageReport;
  openSession(options: SessionOptions): Session;
  /**
   * Sends one datagram to `NOTIFY_SOCKET` (`READY=1`, ...; `@` stands for an abstract address); false without one
   * or when it could not be sent. Node has no unix datagrams.
   */
  sdNotify(message: string): boolean;
  /**
   * Takes an exclusive lock on a file (flock, created 0600 if absent) until this process ends; false when another
   * process holds it. Node has no file locks.
   * @throws Error with code, errno and syscall when the file can't be opened.
   */
  lockFile(path: string): boolean;
  /**
   * Who made the connection of a unix socket, or listens at its other end, when it did; as this process numbers users and
   * processes (pid 0: in a pid namespace that it doesn't see). Node has no such call.
   * @throws Error with code, errno and syscall.
   */
  peerCredentials(fd: number): { pid: number; uid: number; gid: number };
  /**
   * Ends the process at once, without a word to anybody. Node's own end waits for the threads of its pool, and one of them
   * may wait for ever: for a file system of a container's, or of a server that is dead.
   */
  exitNow(status: number): never;
  /** How many names the file has that a process runs, 0 when it was deleted or replaced; null: it has gone. */
  exeNames(pid: number): number | null;
  /**
   * Reads a regular file as a process finds it: below its root, through its links. Never waits for a FIFO.
   * @param startTicks - field 22 of `/proc/<pid>/stat`
   * @returns at most `maxBytes`; null when the process has gone or there is no such regular file
   */
  readFileOf(
    pid: number,
    startTicks: string,
    path: string | Uint8Array,
    maxBytes: number,
  ): Promise<Uint8Array<ArrayBuffer> | null>;
  /**
   * Finds a regular file in the same way; a link at the end is no regular file.
   * @returns an O_PATH descriptor, to be opened as `/proc/self/fd/N` and closed by the caller
   */
  openFileOf(pid: number, startTicks: string, path: string | Uint8Array): Promise<number | null>;
}

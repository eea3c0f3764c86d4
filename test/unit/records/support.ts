/** A pipeline fed with bytes as the native core writes them, under a clock that tests turn. */
import { openSync } from 'node:fs';
import { LearnedBook } from '../../../src/learning/learned-book.ts';
import { EventBatch } from '../../../src/native/event-batch.ts';
import {
  type ActorState,
  actorStates,
  type EventChange,
  type EventFlag,
  type EventKind,
  type EventMode,
  type EventOperation,
  type EventOutcome,
  type EventReason,
  type EventString,
  eventChanges,
  eventFlags,
  eventKinds,
  eventModes,
  eventOperations,
  eventOutcomes,
  eventReasons,
} from '../../../src/native/event-layout.ts';
import { type CompiledPolicy, compile, noCaps } from '../../../src/policy/compile.ts';
import type { Configuration, Rule } from '../../../src/policy/document.ts';
import type { Mode } from '../../../src/policy/ruleset.ts';
import type { Clock } from '../../../src/records/clock.ts';
import type { RecordCounters } from '../../../src/records/counters.ts';
import { Pipeline } from '../../../src/records/pipeline.ts';
import type { ProcessFiles } from '../../../src/records/process-files.ts';
import type { FilewardRecord } from '../../../src/records/record.ts';
import { WorkloadBook } from '../../../src/records/workload-book.ts';
import type { ContainerWorkload } from '../../../src/workloads/container-workload.ts';
import { type EventFieldValues, encodeEvent } from '../native/event-record.ts';

export const startNs = 1_790_000_000_123_456_789n;

export class FakeClock implements Clock {
  ms = 1000;
  nowMs(): number {
    return this.ms;
  }
  nowNs(): bigint {
    return startNs + BigInt(this.ms - 1000) * 1_000_000n;
  }
}

const position = { file: '/etc/fileward/fileward.config.yaml', line: 1, column: 1 };

export function rule(name: string, given: Partial<Rule> = {}): Rule {
  const behavior = given.behavior ?? 'block';
  return {
    name,
    path: [`/srv/${name}/*`],
    except: [],
    behavior,
    operations: ['read', 'write', 'exec'],
    apps: [],
    changes: behavior === 'block' ? 'report' : 'quiet',
    tags: {},
    required: false,
    hash: true,
    strict: false,
    runtime: true,
    enabled: true,
    position,
    ...given,
  };
}

export function configurationOf(
  rules: readonly Rule[],
  given: { mode?: Mode; windowMs?: number; learnUsers?: boolean; maxHashBytes?: number } = {},
): Configuration {
  return {
    file: position.file,
    document: {
      groups: [
        {
          name: 'host',
          members: [{ host: true }],
          mode: given.mode ?? 'monitor',
          labels: { team: 'platform' },
          rules,
          position,
        },
      ],
    },
    policyVersion: '3f2c1ab',
    telemetry: {
      protocol: 'grpc',
      endpoint: 'http://localhost:4317',
      headers: {},
      timeoutMs: 10_000,
      compression: 'none',
      tls: { insecure: true },
      outbox: { maxSizeBytes: 1 << 28 },
      metrics: { perRule: true, intervalMs: 60_000 },
    },
    records: {
      windowMs: given.windowMs ?? 10_000,
      commandArgs: false,
      hash: { enabled: true, maxSizeBytes: given.maxHashBytes ?? 10 << 20 },
    },
    limits: { marks: 200_000, depth: 32 },
    verdict: { deadlineMs: 100, onDeadline: 'allow' },
    learning: { user: given.learnUsers ?? false },
    state: '/var/lib/fileward',
  };
}

/** An event in words; numbers are native fields. */
export interface EventWords {
  readonly kind?: EventKind;
  readonly change?: EventChange;
  readonly operation?: EventOperation;
  readonly outcome?: EventOutcome;
  readonly mode?: EventMode;
  readonly reason?: EventReason;
  readonly actor?: ActorState;
  readonly flags?: readonly EventFlag[];
  readonly fields?: EventFieldValues;
  readonly strings?: Partial<Record<EventString, string | Buffer>>;
}

const opener = { pid: 4711, tid: 4711, ppid: 1, euid: 0, ruid: 1000 };
const file = { dev: 2049n, ino: 77n, size: 12n, mtime_ns: 5n, file_mode: 0o100640 };

/** By `/usr/bin/cat` on `/srv/data/a`, unless told otherwise. */
export function encode(words: EventWords): Buffer {
  return encodeEvent(
    {
      kind: eventKinds.indexOf(words.kind ?? 'open'),
      flags: (words.flags ?? []).reduce((bits, flag) => bits | eventFlags[flag], 0),
      time_ns: startNs,
      ruleset_version: 1n,
      operation: eventOperations.indexOf(words.operation ?? 'read'),
      change: eventChanges.indexOf(words.change ?? 'none'),
      outcome: eventOutcomes.indexOf(words.outcome ?? 'denied'),
      verdict: words.outcome === undefined || words.outcome === 'denied' ? 2 : 1,
      mode: eventModes.indexOf(words.mode ?? 'protect'),
      reason: eventReasons.indexOf(words.reason ?? 'app_not_listed'),
      actor_state: actorStates.indexOf(words.actor ?? 'known'),
      rule_index: 0,
      ...file,
      file_uid: 0,
      file_gid: 42,
      ...opener,
      process_start_ns: 1_789_999_999_500_000_000n,
      ...words.fields,
    },
    {
      path: '/srv/data/a',
      exe: '/usr/bin/cat',
      cgroup: '/user.slice',
      ancestors: '/usr/bin/bash\0/usr/sbin/sshd',
      ...words.strings,
    },
  );
}

/** A fact about a change, in monitor, unlisted and through no gate. */
export function fact(change: EventChange, words: EventWords = {}): Buffer {
  return encode({
    kind: 'change',
    change,
    operation: 'write',
    outcome: 'violated',
    mode: 'monitor',
    reason: 'not_enforceable',
    ...words,
  });
}

/** A container of this machine's that needs none; its files are those of this process. */
export function containerOf(
  id: number,
  name: string,
  given: Partial<ContainerWorkload> = {},
): ContainerWorkload {
  return {
    id,
    containerId: `${id}`.padStart(64, 'c0ffee'),
    runtime: 'podman',
    pid: process.pid,
    startTicks: '1',
    cgroup: `/machine.slice/libpod-${id}.scope`,
    workload: { kind: 'container', container: { keys: { name }, labels: {} } },
    unknown: [],
    unknownWhy: '',
    asking: false,
    resource: { 'container.id': `${id}`.padStart(64, 'c0ffee'), 'container.name': name },
    uidMap: [[0, 0, 4_294_967_295]],
    ...given,
  };
}

export interface UnderTest {
  readonly pipeline: Pipeline;
  readonly book: WorkloadBook;
  /** Content of passwd in containers, by pid; null: it can't be read. Others have a root. */
  readonly passwd: Map<number, () => Promise<string | null>>;
  readonly clock: FakeClock;
  readonly records: FilewardRecord[];
  /** `event operation` of all that was counted. */
  readonly counted: string[];
  readonly lost: Map<string, number>;
  readonly policy: CompiledPolicy;
  /** Processes that live, with the identity that each holds open, '' for none. */
  readonly processes: Map<number, string>;
  accept(...events: Buffer[]): void;
  /** Lets time pass and ticks as the agent does. */
  pass(ms: number): void;
  /** `event operation path` of the records so far. */
  told(): string[];
}

export function underTest(
  configuration: Configuration = configurationOf([rule('data')]),
): UnderTest {
  const clock = new FakeClock();
  const records: FilewardRecord[] = [];
  const counted: string[] = [];
  const lost = new Map<string, number>();
  const processes = new Map<number, string>();
  const counters: RecordCounters = {
    fileEvent: (_, event, operation) => counted.push(`${event} ${operation}`),
    lost: (reason, count) => lost.set(reason, (lost.get(reason) ?? 0) + count),
    learnedPairs: () => undefined,
  };
  const proc: ProcessFiles = {
    isAlive: (pid) => processes.has(pid),
    holds: (pid, dev, ino) => processes.get(pid) === `${dev}:${ino}`,
  };
  const passwd = new Map<number, () => Promise<string | null>>();
  const book = new WorkloadBook({
    resource: { 'service.name': 'fileward' },
    clock,
    passwd: `${import.meta.dirname}/passwd`,
    native: {
      readFileOf: async (pid) => {
        const text = await (passwd.get(pid) ?? (async () => 'root:x:0:0::/:/bin/sh\n'))();
        return text === null ? null : Uint8Array.from(Buffer.from(text));
      },
      // Test files are this process's own.
      openFileOf: async (_pid, _ticks, file) => {
        try {
          return openSync(Buffer.from(file), 'r');
        } catch {
          return null;
        }
      },
    },
  });
  const pipeline = new Pipeline({
    workloads: book,
    onRecord: (record) => records.push(record),
    counters,
    learned: new LearnedBook({
      learned: { rules: [], pairs: [], refusals: [] },
      appKind: (path) => (path.endsWith('/python3') ? 'interpreter' : 'binary'),
      exeNames: () => 1,
      onFull: () => undefined,
      onRoom: () => undefined,
    }),
    clock,
    processes: proc,
  });
  const policy = compile(configuration, noCaps);
  pipeline.usePolicy(1n, policy, configuration);
  return {
    pipeline,
    book,
    passwd,
    clock,
    records,
    counted,
    lost,
    policy,
    processes,
    accept: (...events) =>
      pipeline.accept(
        new EventBatch(Buffer.concat(events), ['none', 'queue_overflow', 'ring_full']),
      ),
    pass(ms) {
      for (let passed = 0; passed < ms; passed += 50) {
        clock.ms += 50;
        pipeline.tick();
      }
    },
    told: () =>
      records.map(({ event, attributes }) =>
        [
          event.replace(/^fileward\.(file\.)?/, ''),
          attributes['fileward.operation'],
          attributes['file.path'],
        ].join(' '),
      ),
  };
}

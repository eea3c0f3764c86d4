/**
 * The main thread's side of the outbox: encodes each record at once, gathers those of one lane and resource to chunks and
 * hands these to the worker thread, which keeps and sends them. Owns what is gathered, the thread, and the whole count.
 * Never waits for the disk or the network: what the thread hasn't taken yet is bounded, and what is beyond is lost by
 * name.
 */
import { timeSpan } from '../records/clock.ts';
import type { Loss } from '../records/loss.ts';
import { FILE_EVENT, RECORD_LOST, SEVERITY } from '../records/names.ts';
import type { Attributes, FilewardRecord } from '../records/record.ts';
import type { Lane } from './chunk.ts';
import type { ExportSettings } from './export-settings.ts';
import { encodeResource, encodeScope, writeLogRecord } from './log-record.ts';
import type { OutboxSettings } from './outbox-messages.ts';
import { OutboxThread } from './outbox-thread.ts';
import { ProtobufWriter } from './protobuf.ts';

export interface OutboxOptions {
  /** The database; its folder exists. */
  readonly file: string;
  /** Of this package. */
  readonly version: string;
  readonly settings: ExportSettings;
  /** `telemetry.outbox.max_size`: of all that waits, wherever. */
  readonly maxBytes: number;
  readonly onLost: (loss: Loss) => void;
  /** Records that told losses are lost: counted, but no reason for another one. */
  readonly onLossLost: (reason: string, count: number) => void;
  /** The collector takes nothing (why), or does again (undefined). */
  readonly onReachable: (problem: string | undefined) => void;
  /** Evidence can't be written (why), or can be again (undefined). */
  readonly onDisk: (problem: string | undefined) => void;
}

export interface OutboxStats {
  /** Records that came. */
  readonly in: number;
  /** Found on disk, left there by an earlier process. */
  readonly recovered: number;
  /** Acknowledged. */
  readonly exported: number;
  readonly waiting: number;
  readonly waitingBytes: number;
  /** Of those that wait. */
  readonly onDisk: number;
  readonly limitBytes: number;
  /** Set aside in the database, because the collector refuses them whatever comes with them. */
  readonly refused: number;
  /** By reason. in + recovered = exported + waiting + the sum of these. */
  readonly lost: Readonly<Record<string, number>>;
  readonly retries: number;
  /** Why the collector takes nothing, '' when it does. */
  readonly problem: string;
  /** Why nothing can be written, '' when it can. */
  readonly diskProblem: string;
}

/** Records that may share a chunk. */
type Kind = Lane | 'loss';

interface Gathering {
  readonly kind: Kind;
  readonly writer: ProtobufWriter;
  records: number;
  fromNs: bigint;
  toNs: bigint;
}

interface KnownResource {
  readonly encoded: Uint8Array;
  readonly gathering: Map<Kind, Gathering>;
}

/** How long the first record of a chunk waits for company. */
const GATHER_MS = 10;
const CHUNK_BYTES = 256 * 1024;
/** Encoded and not yet taken by the thread. */
const TRANSIT_BYTES = 32 * 1024 * 1024;
const RESERVE_BYTES = 256 * 1024;
const MOST_SPARE_WRITERS = 3;
/** For writing what is left at the end; a disk that hangs must not hold up the process. */
const CLOSE_MS = 1000;

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #thread: OutboxThread;
  readonly #resources = new WeakMap<Attributes, KnownResource>();
  readonly #open = new Set<KnownResource>();
  readonly #lost: Record<string, number> = {};
  #maxBytes: number;
  #gathered = { records: 0, bytes: 0 };
  /** Empty, and large enough by now: a new one for each chunk would be copied from size to size. */
  readonly #spareWriters: ProtobufWriter[] = [];
  #in = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#maxBytes = options.maxBytes;
    this.#thread = new OutboxThread({
      file: options.file,
      scope: encodeScope(options.version),
      settings: settingsOf(options.settings, options.maxBytes),
      onLost: ({ aboutLoss, ...loss }) => this.#countLost(loss, aboutLoss),
      onReachable: options.onReachable,
      onDisk: options.onDisk,
    });
  }

  emit(record: FilewardRecord): void {
    this.#in += 1;
    const kind = kindOf(record);
    if (this.#closed || !this.#hasRoom(kind)) {
      this.#lose(record, this.#closed ? 'shutdown' : 'outbox_full');
      return;
    }
    const resource = this.#resourceOf(record.resource);
    const gathering = gatheringOf(resource, kind, record.time, this.#spareWriters);
    const { writer } = gathering;
    const before = writer.length;
    writeLogRecord(writer, record, BigInt(Date.now()) * 1_000_000n);
    gathering.records += 1;
    if (record.time < gathering.fromNs) gathering.fromNs = record.time;
    if (record.time > gathering.toNs) gathering.toNs = record.time;
    this.#gathered.records += 1;
    this.#gathered.bytes += writer.length - before;
    if (writer.length >= Math.min(CHUNK_BYTES, this.#maxBytes / 16)) {
      resource.gathering.delete(kind);
      this.#handOver(resource, gathering);
      return;
    }
    this.#open.add(resource);
    this.#timer ??= setTimeout(() => this.#handOverAll(), GATHER_MS);
  }

  /** Resolves when all evidence that came so far is on disk, acknowledged or lost. */
  settled(): Promise<void> {
    this.#handOverAll();
    return this.#thread.ask('settle');
  }

  /** Sends at once what waits, retries too. False when it took too long. */
  async flush(timeoutMs: number): Promise<boolean> {
    this.#handOverAll();
    await this.#thread.ask('flush', timeoutMs);
    return this.stats().waiting === 0;
  }

  /** From now on other settings hold for all that waits. */
  configure(settings: ExportSettings, maxBytes: number): void {
    this.#maxBytes = maxBytes;
    this.#thread.configure(settingsOf(settings, maxBytes));
  }

  /**
   * Sends what goes in time. Evidence that is left stays on disk; what isn't for the disk is lost.
   * @param finish - runs when nothing more is sent; what it emits is kept
   */
  async shutdown(timeoutMs: number, finish: () => void | Promise<void>): Promise<void> {
    await this.flush(timeoutMs);
    await this.#thread.ask('stop', CLOSE_MS);
    await finish();
    this.#handOverAll();
    this.#closed = true;
    await this.#thread.close(CLOSE_MS);
  }

  stats(): OutboxStats {
    const { records, bytes, ...thread } = this.#thread.stats();
    return {
      ...thread,
      in: this.#in,
      waiting: this.#gathered.records + records,
      waitingBytes: this.#gathered.bytes + bytes,
      limitBytes: heldBytes(this.#maxBytes),
      lost: { ...this.#lost },
    };
  }

  #hasRoom(kind: Kind): boolean {
    const most = transitBytes(this.#maxBytes);
    const inTransit = this.#gathered.bytes + this.#thread.bytesInTransit();
    if (kind === 'accessed') return inTransit < most / 2;
    return inTransit < most + (kind === 'loss' ? RESERVE_BYTES : 0);
  }

  #resourceOf(attributes: Attributes): KnownResource {
    let resource = this.#resources.get(attributes);
    if (resource === undefined) {
      resource = { encoded: encodeResource(attributes), gathering: new Map() };
      this.#resources.set(attributes, resource);
    }
    return resource;
  }

  #handOverAll(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const resource of this.#open) {
      for (const gathering of resource.gathering.values()) this.#handOver(resource, gathering);
      resource.gathering.clear();
    }
    this.#open.clear();
  }

  #handOver({ encoded }: KnownResource, gathering: Gathering): void {
    const { kind, writer, records, fromNs, toNs } = gathering;
    const body = writer.take();
    if (this.#spareWriters.length < MOST_SPARE_WRITERS) this.#spareWriters.push(writer);
    this.#gathered.records -= records;
    this.#gathered.bytes -= body.length;
    const lane = kind === 'loss' ? 'alert' : kind;
    const aboutLoss = kind === 'loss';
    this.#thread.hand({ lane, aboutLoss, records, fromNs, toNs, resource: encoded, body });
  }

  #lose(record: FilewardRecord, reason: string): void {
    const aboutLoss = Number(kindOf(record) === 'loss');
    const loss: Loss = {
      reason,
      stage: 'outbox',
      count: 1 - aboutLoss,
      ...timeSpan([record.time]),
    };
    this.#countLost(loss, aboutLoss);
  }

  #countLost(loss: Loss, aboutLoss: number): void {
    const { reason, count } = loss;
    this.#lost[reason] = (this.#lost[reason] ?? 0) + (count ?? 0) + aboutLoss;
    if (aboutLoss > 0) this.#options.onLossLost(reason, aboutLoss);
    if (count !== 0) this.#options.onLost(loss);
  }
}

function kindOf({ event, severity }: FilewardRecord): Kind {
  if (event === FILE_EVENT.accessed) return 'accessed';
  if (event === RECORD_LOST) return 'loss';
  return severity >= SEVERITY.warn ? 'alert' : 'evidence';
}

function gatheringOf(
  { gathering }: KnownResource,
  kind: Kind,
  timeNs: bigint,
  spare: ProtobufWriter[],
): Gathering {
  let found = gathering.get(kind);
  if (found === undefined) {
    const writer = spare.pop() ?? new ProtobufWriter();
    found = { kind, writer, records: 0, fromNs: timeNs, toNs: timeNs };
    gathering.set(kind, found);
  }
  return found;
}

function transitBytes(maxBytes: number): number {
  return Math.min(TRANSIT_BYTES, maxBytes / 4);
}

/** What is on the way to the thread is part of the whole. */
function settingsOf(settings: ExportSettings, maxBytes: number): OutboxSettings {
  return { export: settings, limitBytes: heldBytes(maxBytes) };
}

/** What the thread holds at most; at this size of what waits new records are refused. */
function heldBytes(maxBytes: number): number {
  return maxBytes - transitBytes(maxBytes);
}

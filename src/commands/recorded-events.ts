/**
 * Reads recorded events as a stream: lines of our NDJSON and lines of OTLP/JSON, one ExportLogsServiceRequest each, as
 * a collector's file exporter writes them. What is neither is counted, not fatal.
 */
import { createReadStream } from 'node:fs';
import { codeOf, Failure, messageOf } from '../control/failure.ts';

export interface RecordedEvent {
  /** `fileward.file.denied` */
  readonly event: string;
  /** Milliseconds since the epoch; absent: the record does not say. */
  readonly timeMs?: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
}

/** What was read so far. */
export interface LineCounts {
  lines: number;
  /** Records of others, in lines that can be read. */
  foreign: number;
  unreadable: number;
  /** The first of them, `FILE:LINE`. */
  firstUnreadable?: string;
  /** Files whose last line is cut off. */
  cutOff: string[];
}

export function noLines(): LineCounts {
  return { lines: 0, foreign: 0, unreadable: 0, cutOff: [] };
}

/** The most that a line may have; one that is longer is counted as unreadable, and never held as a whole. */
const MOST_LINE_BYTES = 64 * 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * The events of each line. `-` is stdin.
 * @param onUnreadable - told of each line that is none of ours or cut off, `FILE:LINE`
 * @throws Failure 2 when the file can't be read or is compressed.
 */
export async function* readRecorded(
  file: string,
  counts: LineCounts,
  onUnreadable?: (where: string) => void,
): AsyncGenerator<RecordedEvent[]> {
  const name = file === '-' ? 'stdin' : file;
  let number = 0;
  for await (const { bytes, ended } of linesOf(name, openStream(file))) {
    number += 1;
    if (bytes?.length === 0) continue;
    counts.lines += 1;
    const events = bytes && eventsOf(bytes.toString('utf8'), counts);
    if (events) {
      yield events;
      continue;
    }
    onUnreadable?.(`${name}:${number}`);
    if (!ended && bytes) {
      counts.cutOff.push(name);
    } else {
      counts.unreadable += 1;
      counts.firstUnreadable ??= `${name}:${number}`;
    }
  }
}

function openStream(file: string): AsyncIterable<Buffer> {
  return file === '-' ? process.stdin : createReadStream(file);
}

interface Line {
  /** Undefined: too long. */
  readonly bytes: Buffer | undefined;
  /** By a newline. */
  readonly ended: boolean;
}

async function* linesOf(name: string, stream: AsyncIterable<Buffer>): AsyncGenerator<Line> {
  const line = new LineBuffer();
  let first = true;
  try {
    for await (const chunk of stream) {
      if (first) refuseCompressed(name, chunk);
      first = false;
      let from = 0;
      for (let to = chunk.indexOf(NEWLINE); to !== -1; to = chunk.indexOf(NEWLINE, from)) {
        line.add(chunk.subarray(from, to));
        yield { bytes: line.take(), ended: true };
        from = to + 1;
      }
      line.add(chunk.subarray(from));
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    const why = codeOf(error) === 'ENOENT' ? 'no such file' : messageOf(error);
    throw new Failure(2, `${name} can not be read: ${why}`);
  }
  if (!line.empty) yield { bytes: line.take(), ended: false };
}

class LineBuffer {
  #parts: Buffer[] = [];
  #bytes = 0;

  get empty(): boolean {
    return this.#bytes === 0;
  }

  add(part: Buffer): void {
    this.#bytes += part.length;
    if (this.#bytes > MOST_LINE_BYTES) this.#parts = [];
    else if (part.length > 0) this.#parts.push(part);
  }

  take(): Buffer | undefined {
    const line = this.#bytes > MOST_LINE_BYTES ? undefined : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    return line;
  }
}

function refuseCompressed(name: string, chunk: Buffer): void {
  const magic = chunk.subarray(0, 4).toString('hex');
  if (magic.startsWith('1f8b') || magic === '28b52ffd') {
    throw new Failure(
      2,
      `${name} is compressed; unpack it first, for example: zcat … | fileward … -`,
    );
  }
}

/** Undefined when the line is no JSON object. */
function eventsOf(line: string, counts: LineCounts): RecordedEvent[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isMap(value)) return undefined;
  const { resourceLogs, event, attributes, resource, time } = value;
  if (Array.isArray(resourceLogs))
    return resourceLogs.flatMap((each) => eventsOfResource(each, counts));
  if (typeof event === 'string' && event.startsWith('fileward.') && isMap(attributes)) {
    const timeMs = Date.parse(String(time));
    return [{ event, attributes, resource: isMap(resource) ? resource : {}, ...timeOf(timeMs) }];
  }
  counts.foreign += 1;
  return [];
}

function eventsOfResource(resourceLogs: unknown, counts: LineCounts): RecordedEvent[] {
  if (!isMap(resourceLogs)) return [];
  const resource = isMap(resourceLogs['resource']) ? resourceLogs['resource']['attributes'] : [];
  const shared = flat(resource);
  return listOf(resourceLogs['scopeLogs']).flatMap((scopeLogs) =>
    listOf(isMap(scopeLogs) && scopeLogs['logRecords']).flatMap((record) => {
      const attributes = flat(isMap(record) && record['attributes']);
      const event = (isMap(record) && record['eventName']) || attributes['otel.event.name'];
      if (typeof event === 'string' && event.startsWith('fileward.')) {
        const nanoseconds = isMap(record) ? record['timeUnixNano'] : undefined;
        return [{ event, attributes, resource: shared, ...timeOf(Number(nanoseconds) / 1e6) }];
      }
      counts.foreign += 1;
      return [];
    }),
  );
}

/** The last time that a Date can hold. */
const MOST_MS = 8.64e15;

function timeOf(timeMs: number): { timeMs?: number } {
  return timeMs > 0 && timeMs <= MOST_MS ? { timeMs: Math.floor(timeMs) } : {};
}

/** OTLP's list of keys and values as a map. */
function flat(list: unknown): Record<string, unknown> {
  const map: Record<string, unknown> = {};
  for (const each of listOf(list)) {
    if (isMap(each) && typeof each['key'] === 'string') map[each['key']] = plain(each['value']);
  }
  return map;
}

function plain(value: unknown): unknown {
  if (!isMap(value)) return undefined;
  if ('intValue' in value) return Number(value['intValue']);
  if (isMap(value['arrayValue'])) return listOf(value['arrayValue']['values']).map(plain);
  return value['stringValue'] ?? value['boolValue'] ?? value['doubleValue'];
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What arrived at a collector, as the tests of delivery compare it with what was denied. */
import assert from 'node:assert/strict';
import { closeSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import type { Collector } from '../otlp/collector.ts';
import type { Span } from './denials.ts';
import type { CollectorServer } from './servers.ts';

/** A record as the protocol has it in JSON. */
interface LogRecord {
  readonly eventName?: string;
  readonly attributes: readonly { readonly key: string; readonly value: object }[];
}

/** Of the records that arrived: what this test compares. */
export class Arrived {
  /** Uids by path of the denied file. */
  readonly denied = new Map<string, Set<string>>();
  readonly gaps = new Map<string, { reason: string; from: number; to: number; count: number }>();
  readonly uids = new Set<string>();
  records = 0;

  add({ eventName, attributes }: LogRecord): void {
    const text = (name: string) => {
      const value = attributes.find(({ key }) => key === name)?.value ?? {};
      return String(Object.values(value)[0] ?? '');
    };
    this.records += 1;
    const uid = text('log.record.uid');
    assert.match(uid, /^[0-9a-f-]{36}$/);
    this.uids.add(uid);
    if (eventName === 'fileward.file.denied') {
      const file = text('file.path');
      const uids = this.denied.get(file) ?? new Set();
      this.denied.set(file, uids.add(uid));
    } else if (eventName === 'fileward.record.lost') {
      this.gaps.set(uid, {
        reason: text('error.type'),
        from: Date.parse(text('fileward.first_seen')),
        to: Date.parse(text('fileward.last_seen')) + 1, // it has no more than milliseconds
        count: Number(text('fileward.count') || Number.NaN),
      });
    }
  }

  lost(reason: string): number {
    return [...this.gaps.values()]
      .filter((gap) => gap.reason === reason)
      .reduce((sum, { count }) => sum + count, 0);
  }

  /** Denials that neither arrived nor lie in a gap. */
  missing(denied: ReadonlyMap<string, Span>): string[] {
    const gaps = [...this.gaps.values()];
    const inGap = ({ from, to }: Span) => gaps.some((gap) => gap.from <= to && from <= gap.to);
    return [...denied]
      .filter(([file, span]) => !this.denied.has(file) && !inGap(span))
      .map(([file]) => file);
  }
}

/** Reads on in the file to which the real collector's exporter appends. */
export class ArrivalsFile {
  readonly arrived = new Arrived();
  readonly #file: string;
  #offset = 0;
  #rest = '';

  constructor(collector: CollectorServer) {
    this.#file = path.join(collector.directory, 'arrivals.jsonl');
  }

  read(): Arrived {
    const fd = openSync(this.#file, 'r');
    const bytes = Buffer.allocUnsafe(16 << 20);
    for (;;) {
      const count = readSync(fd, bytes, 0, bytes.length, this.#offset);
      if (count === 0) break;
      // What is not ASCII has been escaped by nobody, but a path of this test has none of it.
      this.#offset += count;
      const lines = (this.#rest + bytes.toString('latin1', 0, count)).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) this.#take(line);
    }
    closeSync(fd);
    return this.arrived;
  }

  #take(line: string): void {
    // A collector that was killed leaves half a line, and the next one goes on in it: that half was not acknowledged.
    const whole = line.slice(line.lastIndexOf('{"resourceLogs"'));
    if (!whole.endsWith('}')) return;
    const { resourceLogs } = JSON.parse(whole) as {
      resourceLogs: { scopeLogs: { logRecords: LogRecord[] }[] }[];
    };
    for (const { scopeLogs } of resourceLogs) {
      for (const { logRecords } of scopeLogs) {
        for (const record of logRecords) this.arrived.add(record);
      }
    }
  }
}

export function arrivedAt(collector: Collector): Arrived {
  const arrived = new Arrived();
  for (const record of collector.records()) arrived.add(record);
  return arrived;
}

/**
 * Makes records and sends them to a collector, in a process of its own, so that its processor time is what they cost:
 *   export-producer.ts ours|stock URL RECORDS       as fast as nothing is lost
 *   export-producer.ts offered URL SECONDS RATE     so many a second, whatever becomes of them
 * Prints one line of JSON.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-grpc';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchLogRecordProcessor,
  LoggerProvider,
  type LogRecordExporter,
  type ReadableLogRecord,
} from '@opentelemetry/sdk-logs';
import type { Attributes, FilewardRecord } from '../../src/records/record.ts';
import { uuidV7 } from '../../src/records/uuid.ts';
import { createTelemetry, type Telemetry } from '../../src/telemetry/exporter.ts';

export interface Measured {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly offered: number;
  readonly exported: number;
  /** By reason. */
  readonly lost: Readonly<Record<string, number>>;
  readonly unaccounted: number;
  /** Highest resident memory. */
  readonly mebibytes: number;
}

const resource: Attributes = { 'service.name': 'fileward', 'host.name': 'bench', 'host.id': 'b1' };
/** Records that the agent makes of a denial, with a name of their own each. */
const KINDS = 2000;
const kinds = Array.from({ length: KINDS }, (_, index) => record(index));
/** Emitted before anything else gets a turn. */
const SLICE = 200;

function record(index: number): FilewardRecord {
  const file = `/srv/payroll/2026/department-${index % 50}/employee-${index}.json`;
  return {
    time: BigInt(Date.now()) * 1_000_000n,
    event: 'fileward.file.denied',
    severity: 13,
    body: `cat (pid ${4000 + index}) was denied read access to ${file}`,
    attributes: {
      'file.path': file,
      'file.inode': String(100_000 + index),
      'file.mode': '0640',
      'file.owner.id': '0',
      'file.group.id': '42',
      'file.size': 1200 + index,
      'fileward.operation': 'read',
      'fileward.verdict': 'deny',
      'fileward.mode': 'protect',
      'fileward.reason': 'app_not_listed',
      'security_rule.name': 'payroll',
      'security_rule.ruleset.name': 'host',
      'security_rule.version': '3f2c1ab',
      'security_rule.description': 'Salaries',
      'process.pid': 4000 + index,
      'process.parent_pid': 3000,
      'process.executable.path': '/usr/bin/cat',
      'process.executable.name': 'cat',
      'process.user.id': 1000,
      'process.user.name': 'operator',
      'process.real_user.id': 1000,
      'process.creation.time': '2026-11-21T10:00:00.123456789Z',
      'process.linux.cgroup': '/user.slice/user-1000.slice/session-3.scope',
      'fileward.process.ancestors': ['/usr/bin/bash', '/usr/sbin/sshd', '/usr/lib/systemd/systemd'],
      'fileward.count': 1,
      'otel.event.name': 'fileward.file.denied',
      'log.record.uid': uuidV7(Date.now()),
    },
    resource,
  };
}

function kind(index: number): FilewardRecord {
  const found = kinds[index % KINDS];
  if (found === undefined) throw new Error('no records');
  return found;
}

async function withOutbox(
  url: string,
  use: (telemetry: Telemetry) => Promise<number>,
): Promise<Measured> {
  const state = mkdtempSync('/var/tmp/fileward-bench-');
  const telemetry = createTelemetry({
    configuration: {
      protocol: 'grpc',
      endpoint: url,
      headers: {},
      timeoutMs: 10_000,
      compression: 'none',
      tls: { insecure: true },
      outbox: { maxSizeBytes: 256 << 20 },
      metrics: { perRule: true, intervalMs: 60_000 },
    },
    env: { OTEL_METRICS_EXPORTER: 'none' },
    resource,
    version: '0.0.0',
    state,
    onLost: () => undefined,
  });
  try {
    return await measured(async () => {
      const offered = await use(telemetry);
      const { in: taken, recovered, exported, waiting, lost } = telemetry.stats();
      const lostSum = Object.values(lost).reduce((sum, each) => sum + each, 0);
      const unaccounted = taken + recovered - exported - waiting - lostSum + (offered - taken);
      return { offered, exported, lost, unaccounted };
    });
  } finally {
    await telemetry.shutdown(1000);
    rmSync(path.resolve(state), { recursive: true });
  }
}

async function measured(
  use: () => Promise<Pick<Measured, 'offered' | 'exported' | 'lost' | 'unaccounted'>>,
): Promise<Measured> {
  const began = performance.now();
  const cpu = process.cpuUsage();
  const counts = await use();
  const { user, system } = process.cpuUsage(cpu);
  return {
    seconds: (performance.now() - began) / 1000,
    cpuSeconds: (user + system) / 1e6,
    ...counts,
    mebibytes: process.resourceUsage().maxRSS / 1024,
  };
}

/** Waits where more would be lost, as a pipeline that must lose nothing has to. */
function ours(url: string, count: number): Promise<Measured> {
  const MOST_WAITING_BYTES = 16 << 20;
  return withOutbox(url, async (telemetry) => {
    for (let i = 0; i < count; i++) {
      telemetry.emit(kind(i));
      if (i % SLICE !== 0) continue;
      await turn();
      while (telemetry.stats().waitingBytes > MOST_WAITING_BYTES) await sleep(1);
    }
    await telemetry.flush(120_000);
    return count;
  });
}

/** What nothing slows down: the events of a kernel don't wait. */
function offered(url: string, seconds: number, rate: number): Promise<Measured> {
  return withOutbox(url, async (telemetry) => {
    const began = performance.now();
    let count = 0;
    while (count < seconds * rate) {
      const elapsed = (performance.now() - began) / 1000;
      for (const due = Math.min(elapsed, seconds) * rate; count < due; count++) {
        telemetry.emit(kind(count));
        if (count % SLICE === 0) await turn();
      }
      await sleep(1);
    }
    await telemetry.flush(120_000);
    return count;
  });
}

/** The stock exporter, and how many it has taken. */
class CountedExporter implements LogRecordExporter {
  readonly #exporter: LogRecordExporter;
  exported = 0;
  failed = 0;

  constructor(url: string) {
    this.#exporter = new OTLPLogExporter({ url });
  }

  export(records: ReadableLogRecord[], done: (result: ExportResult) => void): void {
    this.#exporter.export(records, (result) => {
      if (result.code === ExportResultCode.SUCCESS) this.exported += records.length;
      else this.failed += records.length;
      done(result);
    });
  }

  forceFlush(): Promise<void> {
    return this.#exporter.forceFlush?.() ?? Promise.resolve();
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown();
  }
}

/** It keeps records in memory and drops what is beyond its queue: made lossless by waiting at half of it. */
async function stock(url: string, count: number): Promise<Measured> {
  const maxQueueSize = 8192;
  const exporter = new CountedExporter(url);
  const provider = new LoggerProvider({
    resource: resourceFromAttributes(resource),
    // As large batches as ours.
    processors: [new BatchLogRecordProcessor({ exporter, maxQueueSize, maxExportBatchSize: 2048 })],
  });
  const logger = provider.getLogger('fileward', '0.0.0');
  return measured(async () => {
    for (let i = 0; i < count; i++) {
      const { time, event, severity, body, attributes } = kind(i);
      logger.emit({
        timestamp: [Number(time / 1_000_000_000n), Number(time % 1_000_000_000n)],
        eventName: event,
        severityNumber: severity,
        severityText: 'WARN',
        body,
        attributes: attributes as Record<string, string>,
      });
      if (i % SLICE !== 0) continue;
      await turn();
      while (i - exporter.exported - exporter.failed > maxQueueSize / 2) await sleep(1);
    }
    await provider.shutdown();
    const { exported, failed } = exporter;
    return { offered: count, exported, lost: { failed }, unaccounted: count - exported - failed };
  });
}

const [side, url = '', ...numbers] = process.argv.slice(2);
const [first = 0, second = 0] = numbers.map(Number);
const run = {
  ours: () => ours(url, first),
  stock: () => stock(url, first),
  offered: () => offered(url, first, second),
}[side ?? ''];
if (run === undefined) throw new Error('ours, stock or offered');
console.log(JSON.stringify(await run()));

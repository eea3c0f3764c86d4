/** Everything that leaves for the collector: the composition of transports, record exporter and metric reader. */
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import type { TelemetryConfiguration } from '../policy/document.ts';
import type { Loss } from '../records/loss.ts';
import type { Attributes, FilewardRecord } from '../records/record.ts';
import {
  type ExportSettings,
  exportSettings,
  metricIntervalMs,
  type Signal,
} from './export-settings.ts';
import { GrpcTransport } from './grpc-transport.ts';
import { HttpTransport } from './http-transport.ts';
import { type LogExportStats, LogExporter } from './log-exporter.ts';
import { resourceOf, scopeOf } from './log-record.ts';
import { MetricExporter } from './metric-exporter.ts';
import { FilewardMetrics } from './metrics.ts';
import type { Transport } from './transport.ts';

export interface TelemetryOptions {
  readonly configuration: TelemetryConfiguration;
  readonly env: NodeJS.ProcessEnv;
  /** Of the host; metrics have no other. */
  readonly resource: Attributes;
  /** Of this package. */
  readonly version: string;
  readonly onLost: (loss: Loss) => void;
  /** The collector can't be reached (why), or is back (undefined). */
  readonly onReachable?: (problem: string | undefined) => void;
  /** False under `--no-export`: metrics are counted, nothing is sent. */
  readonly enabled?: boolean;
}

/** With the endpoint that records go to, '' when they don't. */
export type TelemetryStats = LogExportStats & { readonly endpoint: string };

export interface Telemetry {
  readonly metrics: FilewardMetrics;
  emit(record: FilewardRecord): void;
  /** True when everything has arrived. */
  flush(timeoutMs: number): Promise<boolean>;
  /** Flushes and ends; what didn't arrive in time is counted as lost. */
  shutdown(timeoutMs: number): Promise<void>;
  stats(): TelemetryStats;
}

/** Records in memory, whatever the outbox on disk may hold: they take two to three times that as objects. */
const MOST_QUEUE_BYTES = 32 * 1024 * 1024;
/** Data points of a metric request; below 2 MiB with the longest names. */
const METRIC_BATCH = 4000;

/** Of the time for a shutdown what records may take; metrics have the rest. */
const RECORDS_SHARE = 0.75;

/** @throws Error when an OTEL_* variable or a certificate file can't be used; its message says which. */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  const { configuration, env, enabled = true } = options;
  const scope = scopeOf(options.version);
  const logSettings = enabled ? exportSettings('logs', configuration, env) : undefined;
  const metricSettings = enabled ? exportSettings('metrics', configuration, env) : undefined;
  const exporter =
    logSettings &&
    new LogExporter({
      transport: transportOf('logs', logSettings),
      scope,
      maxQueueBytes: Math.min(configuration.outbox.maxSizeBytes, MOST_QUEUE_BYTES),
      onLost: options.onLost,
      onReachable: options.onReachable ?? (() => undefined),
    });
  const stats = () => exporter?.stats() ?? NOTHING_SENT;
  const metrics = new FilewardMetrics({
    scope,
    perRule: configuration.metrics.perRule,
    exporter: stats,
  });
  const meterProvider =
    metricSettings &&
    new MeterProvider({
      resource: resourceOf(options.resource),
      readers: [metricReader(metrics, metricSettings, metricIntervalMs(configuration, env))],
    });

  return {
    metrics,
    emit: (record) => exporter?.emit(record),
    // Records first: then the metrics say that they have arrived.
    async flush(timeoutMs) {
      const sent = (await exporter?.flush(timeoutMs)) ?? true;
      await meterProvider?.forceFlush({ timeoutMillis: timeoutMs }).catch(ignore);
      return sent;
    },
    async shutdown(timeoutMs) {
      await exporter?.shutdown(timeoutMs * RECORDS_SHARE);
      await meterProvider
        ?.shutdown({ timeoutMillis: timeoutMs * (1 - RECORDS_SHARE) })
        .catch(ignore);
    },
    stats: () => ({ ...stats(), endpoint: logSettings?.url ?? '' }),
  };
}

const NOTHING_SENT: LogExportStats = {
  queued: 0,
  queuedBytes: 0,
  exported: 0,
  lost: 0,
  retries: 0,
  problem: '',
};

/** The SDK rejects when a flush took too long; the next collection has the same counts. */
function ignore(): void {}

function transportOf(signal: Signal, settings: ExportSettings): Transport {
  return settings.protocol === 'grpc'
    ? new GrpcTransport(signal, settings)
    : new HttpTransport(signal, settings);
}

function metricReader(
  metrics: FilewardMetrics,
  settings: ExportSettings,
  intervalMs: number,
): PeriodicExportingMetricReader {
  return new PeriodicExportingMetricReader({
    exporter: new MetricExporter(transportOf('metrics', settings)),
    metricProducers: [metrics],
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: Math.min(settings.timeoutMs, intervalMs),
    maxExportBatchSize: METRIC_BATCH,
  });
}

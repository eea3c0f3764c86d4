/** Everything that leaves for the collector: the composition of outbox, metrics and their reader. */
import type { Attributes as ApiAttributes } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { join } from 'node:path';
import type { TelemetryConfiguration } from '../policy/document.ts';
import type { Loss } from '../records/loss.ts';
import { SCHEMA_URL, SCOPE_NAME } from '../records/names.ts';
import type { Attributes, FilewardRecord } from '../records/record.ts';
import { type ExportSettings, exportSettings, metricIntervalMs } from './export-settings.ts';
import { MetricExporter } from './metric-exporter.ts';
import { FilewardMetrics } from './metrics.ts';
import { Outbox, type OutboxStats } from './outbox.ts';
import { transportOf } from './transport-of.ts';

export interface TelemetryOptions {
  readonly configuration: TelemetryConfiguration;
  readonly env: NodeJS.ProcessEnv;
  /** Of the host; metrics have no other. */
  readonly resource: Attributes;
  /** Of this package. */
  readonly version: string;
  /** Folder of `outbox.db`; nothing is written there when records are not exported. */
  readonly state: string;
  readonly onLost: (loss: Loss) => void;
  /** The collector takes nothing (why), or does again (undefined). */
  readonly onReachable?: (problem: string | undefined) => void;
  /** Evidence can't be written to disk (why), or can be again (undefined). */
  readonly onDisk?: (problem: string | undefined) => void;
  /** False under `--no-export`: metrics are counted, nothing is sent. */
  readonly enabled?: boolean;
}

/** With the endpoint that records go to, '' when they don't. */
export type TelemetryStats = OutboxStats & { readonly endpoint: string };

export interface Telemetry {
  readonly metrics: FilewardMetrics;
  emit(record: FilewardRecord): void;
  /** Resolves when all evidence emitted so far is on disk, acknowledged or counted as lost. */
  settled(): Promise<void>;
  /**
   * Checks other settings and gives what puts them in force; what waits goes by them then.
   * @throws Error as `createTelemetry` does.
   */
  prepare(configuration: TelemetryConfiguration): () => void;
  /** True when everything has arrived. */
  flush(timeoutMs: number): Promise<boolean>;
  /**
   * Sends what goes in time and ends; evidence that is left stays on disk.
   * @param finish - runs when nothing more is sent; what it emits is kept
   */
  shutdown(timeoutMs: number, finish?: () => void | Promise<void>): Promise<void>;
  stats(): TelemetryStats;
}

interface Settings {
  readonly configuration: TelemetryConfiguration;
  /** Undefined: not sent. */
  readonly logs: ExportSettings | undefined;
  readonly metrics: ExportSettings | undefined;
  readonly intervalMs: number;
}

/** Data points of a metric request; below 2 MiB with the longest names. */
const METRIC_BATCH = 4000;

/** Of the time for a shutdown what records may take; metrics have the rest. */
const RECORDS_SHARE = 0.75;

/** @throws Error when an OTEL_* variable, a certificate, a key or a header can't be used; its message says which. */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  return new RunningTelemetry(options, readSettings(options, options.configuration));
}

class RunningTelemetry implements Telemetry {
  readonly metrics: FilewardMetrics;
  readonly #options: TelemetryOptions;
  readonly #outbox: Outbox | undefined;
  #settings: Settings;
  #meterProvider: MeterProvider | undefined;

  constructor(options: TelemetryOptions, settings: Settings) {
    const { version, state, onLost } = options;
    const { configuration, logs } = settings;
    this.#options = options;
    this.#settings = settings;
    this.metrics = new FilewardMetrics({
      scope: { name: SCOPE_NAME, version, schemaUrl: SCHEMA_URL },
      perRule: configuration.metrics.perRule,
      outbox: () => this.stats(),
    });
    this.#outbox =
      logs &&
      new Outbox({
        file: join(state, 'outbox.db'),
        version,
        settings: logs,
        maxBytes: configuration.outbox.maxSizeBytes,
        onLost,
        onLossLost: (reason, count) => this.metrics.lost(reason, count),
        onReachable: options.onReachable ?? ignore,
        onDisk: options.onDisk ?? ignore,
      });
    this.#meterProvider = this.#startMetrics();
  }

  emit(record: FilewardRecord): void {
    this.#outbox?.emit(record);
  }

  async settled(): Promise<void> {
    await this.#outbox?.settled();
  }

  prepare(configuration: TelemetryConfiguration): () => void {
    const settings = readSettings(this.#options, configuration);
    return () => {
      this.#settings = settings;
      const { logs } = settings;
      if (logs) this.#outbox?.configure(logs, configuration.outbox.maxSizeBytes);
      this.metrics.perRule = configuration.metrics.perRule;
      void this.#meterProvider?.shutdown().catch(ignore);
      this.#meterProvider = this.#startMetrics();
    };
  }

  // Records first: then the metrics say that they have arrived.
  async flush(timeoutMs: number): Promise<boolean> {
    const sent = (await this.#outbox?.flush(timeoutMs)) ?? true;
    await this.#meterProvider?.forceFlush({ timeoutMillis: timeoutMs }).catch(ignore);
    return sent;
  }

  async shutdown(
    timeoutMs: number,
    finish: () => void | Promise<void> = () => undefined,
  ): Promise<void> {
    if (this.#outbox) await this.#outbox.shutdown(timeoutMs * RECORDS_SHARE, finish);
    else await finish();
    await this.#meterProvider
      ?.shutdown({ timeoutMillis: timeoutMs * (1 - RECORDS_SHARE) })
      .catch(ignore);
  }

  stats(): TelemetryStats {
    const endpoint = this.#settings.logs?.url ?? '';
    return { ...(this.#outbox?.stats() ?? NOTHING_SENT), endpoint };
  }

  #startMetrics(): MeterProvider | undefined {
    const { metrics: settings, intervalMs } = this.#settings;
    if (!settings) return undefined;
    const reader = new PeriodicExportingMetricReader({
      exporter: new MetricExporter(transportOf('metrics', settings)),
      metricProducers: [this.metrics],
      exportIntervalMillis: intervalMs,
      exportTimeoutMillis: Math.min(settings.timeoutMs, intervalMs),
      maxExportBatchSize: METRIC_BATCH,
    });
    const resource = resourceFromAttributes(this.#options.resource as ApiAttributes, {
      schemaUrl: SCHEMA_URL,
    });
    return new MeterProvider({ resource, readers: [reader] });
  }
}

const NOTHING_SENT: OutboxStats = {
  in: 0,
  recovered: 0,
  exported: 0,
  waiting: 0,
  waitingBytes: 0,
  onDisk: 0,
  limitBytes: 0,
  refused: 0,
  lost: {},
  retries: 0,
  problem: '',
  diskProblem: '',
};

/** The SDK rejects when a flush took too long; the next collection has the same counts. */
function ignore(): void {}

function readSettings(
  { env, enabled = true }: TelemetryOptions,
  configuration: TelemetryConfiguration,
): Settings {
  return {
    configuration,
    logs: enabled ? exportSettings('logs', configuration, env) : undefined,
    metrics: enabled ? exportSettings('metrics', configuration, env) : undefined,
    intervalMs: metricIntervalMs(configuration, env),
  };
}

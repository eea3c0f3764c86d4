import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer';
import {
  AggregationTemporality,
  type PushMetricExporter,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import type { Transport } from './transport.ts';

/**
 * Metrics over the same transport as records, so that endpoints, TLS and headers mean the same for both. Nothing is sent
 * again: the next collection holds it all, as the counts are cumulative.
 */
export class MetricExporter implements PushMetricExporter {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  export(metrics: ResourceMetrics, done: (result: ExportResult) => void): void {
    void this.#send(metrics)
      .catch((error: Error) => ({ code: ExportResultCode.FAILED, error }))
      .then(done);
  }

  selectAggregationTemporality(): AggregationTemporality {
    return AggregationTemporality.CUMULATIVE;
  }

  async forceFlush(): Promise<void> {}

  async shutdown(): Promise<void> {
    this.#transport.close();
  }

  async #send(metrics: ResourceMetrics): Promise<ExportResult> {
    const request = ProtobufMetricsSerializer.serializeRequest(metrics);
    if (request === undefined) return { code: ExportResultCode.FAILED };
    const result = await this.#transport.send(request);
    if (result.kind === 'success') return { code: ExportResultCode.SUCCESS };
    return { code: ExportResultCode.FAILED, error: new Error(result.reason) };
  }
}

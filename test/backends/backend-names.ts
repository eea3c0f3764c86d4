/** What our names are called in Loki and Prometheus, from the telemetry registry. */
import { z } from 'zod';
import { ATTRIBUTE } from '../../src/records/names.ts';
import { readShipped } from './shipped.ts';

const metricsSchema = z.object({
  groups: z.array(
    z.object({
      metric_name: z.string(),
      instrument: z.enum(['counter', 'updowncounter', 'gauge', 'histogram']),
      unit: z.string(),
      attributes: z.array(z.object({ ref: z.string() })).default([]),
    }),
  ),
});
type Metric = z.infer<typeof metricsSchema>['groups'][number];

/** Units that Prometheus writes out; what stands in braces is left out. */
const UNIT_SUFFIX: Readonly<Record<string, string>> = {
  s: '_seconds',
  By: '_bytes',
  '1': '_ratio',
};
const SUFFIXES: Readonly<Record<Metric['instrument'], readonly string[]>> = {
  counter: ['_total'],
  updowncounter: [''],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
};
/** What each series gets from the resource. */
const IDENTITY = ['job', 'instance'];

/** Name in Loki's structured metadata and in Prometheus. */
export function labelName(attribute: string): string {
  return attribute.replaceAll('.', '_');
}

export const attributeLabels: ReadonlySet<string> = new Set(
  Object.values(ATTRIBUTE).map(labelName),
);

/** Each metric that we send by its names in Prometheus, with the labels of its series. */
export function prometheusMetrics(): ReadonlyMap<string, ReadonlySet<string>> {
  const { groups } = readShipped('config/telemetry-registry/metrics.yaml', metricsSchema);
  const all = new Map<string, ReadonlySet<string>>();
  for (const { metric_name, instrument, unit, attributes } of groups) {
    const labels = [...IDENTITY, ...attributes.map(({ ref }) => labelName(ref))];
    for (const suffix of SUFFIXES[instrument]) {
      const name = labelName(metric_name) + (UNIT_SUFFIX[unit] ?? '') + suffix;
      all.set(name, new Set(suffix === '_bucket' ? [...labels, 'le'] : labels));
    }
  }
  return all
    .set('target_info', new Set([...IDENTITY, ...attributeLabels]))
    .set('otelcol_exporter_queue_size', new Set([...IDENTITY, 'exporter']))
    .set('otelcol_exporter_queue_capacity', new Set([...IDENTITY, 'exporter']))
    .set('otelcol_exporter_send_failed_log_records', new Set([...IDENTITY, 'exporter']));
}

/** Metric data as the SDK's serializer takes it: cumulative, whole numbers but for the histogram. */
import { type HrTime, ValueType } from '@opentelemetry/api';
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  type Histogram,
  type MetricData,
} from '@opentelemetry/sdk-metrics';
import type { HistogramSnapshot } from '../native/addon.ts';
import type { Metric } from '../records/names.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Point<T = number> {
  readonly value: T;
  readonly labels: Labels;
  /** Absent: the start of all. */
  readonly startTime?: HrTime;
}

/** The time that a collection is of, and when counting began. */
export interface Span {
  readonly startTime: HrTime;
  readonly endTime: HrTime;
}

export function sumData(
  metric: Metric,
  kind: 'counter' | 'updowncounter',
  points: Iterable<Point>,
  span: Span,
): MetricData {
  return {
    descriptor: { ...metric, valueType: ValueType.INT },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.SUM,
    isMonotonic: kind === 'counter',
    dataPoints: dataPoints(points, span),
  };
}

export function gaugeData(metric: Metric, points: Iterable<Point>, span: Span): MetricData {
  return {
    descriptor: { ...metric, valueType: ValueType.INT },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.GAUGE,
    dataPoints: dataPoints(points, span),
  };
}

export function histogramData(
  metric: Metric,
  points: Iterable<Point<HistogramSnapshot>>,
  span: Span,
): MetricData {
  const histograms = Array.from(points, (point) => ({ ...point, value: histogramOf(point.value) }));
  return {
    descriptor: { ...metric, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.HISTOGRAM,
    dataPoints: dataPoints(histograms, span),
  };
}

function dataPoints<T>(points: Iterable<Point<T>>, span: Span): DataPoint<T>[] {
  return Array.from(points, ({ value, labels, startTime = span.startTime }) => ({
    attributes: labels,
    startTime,
    endTime: span.endTime,
    value,
  }));
}

function histogramOf({ bounds_seconds, counts, sum_seconds }: HistogramSnapshot): Histogram {
  const numbers = counts.map(Number);
  return {
    buckets: { boundaries: [...bounds_seconds], counts: numbers },
    sum: sum_seconds,
    count: numbers.reduce((sum, each) => sum + each, 0),
  };
}

/** Holds what a collector got to the registry. Every way in which it differs is one sentence. */
import type {
  KeyValue,
  LogRecord,
  LogsRequest,
  Metric,
  MetricsRequest,
  Value,
} from '../otlp/collector.ts';
import { readConventions } from './conventions.ts';
import { type Attribute, type Event, type Registry, readRegistry, type Use } from './registry.ts';

export interface Received {
  readonly logs: readonly LogsRequest[];
  readonly metrics: readonly MetricsRequest[];
  /** Bytes of each request. */
  readonly sizes: readonly number[];
}

const MOST_BYTES = 4 * 1024 * 1024;
const EVENT_NAME = /^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/;
const VERSION = /^\d+\.\d+\.\d+$/;
const TIME_ZERO = 1_600_000_000_000_000_000n;

export const registry: Registry = readRegistry();
export const conventions = readConventions();
const events = new Map(registry.events.map((event) => [event.name, event]));
const metrics = new Map(registry.metrics.map((metric) => [metric.name, metric]));

/** A record as `run --console` and `tail --json` print it. */
export interface Line {
  readonly event: string;
  readonly severity: number;
  readonly body: string;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** What a line says that the registry doesn't. Of an excerpt nothing can be missing. */
export function problemsOfExcerpt({ event: name, severity, attributes }: Line): string[] {
  const event = events.get(name);
  if (event === undefined || event.planned) return [`${name} is not sent`];
  const uses = event.attributes.map((use) => ({ ...use, level: 'recommended' as const }));
  const list = Object.entries(attributes).map(([key, value]) => ({ key, value: otlpValue(value) }));
  const allowed = [event.severity, ...Object.keys(event.severities).map(Number)];
  return [
    ...(allowed.includes(severity) ? [] : [`has the severity ${severity}`]),
    ...attributeProblems(list, uses),
  ];
}

function otlpValue(value: unknown): Value {
  if (typeof value === 'number') return { intValue: String(value) };
  if (typeof value === 'boolean') return { boolValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map(otlpValue) } };
  return { stringValue: String(value) };
}

/** Empty when all is as the registry has it. */
export function problemsOf({ logs, metrics, sizes }: Received): string[] {
  const found = new Set<string>();
  for (const size of sizes) if (size >= MOST_BYTES) found.add(`a request of ${size} bytes`);
  const times: bigint[] = [];
  for (const { resource, schemaUrl, scopeLogs } of logs.flatMap((each) => each.resourceLogs)) {
    add(found, 'resource', resourceProblems(resource.attributes, schemaUrl));
    for (const { scope, schemaUrl, logRecords } of scopeLogs) {
      add(found, 'logs', scopeProblems(scope, schemaUrl));
      for (const record of logRecords) {
        times.push(nanoseconds(record.timeUnixNano));
        add(found, record.eventName, recordProblems(record));
      }
    }
  }
  if (times.length > 0 && times.every((time) => time % 1_000_000n === 0n)) {
    found.add('no time is finer than a millisecond');
  }
  for (const { resource, schemaUrl, scopeMetrics } of metrics.flatMap(
    (each) => each.resourceMetrics,
  )) {
    add(found, 'resource', resourceProblems(resource.attributes, schemaUrl));
    for (const { scope, schemaUrl, metrics } of scopeMetrics) {
      add(found, 'metrics', scopeProblems(scope, schemaUrl));
      for (const metric of metrics) add(found, metric.name, metricProblems(metric));
    }
  }
  return [...found];
}

/** The wire has no zeros. */
function nanoseconds(time: string | undefined): bigint {
  return BigInt(time ?? 0);
}

function* recordProblems(record: LogRecord): Iterable<string> {
  const { eventName, timeUnixNano, observedTimeUnixNano, severityNumber, severityText } = record;
  const event = events.get(eventName);
  if (!EVENT_NAME.test(eventName)) yield 'is no event name';
  if (event === undefined) return yield 'is not registered';
  if (event.planned) yield 'is registered as planned';
  const [time, observed] = [timeUnixNano, observedTimeUnixNano].map(nanoseconds) as [
    bigint,
    bigint,
  ];
  if (time < TIME_ZERO) yield `has the time ${time}`;
  // The one is from the kernel's clock in nanoseconds, the other from JavaScript's in milliseconds.
  if (observed <= time - 1_000_000n) yield `was observed ${time - observed} ns before it was`;
  yield* severityProblems(event, severityNumber, severityText);
  const { body } = record;
  const text = body && 'stringValue' in body ? body.stringValue : '';
  if (text === '' || text.includes('\n')) yield `has the body ${JSON.stringify(body)}`;
  yield* attributeProblems(record.attributes, event.attributes);
  const name = record.attributes.find(({ key }) => key === 'otel.event.name');
  if (JSON.stringify(name?.value) !== JSON.stringify({ stringValue: eventName })) {
    yield `has the otel.event.name ${JSON.stringify(name?.value)}`;
  }
}

const SEVERITY_NUMBERS: Readonly<Record<string, number>> = {
  SEVERITY_NUMBER_INFO: 9,
  SEVERITY_NUMBER_INFO2: 10,
  SEVERITY_NUMBER_WARN: 13,
  SEVERITY_NUMBER_ERROR: 17,
};

function* severityProblems(event: Event, name: string, text: string): Iterable<string> {
  const number = SEVERITY_NUMBERS[name];
  const allowed = [event.severity, ...Object.keys(event.severities).map(Number)];
  if (number === undefined || !allowed.includes(number)) yield `has the severity ${name}`;
  if (text !== name.replace('SEVERITY_NUMBER_', '')) yield `is ${name} and says ${text}`;
}

function* attributeProblems(
  attributes: readonly KeyValue[],
  uses: readonly Use[],
): Iterable<string> {
  const keys = new Set<string>();
  for (const { key, value } of attributes) {
    if (keys.has(key)) yield `has ${key} twice`;
    keys.add(key);
    const use = uses.find((each) => each.name === nameOf(key, each));
    if (use === undefined) yield `has ${key}, which is not registered for it`;
    else yield* valueProblems(key, value, use);
  }
  for (const { name, level } of uses) {
    if (level === 'required' && !keys.has(name)) yield `has no ${name}`;
  }
}

/** The name in the registry under which a key is, which for a template has the key's own end. */
function nameOf(key: string, { name, template }: Attribute): string {
  return template && key.startsWith(`${name}.`) ? name : key;
}

function* valueProblems(key: string, value: Value, use: Use): Iterable<string> {
  const said = JSON.stringify(value);
  if (typeOf(value) !== use.type) yield `has ${key} of another type than ${use.type}: ${said}`;
  if (use.level === 'opt_in') yield `has ${key}, which nobody asked for`;
  if (use.planned) yield `has ${key}, which is registered as planned`;
  if (!use.own && !conventions.names.has(use.name)) yield `has ${key}, which nobody knows`;
  if (conventions.deprecated.has(use.name)) yield `has ${key}, which is deprecated`;
  const text = 'stringValue' in value ? value.stringValue : said;
  if (use.values && !use.values.some((each) => each.value === text)) {
    yield `has ${key} = ${text}, which is not in its list`;
  }
}

function typeOf(value: Value): Attribute['type'] | undefined {
  if ('stringValue' in value) return 'string';
  if ('intValue' in value) return 'int';
  if ('boolValue' in value) return 'boolean';
  if ('doubleValue' in value) return 'double';
  return value.arrayValue.values.every((each) => 'stringValue' in each) ? 'string[]' : undefined;
}

/** Users may say more of a host than we do. */
function* resourceProblems(attributes: readonly KeyValue[], schemaUrl: string): Iterable<string> {
  const isContainer = attributes.some(({ key }) => key === 'container.id');
  const entity = registry.entities[isContainer ? 1 : 0];
  const names = new Set(entity?.attributes.map(({ name }) => name));
  const ours = attributes.filter(({ key }) => names.has(key));
  yield* attributeProblems(ours, entity?.attributes ?? []);
  for (const { key } of attributes) {
    if (!conventions.names.has(key)) yield `has ${key}, which nobody knows`;
    if (conventions.deprecated.has(key)) yield `has ${key}, which is deprecated`;
  }
  if (schemaUrl !== registry.conventions) yield `has the schema ${schemaUrl}`;
}

function* scopeProblems(
  { name, version }: { name: string; version: string },
  schemaUrl: string,
): Iterable<string> {
  if (name !== 'fileward' || !VERSION.test(version)) yield `are of the scope ${name} ${version}`;
  if (schemaUrl !== registry.conventions) yield `have the schema ${schemaUrl}`;
}

function* metricProblems(metric: Metric): Iterable<string> {
  const registered = metrics.get(metric.name);
  if (registered === undefined) return yield 'is not registered';
  const { instrument, unit, brief, attributes, planned } = registered;
  if (planned) yield 'is registered as planned';
  if (instrumentOf(metric) !== instrument) yield `is a ${instrumentOf(metric)}`;
  if (metric.unit !== unit) yield `has the unit ${metric.unit}`;
  if (metric.description !== brief) yield `says ${metric.description}`;
  if (metric.name.endsWith('_total')) yield 'says its kind in its name';
  const { sum, gauge, histogram } = metric;
  const temporality = (sum ?? histogram)?.aggregationTemporality;
  if (!gauge && temporality !== 'AGGREGATION_TEMPORALITY_CUMULATIVE') yield `is ${temporality}`;
  for (const point of (sum ?? gauge ?? histogram)?.dataPoints ?? []) {
    yield* attributeProblems(point.attributes ?? [], attributes);
  }
}

function instrumentOf({ gauge, histogram, sum }: Metric): string {
  if (gauge) return 'gauge';
  if (histogram) return 'histogram';
  return sum?.isMonotonic ? 'counter' : 'updowncounter';
}

function add(found: Set<string>, what: string, problems: Iterable<string>): void {
  for (const problem of problems) found.add(`${what} ${problem}`);
}

/** What of the registry has come: `EVENT`, `EVENT ATTRIBUTE`, `metric NAME`, `metric NAME ATTRIBUTE`, `ATTRIBUTE VALUE`. */
export function seenIn({ logs, metrics }: Received): ReadonlySet<string> {
  const seen = new Set<string>();
  const take = (name: string, list: readonly KeyValue[], uses: readonly Use[]): void => {
    seen.add(name);
    for (const { key, value } of list) {
      const use = uses.find((each) => each.name === nameOf(key, each));
      if (use === undefined) continue;
      seen.add(`${name} ${use.name}`);
      if (use.values && 'stringValue' in value) {
        seen.add(`${use.name} ${value.stringValue}`);
      }
    }
  };
  const records = logs.flatMap(({ resourceLogs }) =>
    resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords)),
  );
  for (const { eventName, attributes } of records) {
    take(eventName, attributes, events.get(eventName)?.attributes ?? []);
  }
  const measured = metrics.flatMap(({ resourceMetrics }) =>
    resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics)),
  );
  for (const { name, sum, gauge, histogram } of measured) {
    const uses = registry.metrics.find((metric) => metric.name === name)?.attributes ?? [];
    for (const { attributes } of (sum ?? gauge ?? histogram)?.dataPoints ?? []) {
      take(`metric ${name}`, attributes ?? [], uses);
    }
  }
  return seen;
}

/** The OTLP log record of one of our records. */
import type { Attributes as ApiAttributes, HrTime } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { SCHEMA_URL, SCOPE_NAME, SEVERITY } from '../records/names.ts';
import type { Attributes, FilewardRecord } from '../records/record.ts';

const SEVERITY_TEXT: Readonly<Record<number, string>> = {
  [SEVERITY.info]: 'INFO',
  [SEVERITY.info2]: 'INFO2',
  [SEVERITY.warn]: 'WARN',
  [SEVERITY.error]: 'ERROR',
};

/** The serializer puts records of one resource object together, so there is one object for each. */
const resources = new WeakMap<Attributes, Resource>();

export function scopeOf(version: string): InstrumentationScope {
  return { name: SCOPE_NAME, version, schemaUrl: SCHEMA_URL };
}

/** @param scope - one object for all records, by which the serializer groups them */
export function toLogRecord(
  record: FilewardRecord,
  scope: InstrumentationScope,
  observed: HrTime,
): ReadableLogRecord {
  const severityText = SEVERITY_TEXT[record.severity];
  return {
    hrTime: hrTimeOf(record.time),
    hrTimeObserved: observed,
    severityNumber: record.severity,
    ...(severityText !== undefined && { severityText }),
    body: record.body,
    eventName: record.event,
    resource: resourceOf(record.resource),
    instrumentationScope: scope,
    attributes: record.attributes as ApiAttributes,
    droppedAttributesCount: 0,
  };
}

export function hrTimeOf(timeNs: bigint): HrTime {
  return [Number(timeNs / 1_000_000_000n), Number(timeNs % 1_000_000_000n)];
}

export function resourceOf(attributes: Attributes): Resource {
  let resource = resources.get(attributes);
  if (resource === undefined) {
    resource = resourceFromAttributes(attributes as ApiAttributes, { schemaUrl: SCHEMA_URL });
    resources.set(attributes, resource);
  }
  return resource;
}

/** Of the record in a request, roughly: what it takes to stay below a limit. */
export function estimatedBytes(record: FilewardRecord): number {
  let bytes = 64 + Buffer.byteLength(record.body) + record.event.length;
  for (const [name, value] of Object.entries(record.attributes)) {
    bytes += 12 + name.length + valueBytes(value);
  }
  return bytes;
}

function valueBytes(value: Attributes[string]): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (typeof value === 'object') {
    return value.reduce((sum, each) => sum + 6 + Buffer.byteLength(each), 0);
  }
  return 9;
}

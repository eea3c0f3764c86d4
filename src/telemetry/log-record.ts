/** A record as OTLP has it: the bytes that are kept and sent. */
import { SCHEMA_URL, SCOPE_NAME, SEVERITY } from '../records/names.ts';
import type { Attributes, AttributeValue, FilewardRecord } from '../records/record.ts';
import { ProtobufWriter } from './protobuf.ts';

const SEVERITY_TEXT: Readonly<Record<number, string>> = {
  [SEVERITY.info]: 'INFO',
  [SEVERITY.info2]: 'INFO2',
  [SEVERITY.warn]: 'WARN',
  [SEVERITY.error]: 'ERROR',
};

/** Field number and wire type as they stand on the wire; opentelemetry-proto 1.10. */
const TAG = {
  requestResourceLogs: 0x0a,
  resourceLogs: { resource: 0x0a, scopeLogs: 0x12 },
  scopeLogs: { scope: 0x0a, logRecords: 0x12 },
  /** Of both. */
  schemaUrl: 0x1a,
  scope: { name: 0x0a, version: 0x12 },
  resourceAttributes: 0x0a,
  record: {
    time: 0x09,
    severityNumber: 0x10,
    severityText: 0x1a,
    body: 0x2a,
    attributes: 0x32,
    observedTime: 0x59,
    eventName: 0x62,
  },
  keyValue: { key: 0x0a, value: 0x12 },
  value: { text: 0x0a, bool: 0x10, int: 0x18, double: 0x21, list: 0x2a },
  listValues: 0x0a,
} as const;

/** Texts that are the same in every record, each encoded once: names of attributes and events. */
const encodedTexts = new Map<string, Uint8Array>();
/** Tags and labels of the configuration have names too, and it may change. */
const MOST_ENCODED_TEXTS = 4096;

/** Appends one `log_records` field of a `ScopeLogs`. */
export function writeLogRecord(
  writer: ProtobufWriter,
  record: FilewardRecord,
  observedNs: bigint,
): void {
  const tag = TAG.record;
  writer.tag(TAG.scopeLogs.logRecords);
  const start = writer.open(2);
  writer.tag(tag.time);
  writer.fixed64(record.time);
  writer.tag(tag.severityNumber);
  writer.varint(record.severity);
  const severityText = SEVERITY_TEXT[record.severity];
  if (severityText !== undefined) {
    writer.tag(tag.severityText);
    writer.raw(encodedText(severityText));
  }
  writer.tag(tag.body);
  writeValue(writer, record.body);
  for (const name in record.attributes) {
    const value = record.attributes[name];
    if (value !== undefined) writeAttribute(writer, tag.attributes, name, value);
  }
  writer.tag(tag.observedTime);
  writer.fixed64(observedNs);
  writer.tag(tag.eventName);
  writer.raw(encodedText(record.event));
  writer.close(start, 2);
}

/** The `resource` field of a `ResourceLogs`. */
export function encodeResource(attributes: Attributes): Uint8Array {
  const writer = new ProtobufWriter();
  writer.tag(TAG.resourceLogs.resource);
  const start = writer.open(2);
  for (const [name, value] of Object.entries(attributes)) {
    writeAttribute(writer, TAG.resourceAttributes, name, value);
  }
  writer.close(start, 2);
  return writer.take();
}

/** The `scope` field of a `ScopeLogs`. @param version - of this package */
export function encodeScope(version: string): Uint8Array {
  const writer = new ProtobufWriter();
  writer.tag(TAG.scopeLogs.scope);
  const start = writer.open(1);
  writer.tag(TAG.scope.name);
  writer.text(SCOPE_NAME);
  writer.tag(TAG.scope.version);
  writer.text(version);
  writer.close(start, 1);
  return writer.take();
}

/** Records of one resource: its field, and their `log_records` fields one after the other. */
export interface ResourceRecords {
  readonly resource: Uint8Array;
  readonly records: readonly Uint8Array[];
}

/** An `ExportLogsServiceRequest`. @param scope - as `encodeScope` gives it */
export function encodeRequest(scope: Uint8Array, groups: readonly ResourceRecords[]): Buffer {
  const schemaUrl = Buffer.concat([Buffer.of(TAG.schemaUrl), encodedText(SCHEMA_URL)]);
  const parts = groups.flatMap(({ resource, records }) => {
    const scopeLogs = [scope, ...records, schemaUrl];
    const resourceLogs = [
      resource,
      header(TAG.resourceLogs.scopeLogs, scopeLogs),
      ...scopeLogs,
      schemaUrl,
    ];
    return [header(TAG.requestResourceLogs, resourceLogs), ...resourceLogs];
  });
  return Buffer.concat(parts);
}

/** What stands before a message of these parts. */
function header(tag: number, parts: readonly Uint8Array[]): Uint8Array {
  const writer = new ProtobufWriter(16);
  writer.tag(tag);
  writer.varint(parts.reduce((sum, { length }) => sum + length, 0));
  return writer.take();
}

function writeAttribute(
  writer: ProtobufWriter,
  tag: number,
  name: string,
  value: AttributeValue,
): void {
  writer.tag(tag);
  const start = writer.open(1);
  writer.tag(TAG.keyValue.key);
  writer.raw(encodedText(name));
  writer.tag(TAG.keyValue.value);
  writeValue(writer, value);
  writer.close(start, 1);
}

function writeValue(writer: ProtobufWriter, value: AttributeValue): void {
  const start = writer.open(1);
  const tag = TAG.value;
  if (typeof value === 'string') {
    writer.tag(tag.text);
    writer.text(value);
  } else if (typeof value === 'boolean') {
    writer.tag(tag.bool);
    writer.varint(Number(value));
  } else if (typeof value !== 'number') {
    writer.tag(tag.list);
    const list = writer.open(1);
    for (const each of value) {
      writer.tag(TAG.listValues);
      writeValue(writer, each);
    }
    writer.close(list, 1);
  } else if (Number.isSafeInteger(value)) {
    writer.tag(tag.int);
    writer.int64(value);
  } else {
    writer.tag(tag.double);
    writer.double(value);
  }
  writer.close(start, 1);
}

/** With its length. */
function encodedText(text: string): Uint8Array {
  const known = encodedTexts.get(text);
  if (known !== undefined) return known;
  if (encodedTexts.size === MOST_ENCODED_TEXTS) encodedTexts.clear();
  const writer = new ProtobufWriter();
  writer.text(text);
  const encoded = writer.take();
  encodedTexts.set(text, encoded);
  return encoded;
}

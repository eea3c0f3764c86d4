/** Writes event records as the native core does, for tests of what reads them. */
import {
  type EventString,
  eventFields,
  eventHeaderBytes,
  eventStrings,
} from '../../../src/native/event-layout.ts';

const byteFields = new Set([
  'operation',
  'change',
  'outcome',
  'verdict',
  'mode',
  'reason',
  'actor_state',
  'package_manager',
]);
const shortFields = new Set(['kind', 'flags']);

export type EventFieldValues = Partial<Record<keyof typeof eventFields, number | bigint>>;
export type EventStringValues = Partial<Record<EventString, string | Buffer>>;

export function encodeEvent(fields: EventFieldValues, strings: EventStringValues = {}): Buffer {
  const texts = eventStrings.map((name) => Buffer.from(strings[name] ?? ''));
  const length = texts.reduce((sum, text) => sum + text.length, eventHeaderBytes);
  const record = Buffer.concat(
    [Buffer.alloc(eventHeaderBytes), ...texts],
    Math.ceil(length / 8) * 8,
  );
  record.writeUInt32LE(record.length, eventFields.size_bytes);
  for (const [index, text] of texts.entries()) {
    record.writeUInt32LE(text.length, eventFields.lengths + index * 4);
  }
  for (const [name, value] of Object.entries(fields)) {
    const offset = eventFields[name as keyof typeof eventFields];
    if (typeof value === 'bigint') record.writeBigUInt64LE(value, offset);
    else if (byteFields.has(name)) record.writeUInt8(value, offset);
    else if (shortFields.has(name)) record.writeUInt16LE(value, offset);
    else record.writeUInt32LE(value, offset);
  }
  return record;
}

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import protobuf from 'protobufjs';
import type { Attributes } from '../../../src/records/record.ts';
import {
  encodeRequest,
  encodeResource,
  encodeScope,
  writeLogRecord,
} from '../../../src/telemetry/log-record.ts';
import { ProtobufWriter } from '../../../src/telemetry/protobuf.ts';
import { attributesOf, type LogsRequest } from '../../otlp/collector.ts';
import { hostResource, recordOf } from './support.ts';

const root = new protobuf.Root();
root.resolvePath = (_, target) => path.join(import.meta.dirname, '../../otlp', target);
root.loadSync('opentelemetry/proto/collector/logs/v1/logs_service.proto');
const Request = root.lookupType('opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest');

const observed = 1_790_000_001_000_000_000n;

function encoded(...records: Parameters<typeof recordOf>[0][]): Buffer {
  const writer = new ProtobufWriter(1);
  for (const record of records) writeLogRecord(writer, recordOf(record), observed);
  const group = { resource: encodeResource(hostResource), records: [writer.take()] };
  return encodeRequest(encodeScope('1.2.3'), [group]);
}

/** As the protocol's own definition reads it, field by field. */
function decoded(bytes: Uint8Array): LogsRequest {
  const options = { longs: String, enums: String, arrays: true };
  return Request.toObject(Request.decode(bytes), options) as LogsRequest;
}

function recordsOf(bytes: Uint8Array) {
  return decoded(bytes).resourceLogs.flatMap(({ scopeLogs }) =>
    scopeLogs.flatMap(({ logRecords }) => logRecords),
  );
}

function attributesRead(attributes: Attributes) {
  const [record] = recordsOf(encoded({ attributes }));
  return attributesOf(record?.attributes);
}

describe('an OTLP record', () => {
  it('has times, severity, body, event name and attributes, and nothing else', () => {
    const attributes = { 'log.record.uid': '0198c5a2-0000-7000-8000-000000000001' };
    const time = 1_790_000_000_123_456_789n;
    const request = decoded(encoded({ time, attributes, body: 'cat was denied' }));
    assert.deepEqual(request, {
      resourceLogs: [
        {
          resource: {
            attributes: [
              { key: 'service.name', value: { stringValue: 'fileward' } },
              { key: 'host.id', value: { stringValue: 'h1' } },
            ],
            entityRefs: [],
          },
          schemaUrl: 'https://opentelemetry.io/schemas/1.45.0',
          scopeLogs: [
            {
              scope: { name: 'fileward', version: '1.2.3', attributes: [] },
              schemaUrl: 'https://opentelemetry.io/schemas/1.45.0',
              logRecords: [
                {
                  timeUnixNano: '1790000000123456789',
                  observedTimeUnixNano: '1790000001000000000',
                  severityNumber: 'SEVERITY_NUMBER_WARN',
                  severityText: 'WARN',
                  eventName: 'fileward.file.denied',
                  body: { stringValue: 'cat was denied' },
                  attributes: [
                    {
                      key: 'log.record.uid',
                      value: { stringValue: '0198c5a2-0000-7000-8000-000000000001' },
                    },
                  ],
                },
              ],
            },
          ],
        },
      ],
    });
  });

  const severities = [
    [9, 'SEVERITY_NUMBER_INFO', 'INFO'],
    [10, 'SEVERITY_NUMBER_INFO2', 'INFO2'],
    [13, 'SEVERITY_NUMBER_WARN', 'WARN'],
    [17, 'SEVERITY_NUMBER_ERROR', 'ERROR'],
  ] as const;
  for (const [severity, number, text] of severities) {
    it(`is ${text} for ${severity}`, () => {
      const [record] = recordsOf(encoded({ severity }));
      assert.equal(record?.severityNumber, number);
      assert.equal(record?.severityText, text);
    });
  }

  const integers = [0, 1, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 40 + 12345];
  for (const value of [...integers, ...integers.map((each) => -each), Number.MAX_SAFE_INTEGER]) {
    it(`has the integer ${value}`, () => {
      assert.deepEqual(attributesRead({ n: value })['n'], { intValue: String(value) });
    });
  }
  it('has the smallest integer', () => {
    const value = Number.MIN_SAFE_INTEGER;
    assert.deepEqual(attributesRead({ n: value })['n'], { intValue: String(value) });
  });

  for (const value of [0.5, -1e-9, 1e300, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60]) {
    it(`has the double ${value}`, () => {
      assert.deepEqual(attributesRead({ n: value })['n'], { doubleValue: value });
    });
  }

  it('has both booleans', () => {
    const read = attributesRead({ yes: true, no: false });
    assert.deepEqual(read, { yes: { boolValue: true }, no: { boolValue: false } });
  });

  const texts = {
    empty: '',
    short: 'a',
    'of 24 bytes': 'x'.repeat(24),
    'of 25 bytes': 'x'.repeat(25),
    'of 119 bytes': 'x'.repeat(119),
    'of 127 bytes': 'x'.repeat(127),
    'of 128 bytes': 'x'.repeat(128),
    'of 16,383 bytes': 'x'.repeat(16_383),
    'of 16,384 bytes': 'x'.repeat(16_384),
    'of 3 MiB': 'x'.repeat(3 << 20),
    'short and not ASCII': 'é',
    'of three bytes a character': '€'.repeat(50),
    'with an emoji': '/tmp/😀/ß',
    'with NUL and newline': '/tmp/a\0b\nc',
  };
  for (const [what, text] of Object.entries(texts)) {
    it(`has a text ${what}`, () => {
      assert.deepEqual(attributesRead({ before: 1, text, after: true }), {
        before: { intValue: '1' },
        text: { stringValue: text },
        after: { boolValue: true },
      });
    });
  }

  it('has U+FFFD for half of a surrogate pair, which is no character', () => {
    const text = { short: 'a\ud800b', long: `${'x'.repeat(40)}\udc00` };
    assert.deepEqual(attributesRead(text), {
      short: { stringValue: 'a\ufffdb' },
      long: { stringValue: `${'x'.repeat(40)}\ufffd` },
    });
  });

  it('has lists of texts, empty ones too', () => {
    const long = Array.from({ length: 40 }, (_, i) => `/usr/bin/program-${i}`);
    const read = attributesRead({ none: [], empty: [''], some: ['/bin/sh', 'ä'], long });
    const list = (values: string[]) => ({
      arrayValue: { values: values.map((stringValue) => ({ stringValue })) },
    });
    assert.deepEqual(read, {
      none: list([]),
      empty: list(['']),
      some: list(['/bin/sh', 'ä']),
      long: list(long),
    });
  });

  it('may have no attributes and an empty body', () => {
    const [record] = recordsOf(encoded({ attributes: {}, body: '' }));
    assert.deepEqual(record?.attributes, []);
    assert.deepEqual(record?.body, { stringValue: '' });
  });

  it('stands beside others, whatever their sizes', () => {
    const sizes = [0, 100, 127, 128, 5000, 16_384, 70_000, 1];
    const read = recordsOf(encoded(...sizes.map((size) => ({ body: 'b'.repeat(size) }))));
    assert.deepEqual(
      read.map(({ body }) => 'stringValue' in body && body.stringValue.length),
      sizes,
    );
  });

  it('is encoded as short as the protocol can: its own library writes the same bytes', () => {
    const attributes = { a: 'x'.repeat(200), b: -5, c: ['y', 'z'.repeat(300)], d: 2.5, e: false };
    const bytes = encoded({ attributes }, { attributes });
    assert.equal(Request.encode(Request.decode(bytes)).finish().length, bytes.length);
  });
});

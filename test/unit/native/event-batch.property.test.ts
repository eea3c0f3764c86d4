// Records of the native core read back, and bytes that are none: whatever they hold, nothing outside of a record is ever
// read as its part.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CoveredFiles, coveredFilesLayout } from '../../../src/native/covered-files.ts';
import { EventBatch } from '../../../src/native/event-batch.ts';
import {
  eventFields,
  eventHeaderBytes,
  eventKinds,
  eventOutcomes,
  eventReasons,
  type EventString,
  eventStrings,
} from '../../../src/native/event-layout.ts';
import { readEvent } from '../../../src/records/kernel-event.ts';
import { tries } from '../../fuzz/property.ts';
import { encodeEvent, type EventStringValues } from './event-record.ts';

const word = (words: readonly string[]) => fc.nat({ max: words.length - 1 });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const fields = fc.record({
  kind: word(eventKinds),
  flags: fc.nat({ max: 0xffff }),
  time_ns: u64,
  outcome: word(eventOutcomes),
  reason: word(eventReasons),
  pid: u32,
  size: u64,
  count: u64,
  detail: u32,
});
const bytes = fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each));
const strings: fc.Arbitrary<EventStringValues> = fc.record(
  Object.fromEntries(eventStrings.map((name) => [name, bytes])) as Record<
    EventString,
    typeof bytes
  >,
  { requiredKeys: [] },
);
const event = fc.record({ fields, strings });

/** Everything that a record has, asked for; what a getter refuses, it refuses with a RangeError. */
function readAll(batch: EventBatch): void {
  const getters = Object.entries(Object.getOwnPropertyDescriptors(EventBatch.prototype));
  for (const [name, { get }] of getters) {
    if (get) refusedOr(() => get.call(batch), name);
  }
  refusedOr(() => readEvent(batch), 'readEvent');
}

function refusedOr(read: () => unknown, what: string): void {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof RangeError, `${what}: ${error}`);
  }
}

describe('event records', () => {
  it('are read as they were written', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 5 }), (events) => {
        const batch = new EventBatch(
          Buffer.concat(events.map((each) => encodeEvent(each.fields, each.strings))),
        );
        for (const { fields: wrote, strings: texts } of events) {
          assert.ok(batch.next());
          assert.equal(batch.kind, eventKinds[wrote.kind]);
          assert.equal(batch.flags, wrote.flags);
          assert.equal(batch.timeNs, wrote.time_ns);
          assert.equal(batch.outcome, eventOutcomes[wrote.outcome]);
          assert.equal(batch.reason, eventReasons[wrote.reason]);
          assert.deepEqual(
            [batch.pid, batch.size, batch.count],
            [wrote.pid, wrote.size, wrote.count],
          );
          for (const name of eventStrings) {
            assert.deepEqual(Buffer.from(batch.bytes(name)), texts[name] ?? Buffer.alloc(0));
          }
        }
        assert.ok(!batch.next());
      }),
      tries(300),
    );
  });

  it('that are none are refused, or stay inside of themselves', () => {
    const flip = fc.record({ at: fc.nat(), value: fc.nat({ max: 255 }), far: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 1, maxLength: 4 }),
        fc.array(flip, { minLength: 1, maxLength: 6 }),
        fc.nat({ max: 64 }),
        (events, flips, cut) => {
          const whole = Buffer.concat(events.map((each) => encodeEvent(each.fields, each.strings)));
          for (const { at, value, far } of flips) {
            // Mostly where sizes are: of the record, and of its texts.
            const places = [
              0,
              1,
              2,
              ...Array(32)
                .keys()
                .map((i) => eventFields.lengths + i),
            ];
            whole[far ? at % whole.length : (places[at % places.length] ?? 0)] = value;
          }
          const hostile = whole.subarray(0, whole.length - (cut % whole.length));
          readHostile(hostile);
        },
      ),
      tries(1500),
    );
  });

  it('of any bytes are refused, or stay inside of themselves', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1024, size: 'max' }), (any) => {
        readHostile(Buffer.from(any));
      }),
      tries(1500),
    );
  });
});

function readHostile(hostile: Buffer): void {
  const batch = new EventBatch(hostile);
  let start = 0;
  for (;;) {
    try {
      if (!batch.next()) return;
    } catch (error) {
      assert.ok(error instanceof RangeError);
      return;
    }
    const end = start + hostile.readUInt32LE(start);
    assert.ok(end >= start + eventHeaderBytes && end <= hostile.length);
    for (const name of eventStrings) {
      const part = batch.bytes(name);
      const from = part.byteOffset - hostile.byteOffset;
      if (part.length > 0) assert.ok(from >= start + eventHeaderBytes && from + part.length <= end);
    }
    readAll(batch);
    start = end;
  }
}

describe('covered files', () => {
  it('of any bytes are refused, or stay inside of themselves', () => {
    const { header_bytes: header, entry_bytes: entry } = coveredFilesLayout;
    const length = coveredFilesLayout.entry.path_bytes;
    const lengths = fc.array(fc.oneof(fc.nat({ max: 20 }), u32), { maxLength: 4 });
    fc.assert(
      fc.property(lengths, fc.nat({ max: 100 }), (all, cut) => {
        const parts = all.map((each) => {
          const part = Buffer.alloc(entry + Math.min(each, 20));
          part.writeUInt32LE(each, length);
          return part;
        });
        const whole = Buffer.concat([Buffer.alloc(header), ...parts]);
        const hostile = whole.subarray(0, Math.max(0, whole.length - cut));
        try {
          for (const { path, state } of new CoveredFiles(hostile)) {
            assert.ok(path.byteOffset + path.length <= hostile.byteOffset + hostile.length);
            assert.ok(state === undefined || state.mode >= 0);
          }
        } catch (error) {
          assert.ok(error instanceof RangeError, String(error));
        }
      }),
      tries(500),
    );
  });
});

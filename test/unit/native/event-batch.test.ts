import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EventBatch } from '../../../src/native/event-batch.ts';
import { eventReasons, unknownWorkload } from '../../../src/native/event-layout.ts';
import { encodeEvent } from './event-record.ts';

const denied = encodeEvent(
  {
    kind: 1,
    flags: 1 + 64,
    time_ns: 1_764_000_000_123_456_789n,
    ruleset_version: 7n,
    operation: 2,
    outcome: 6,
    verdict: 2,
    mode: 3,
    reason: eventReasons.indexOf('identity_mismatch'),
    actor_state: 1,
    package_manager: 3,
    rule_index: 41,
    nlink: 2,
    dev: 0xfffff_ffffn,
    ino: 0xffff_ffff_ffff_ffffn,
    file_mode: 0o100640,
    pid: 4_194_304,
    ppid: 1,
    euid: 4_294_967_294,
    verdict_duration_ns: 5_000n,
    workload: 3,
    actor_workload: unknownWorkload,
  },
  {
    path: Buffer.from('/etc/\xff\n', 'latin1'),
    protected_path: '/etc/shadow',
    exe: '/usr/bin/cat',
    ancestors: '/usr/bin/bash\0/usr/sbin/sshd',
    args: '',
  },
);
const deleted = encodeEvent({ kind: 3, change: 2, rule_index: 0xffff_ffff }, { path: '/a' });
const lost = encodeEvent({ kind: 4, detail: 1, count: 12n });

function only(record: Buffer, failureNames?: readonly string[]): EventBatch {
  const batch = new EventBatch(record, failureNames);
  assert.ok(batch.next());
  return batch;
}

describe('an event batch', () => {
  it('reads every field of a judged open', () => {
    const batch = only(denied);
    assert.equal(batch.kind, 'open');
    assert.equal(batch.timeNs, 1_764_000_000_123_456_789n);
    assert.equal(batch.rulesetVersion, 7n);
    assert.equal(batch.operation, 'write');
    assert.equal(batch.outcome, 'denied');
    assert.equal(batch.verdict, 'deny');
    assert.equal(batch.mode, 'protect');
    assert.equal(batch.reason, 'identity_mismatch');
    assert.equal(batch.actorState, 'known');
    assert.equal(batch.packageManager, 2);
    assert.equal(batch.ruleIndex, 41);
    assert.equal(batch.nlink, 2);
    assert.equal(batch.dev, 0xfffff_ffffn);
    assert.equal(batch.ino, 0xffff_ffff_ffff_ffffn);
    assert.equal(batch.fileMode, 0o100640);
    assert.equal(batch.pid, 4_194_304);
    assert.equal(batch.parentPid, 1);
    assert.equal(batch.euid, 4_294_967_294);
    assert.equal(batch.verdictDurationNs, 5_000n);
    assert.equal(batch.workload, 3);
    assert.equal(batch.actorWorkload, unknownWorkload);
    assert.ok(batch.has('listed') && batch.has('rename_target_covered'));
    assert.ok(!batch.has('judged'));
  });

  it('keeps the bytes of a name that is not UTF-8', () => {
    const batch = only(denied);
    assert.deepEqual(batch.pathBytes, Buffer.from('/etc/\xff\n', 'latin1'));
    assert.equal(batch.pathText, '/etc/\u{fffd}\n');
  });

  it('tells the strings apart, empty ones among them', () => {
    const batch = only(denied);
    assert.equal(batch.protectedPathText, '/etc/shadow');
    assert.equal(batch.newPathText, '');
    assert.equal(batch.exeText, '/usr/bin/cat');
    assert.deepEqual(batch.ancestors, ['/usr/bin/bash', '/usr/sbin/sshd']);
    assert.deepEqual(batch.args, []);
  });

  it('steps through records of different length, and again after rewind', () => {
    const batch = new EventBatch(Buffer.concat([denied, deleted, lost]));
    for (const round of [1, 2]) {
      const kinds = [];
      while (batch.next()) kinds.push(batch.kind);
      assert.deepEqual(kinds, ['open', 'change', 'lost'], `round ${round}`);
      batch.rewind();
    }
  });

  it('reads records that begin anywhere in a larger buffer', () => {
    const larger = Buffer.concat([Buffer.alloc(13, 0xee), deleted, Buffer.alloc(5, 0xee)]);
    const batch = only(larger.subarray(13, 13 + deleted.length));
    assert.equal(batch.change, 'deleted');
    assert.equal(batch.pathText, '/a');
    assert.ok(!batch.next());
  });

  it('says -1 for no rule and for no package manager', () => {
    const batch = only(deleted);
    assert.equal(batch.ruleIndex, -1);
    assert.equal(batch.packageManager, -1);
  });

  it('names the failure of a lost record', () => {
    assert.equal(only(lost, ['queue_overflow', 'ring_full']).failureName, 'ring_full');
    assert.equal(only(lost).failureName, 'unknown');
    assert.equal(only(lost).count, 12n);
  });

  it('is empty without records', () => {
    assert.ok(!new EventBatch(Buffer.alloc(0)).next());
  });

  it('refuses a record that is cut, or shorter than its header', () => {
    const cut = new EventBatch(denied.subarray(0, denied.length - 8));
    assert.throws(() => cut.next(), RangeError);
    const short = Buffer.from(deleted);
    short.writeUInt32LE(16, 0);
    assert.throws(() => new EventBatch(short).next(), RangeError);
  });

  it('refuses a word it does not know', () => {
    assert.throws(() => only(encodeEvent({ kind: 99 })).kind, RangeError);
  });
});

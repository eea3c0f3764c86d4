/** What outlives a process, and what happens when the disk doesn't bear it: real files, a real full disk. */
import assert from 'node:assert/strict';
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { createTelemetry } from '../../../src/telemetry/exporter.ts';
import { Collector } from '../../otlp/collector.ts';
import {
  assertBalanced,
  folder,
  hostResource,
  reasonsOf,
  recordOf,
  sending,
  telemetryConfiguration,
  uidOf,
  uidsOf,
  until,
} from './support.ts';

const newState = () => mkdtempSync(path.join(folder, 'state-'));

/** An address where nobody listens, for a while. */
async function freeAddress(): Promise<{ url: string; port: number }> {
  const collector = await Collector.start({ protocol: 'grpc' });
  await collector.close();
  return collector;
}

const at = (endpoint: string, given = {}) => telemetryConfiguration({ endpoint, ...given });

describe('evidence', () => {
  it('survives kill -9, again and again, and arrives with its ids', async () => {
    const { url, port } = await freeAddress();
    const state = newState();
    const settled: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      const script = path.join(import.meta.dirname, 'outbox-child.ts');
      const child = fork(script, [state, url, '500'], { timeout: 60_000 });
      const [message] = (await once(child, 'message')) as [{ settled: string[] }];
      settled.push(...message.settled);
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    const test = sending(at(url), {}, hostResource, state);
    await until('recovered', () => test.telemetry.stats().recovered > 0);
    assert.equal(test.telemetry.stats().recovered, 1500);
    assertBalanced(test);
    const collector = await Collector.start({ protocol: 'grpc', port });
    assert.ok(await test.telemetry.flush(20_000));
    assert.deepEqual(uidsOf(collector.records()).sort(), settled.sort());
    assert.deepEqual(test.losses, []);
    assertBalanced(test);
    await test.telemetry.shutdown(1000);
    await collector.close();
  });

  it('that did not go before the end stays on disk; accessed records are lost by name', async () => {
    const { url, port } = await freeAddress();
    const first = sending(at(url));
    const evidence = Array.from({ length: 5 }, () => recordOf());
    for (const record of evidence) first.telemetry.emit(record);
    for (let i = 0; i < 3; i += 1) {
      first.telemetry.emit(recordOf({ event: 'fileward.file.accessed', severity: 9 }));
    }
    const lastWords = recordOf({ event: 'fileward.record.lost', severity: 17 });
    const start = performance.now();
    await first.telemetry.shutdown(500, () => first.telemetry.emit(lastWords));
    assert.ok(performance.now() - start < 5000);
    assert.deepEqual(reasonsOf(first.losses), { shutdown: 3 });
    assert.equal(first.telemetry.stats().waiting, 6);
    assert.equal(first.telemetry.stats().onDisk, 6);
    assertBalanced(first);
    first.telemetry.emit(recordOf());
    assert.deepEqual(reasonsOf(first.losses), { shutdown: 4 });
    assertBalanced(first);

    const collector = await Collector.start({ protocol: 'grpc', port });
    const second = sending(at(url), {}, hostResource, first.state);
    await collector.received(6);
    assert.ok(await second.telemetry.flush(5000));
    const expected = [...evidence, lastWords].map(uidOf).sort();
    assert.deepEqual(uidsOf(collector.records()).sort(), expected);
    assertBalanced(second);
    await second.telemetry.shutdown(1000);
    await collector.close();

    const third = sending(at(url), {}, hostResource, first.state);
    await third.telemetry.settled();
    assert.equal(third.telemetry.stats().recovered, 0, 'what was acknowledged has gone');
    await third.telemetry.shutdown(100);
  });

  it('is in a file that nobody else can read, which shrinks when all is sent', async () => {
    const { url, port } = await freeAddress();
    const { telemetry, state } = sending(at(url));
    const body = 'x'.repeat(2000);
    for (let i = 0; i < 15_000; i += 1) telemetry.emit(recordOf({ body }));
    await telemetry.settled();
    assert.equal(telemetry.stats().onDisk, 15_000);
    for (const name of readdirSync(state)) {
      assert.equal(statSync(path.join(state, name)).mode & 0o777, 0o600, name);
    }
    const collector = await Collector.start({ protocol: 'grpc', port });
    assert.ok(await telemetry.flush(30_000));
    assert.equal(new Set(uidsOf(collector.records())).size, 15_000);
    const size = () =>
      readdirSync(state).reduce((sum, name) => sum + statSync(path.join(state, name)).size, 0);
    await until('small again', () => size() < 1 << 20);
    await telemetry.shutdown(1000);
    await collector.close();
  });

  it('is nowhere under --no-export', async () => {
    const state = newState();
    const telemetry = createTelemetry({
      configuration: telemetryConfiguration(),
      env: {},
      resource: hostResource,
      version: '1.2.3',
      state,
      enabled: false,
      onLost: () => assert.fail('nothing is lost'),
    });
    telemetry.emit(recordOf());
    await telemetry.settled();
    assert.equal(await telemetry.flush(100), true);
    await telemetry.shutdown(100);
    assert.deepEqual(readdirSync(state), []);
    assert.equal(telemetry.stats().endpoint, '');
  });
});

describe('a limit', () => {
  it('takes the oldest accessed records first, then no new evidence; all of it is told', async () => {
    const maxSizeBytes = 1 << 20;
    const { url, port } = await freeAddress();
    const test = sending(at(url, { outbox: { maxSizeBytes } }));
    const { telemetry, losses } = test;
    const body = 'x'.repeat(900);
    /** As fast as the thread takes them. */
    async function emit(count: number, given: Parameters<typeof recordOf>[0]): Promise<string[]> {
      const uids: string[] = [];
      for (let i = 0; i < count; i += 1) {
        const record = recordOf({ body, ...given });
        uids.push(uidOf(record));
        telemetry.emit(record);
        if (i % 50 === 49) await telemetry.settled();
      }
      return uids;
    }
    await emit(1500, { event: 'fileward.file.accessed', severity: 9 });
    assert.ok(telemetry.stats().waitingBytes <= maxSizeBytes);
    const { outbox_full: before = 0 } = telemetry.stats().lost;
    assert.ok(before > 0);
    await emit(300, {});
    const { outbox_full: between = 0 } = telemetry.stats().lost;
    assert.ok(between > before, 'accessed gave way');
    assert.equal(telemetry.stats().onDisk, 300, 'for all of the evidence');
    await emit(1500, {});
    const { outbox_full: full = 0 } = telemetry.stats().lost;
    assert.ok(full > between);
    const { onDisk, waiting, waitingBytes } = telemetry.stats();
    assert.ok(waitingBytes <= maxSizeBytes, `${waitingBytes}`);
    assert.equal(waiting, onDisk, 'accessed have all gone');
    assert.deepEqual(reasonsOf(losses), { outbox_full: full });
    assert.ok(losses.every(({ stage }) => stage === 'outbox'));
    assertBalanced(test);
    const [aboutLoss] = await emit(1, { event: 'fileward.record.lost', severity: 17, body: 'gap' });
    await telemetry.settled();
    assert.equal(telemetry.stats().onDisk, onDisk + 1, 'there is room to say what was lost');

    const collector = await Collector.start({ protocol: 'grpc', port });
    assert.ok(await telemetry.flush(20_000));
    const arrived = uidsOf(collector.records());
    assert.equal(new Set(arrived).size, waiting + 1);
    assert.ok(arrived.includes(aboutLoss ?? ''));
    assertBalanced(test);
    await telemetry.shutdown(1000);
    await collector.close();
  });

  it('holds for records about losses too: these are counted, and no reason for another', async () => {
    const { url } = await freeAddress();
    const test = sending(at(url, { outbox: { maxSizeBytes: 1 << 18 } }));
    const { telemetry, losses } = test;
    for (let i = 0; i < 2000; i += 1) {
      telemetry.emit(recordOf({ event: 'fileward.record.lost', body: 'x'.repeat(900) }));
      if (i % 50 === 49) await telemetry.settled();
    }
    assert.ok((telemetry.stats().lost['outbox_full'] ?? 0) > 0);
    assert.deepEqual(losses, []);
    assertBalanced(test);
    await telemetry.shutdown(100);
  });

  it('bounds what is on its way to the thread, when nothing yields', async () => {
    const { url } = await freeAddress();
    const test = sending(at(url, { outbox: { maxSizeBytes: 16 << 20 } }));
    const body = 'x'.repeat(5000);
    for (let i = 0; i < 20_000; i += 1) test.telemetry.emit(recordOf({ body }));
    const { waitingBytes, lost } = test.telemetry.stats();
    assert.ok(waitingBytes <= 16 << 20, `${waitingBytes}`);
    assert.ok((lost['outbox_full'] ?? 0) > 0);
    assertBalanced(test);
    await test.telemetry.settled();
    assertBalanced(test);
    await test.telemetry.shutdown(100);
  });
});

describe('a disk', () => {
  it('that cannot be written is told, evidence goes from memory, and is kept again later', async () => {
    const { url, port } = await freeAddress();
    const state = newState();
    mkdirSync(path.join(state, 'outbox.db'));
    const test = sending(at(url), {}, hostResource, state);
    const { telemetry, losses, disk } = test;
    await until('told', () => disk.length === 1);
    assert.match(disk[0] ?? '', /EISDIR/);
    const first = Array.from({ length: 20 }, () => recordOf());
    for (const record of first) telemetry.emit(record);
    assert.equal(await telemetry.flush(300), false);
    assert.equal(telemetry.stats().onDisk, 0);
    const collector = await Collector.start({ protocol: 'grpc', port });
    await collector.received(20);
    assert.ok(await telemetry.flush(5000));
    await collector.close();
    const second = Array.from({ length: 20 }, () => recordOf());
    for (const record of second) telemetry.emit(record);
    assert.equal(await telemetry.flush(300), false);
    rmdirSync(path.join(state, 'outbox.db'));
    await until('written again', () => disk.length === 2 && disk[1] === '');
    await telemetry.settled();
    assert.equal(telemetry.stats().onDisk, 20);
    const third = await Collector.start({ protocol: 'grpc', port });
    assert.ok(await telemetry.flush(10_000));
    assert.deepEqual(uidsOf(third.records()).sort(), second.map(uidOf).sort());
    assert.deepEqual(losses, []);
    assertBalanced(test);
    await telemetry.shutdown(1000);
    await third.close();
  });

  it('that never comes back loses what is more than memory holds, and what is left at the end', async () => {
    const { url } = await freeAddress();
    const state = newState();
    mkdirSync(path.join(state, 'outbox.db'));
    const test = sending(at(url), {}, hostResource, state);
    const { telemetry, losses } = test;
    const body = 'x'.repeat(10_000);
    await until('told', () => test.disk.length === 1);
    for (let i = 0; i < 6000; i += 1) {
      telemetry.emit(recordOf({ body }));
      if (i % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
    }
    await until('taken', () => Object.keys(telemetry.stats().lost).length > 0);
    assert.ok(telemetry.stats().waitingBytes <= 64 << 20, `${telemetry.stats().waitingBytes}`);
    await telemetry.shutdown(100);
    assertBalanced(test);
    assert.equal(telemetry.stats().waiting, 0);
    const { outbox_write_failed: lost = 0, outbox_full: inTransit = 0 } = reasonsOf(losses);
    assert.equal(lost + inTransit, 6000);
  });

  const skip = process.getuid?.() === 0 ? false : 'a file system can be mounted by root only';
  it('that is full is told, and written again when there is room', { skip }, async (t) => {
    const { url, port } = await freeAddress();
    const state = newState();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=700', 'fileward-test', state]);
    t.after(() => execFileSync('umount', ['--lazy', state]));
    const test = sending(at(url), {}, hostResource, state);
    const { telemetry, losses, disk } = test;
    const before = Array.from({ length: 50 }, () => recordOf());
    for (const record of before) telemetry.emit(record);
    await telemetry.settled();
    const filler = openSync(path.join(state, 'filler'), 'w');
    assert.throws(() => {
      for (;;) writeSync(filler, Buffer.alloc(1 << 16));
    }, /ENOSPC/);
    closeSync(filler);
    const during = Array.from({ length: 5000 }, () => recordOf({ body: 'x'.repeat(1000) }));
    for (const record of during) telemetry.emit(record);
    await until('told', () => disk.length === 1);
    assert.match(disk[0] ?? '', /full|disk I\/O/);
    assertBalanced(test);
    const collector = await Collector.start({ protocol: 'grpc', port });
    assert.ok(await telemetry.flush(20_000), 'what is on disk and what is in memory goes');
    assert.deepEqual(uidsOf(collector.records()).sort(), [...before, ...during].map(uidOf).sort());
    await collector.close();
    const later = Array.from({ length: 100 }, () => recordOf());
    for (const record of later) telemetry.emit(record);
    assert.equal(await telemetry.flush(300), false);
    rmSync(path.join(state, 'filler'));
    await until('written again', () => disk.at(-1) === '');
    await telemetry.settled();
    assert.equal(disk.length, 2, 'said once');
    assert.equal(telemetry.stats().onDisk, 100);
    const second = await Collector.start({ protocol: 'grpc', port });
    assert.ok(await telemetry.flush(20_000));
    assert.deepEqual(uidsOf(second.records()).sort(), later.map(uidOf).sort());
    assert.deepEqual(losses, []);
    assertBalanced(test);
    await telemetry.shutdown(1000);
    await second.close();
  });
});

describe('a database', () => {
  it('that is none is set aside, and the loss is told without a number', async () => {
    const collector = await Collector.start({ protocol: 'grpc' });
    const state = newState();
    writeFileSync(path.join(state, 'outbox.db'), 'not a database '.repeat(1000));
    const test = sending(at(collector.url), {}, hostResource, state);
    test.telemetry.emit(recordOf());
    await collector.received(1);
    assert.ok(await test.telemetry.flush(5000));
    const [loss, ...others] = test.losses;
    assert.deepEqual(others, []);
    assert.equal(loss?.reason, 'outbox_corrupt');
    assert.ok(loss && !('count' in loss));
    assert.ok(existsSync(path.join(state, 'outbox.db.broken')));
    await until('told', () => test.disk.length === 2);
    assert.match(test.disk[0] ?? '', /not a database/);
    assertBalanced(test);
    await test.telemetry.shutdown(1000);
    await collector.close();
  });

  it('that is damaged later is set aside, its records are counted', async () => {
    const { url, port } = await freeAddress();
    const first = sending(at(url));
    const body = 'x'.repeat(2000);
    for (let i = 0; i < 12_000; i += 1) first.telemetry.emit(recordOf({ body }));
    await first.telemetry.settled();
    await first.telemetry.shutdown(100);
    const file = path.join(first.state, 'outbox.db');
    const fd = openSync(file, 'r+');
    // All but the first page, which says what the file is, and the first chunks.
    writeSync(fd, Buffer.alloc(statSync(file).size - (8 << 20), 0xff), 0, undefined, 8 << 20);
    closeSync(fd);
    const second = sending(at(url), {}, hostResource, first.state);
    const collector = await Collector.start({ protocol: 'grpc', port });
    const after = recordOf();
    second.telemetry.emit(after);
    await until('told', () => second.losses.length > 0);
    await until('sent', () => uidsOf(collector.records()).includes(uidOf(after)));
    assert.ok(await second.telemetry.flush(20_000));
    assert.ok(second.losses.every(({ reason }) => reason === 'outbox_corrupt'));
    assertBalanced(second);
    await second.telemetry.shutdown(1000);
    await collector.close();
  });
});

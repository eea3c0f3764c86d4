/** What a collector may answer, over real servers: each record arrives, waits, or is lost by name. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, type TestContext } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { Collector, type LogsRequest } from '../../otlp/collector.ts';
import {
  assertBalanced,
  reasonsOf,
  recordOf,
  sending,
  telemetryConfiguration,
  uidOf,
  uidsOf,
  until,
} from './support.ts';

type Protocol = 'grpc' | 'http/protobuf';
const protocols: readonly Protocol[] = ['grpc', 'http/protobuf'];

async function setUp(t: TestContext, protocol: Protocol = 'grpc') {
  const collector = await Collector.start({ protocol });
  const test = sending(telemetryConfiguration({ protocol, endpoint: collector.url }));
  t.after(async () => {
    assertBalanced(test);
    await test.telemetry.shutdown(1000);
    assertBalanced(test);
    await collector.close();
  });
  return { collector, ...test };
}

function bodiesOf({ resourceLogs }: LogsRequest): string[] {
  return resourceLogs.flatMap(({ scopeLogs }) =>
    scopeLogs.flatMap(({ logRecords }) =>
      logRecords.map(({ body }) => ('stringValue' in body ? body.stringValue : '')),
    ),
  );
}

describe('a request that may be sent again', () => {
  const answers = [
    ...[1, 4, 10, 11, 14, 15].map((grpc) => ({ protocol: 'grpc', grpc, http: 0 }) as const),
    ...[429, 502, 503, 504].map((http) => ({ protocol: 'http/protobuf', grpc: 0, http }) as const),
  ];
  for (const { protocol, ...answer } of answers) {
    const code = protocol === 'grpc' ? answer.grpc : answer.http;
    it(`is, with the same bytes, after ${protocol} ${code}`, async (t) => {
      const { collector, telemetry, losses, reachable } = await setUp(t, protocol);
      collector.answers.push(answer);
      const record = recordOf();
      telemetry.emit(record);
      const received = await collector.received(1);
      const [first, second, ...others] = collector.attempts;
      assert.ok(first && second && first.equals(second));
      assert.deepEqual(others, []);
      assert.deepEqual(uidsOf(received), [uidOf(record)]);
      await until('acknowledged', () => telemetry.stats().exported === 1);
      assert.equal(telemetry.stats().retries, 1);
      assert.equal(telemetry.stats().problem, '');
      assert.deepEqual(losses, []);
      assert.equal(reachable.length, 2);
      assert.equal(reachable[1], '');
    });
  }

  for (const protocol of protocols) {
    it(`waits as long as the server says, over ${protocol}`, async (t) => {
      const { collector, telemetry } = await setUp(t, protocol);
      collector.answers.push({ grpc: 8, http: 429, retryAfterMs: 2000 });
      telemetry.emit(recordOf());
      await until('first attempt', () => collector.attempts.length === 1);
      const start = performance.now();
      await collector.received(1);
      // Without being told it would be 600 ms at most.
      assert.ok(performance.now() - start > 1500);
      await telemetry.flush(5000);
    });
  }

  it('is, after a stream that ends without an answer', async (t) => {
    let streams = 0;
    const server = createServer();
    server.on('stream', (stream) => {
      streams += 1;
      stream.on('error', () => undefined);
      if (streams === 1) {
        stream.close(2); // INTERNAL_ERROR, as a proxy does whose backend has gone
        return;
      }
      stream.resume().on('end', () => {
        stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end(Buffer.alloc(5));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const test = sending(telemetryConfiguration({ endpoint: `http://127.0.0.1:${port}` }));
    t.after(async () => {
      await test.telemetry.shutdown(1000);
      server.close();
    });
    test.telemetry.emit(recordOf());
    await until('acknowledged', () => test.telemetry.stats().exported === 1);
    assert.equal(streams, 2);
    assert.deepEqual(test.losses, []);
  });
});

for (const protocol of protocols) {
  describe(`a collector over ${protocol}`, () => {
    it('that takes a part has the rest counted as lost, and gets nothing twice', async (t) => {
      const { collector, telemetry, losses } = await setUp(t, protocol);
      collector.answers.push({ rejected: 2 });
      for (let i = 0; i < 5; i += 1) telemetry.emit(recordOf());
      assert.ok(await telemetry.flush(10_000));
      assert.equal(collector.attempts.length, 1);
      assert.equal(telemetry.stats().exported, 3);
      const [loss, ...others] = losses;
      assert.deepEqual(others, []);
      assert.deepEqual(loss, {
        reason: 'export_rejected',
        stage: 'export',
        count: 2,
        fromNs: 1_790_000_000_123_456_789n,
        toNs: 1_790_000_000_123_456_789n,
      });
    });

    it('that can never take one record gets all others, and the one is set aside', async (t) => {
      const { collector, telemetry, losses, state } = await setUp(t, protocol);
      collector.answer = (request) =>
        bodiesOf(request).includes('poison') ? { grpc: 3, http: 400 } : undefined;
      const records = Array.from({ length: 60 }, (_, i) =>
        recordOf(i === 33 ? { body: 'poison' } : {}),
      );
      for (const record of records) telemetry.emit(record);
      assert.ok(await telemetry.flush(20_000));
      const expected = records.filter(({ body }) => body !== 'poison').map(uidOf);
      assert.deepEqual(uidsOf(collector.records()).sort(), expected.sort());
      assert.deepEqual(reasonsOf(losses), { export_rejected: 1 });
      assert.equal(telemetry.stats().problem, '', 'the collector takes records');
      await telemetry.settled();
      await until('set aside', () => telemetry.stats().refused === 1);
      telemetry.emit(recordOf());
      await collector.received(60);
      await telemetry.shutdown(5000);
      const database = new DatabaseSync(path.join(state, 'outbox.db'), { readOnly: true });
      const [refused, ...others] = database.prepare('SELECT reason, body FROM refused').all();
      database.close();
      assert.deepEqual(others, []);
      assert.match(String(refused?.['reason']), protocol === 'grpc' ? /INVALID_ARG/ : /http 400/);
      assert.ok(Buffer.from(refused?.['body'] as Uint8Array).includes('poison'));
    });

    it('that refuses everything loses us next to nothing', async (t) => {
      const { collector, telemetry, losses } = await setUp(t, protocol);
      collector.answer = () => ({ grpc: 3, http: 400 });
      const records = Array.from({ length: 40 }, () => recordOf());
      for (const record of records) telemetry.emit(record);
      assert.equal(await telemetry.flush(3000), false);
      const { export_rejected: lost = 0, ...others } = reasonsOf(losses);
      assert.deepEqual(others, {});
      assert.ok(lost <= 3, `${lost} of 40 lost`);
      collector.answer = undefined;
      assert.ok(await telemetry.flush(20_000));
      assert.equal(new Set(uidsOf(collector.records())).size, 40 - lost);
    });

    it('that takes small requests only gets small ones', async (t) => {
      const { collector, telemetry, losses } = await setUp(t, protocol);
      collector.answer = () =>
        (collector.attempts.at(-1)?.length ?? 0) > 40_000 ? { grpc: 8, http: 413 } : undefined;
      const records = Array.from({ length: 300 }, () => recordOf({ body: 'x'.repeat(900) }));
      for (const record of records) telemetry.emit(record);
      await collector.received(300);
      assert.ok(await telemetry.flush(20_000));
      assert.deepEqual(uidsOf(collector.records()).sort(), records.map(uidOf).sort());
      assert.deepEqual(losses, []);
    });

    const notOurs = protocol === 'grpc' ? [16, 7, 12, 5] : [401, 403, 404, 405];
    it(`that answers ${notOurs.join(', ')} is wrongly set up: nothing is lost`, async (t) => {
      const { collector, telemetry, losses } = await setUp(t, protocol);
      for (const code of notOurs) {
        const sent = collector.records().length;
        collector.answers.push({ grpc: code, http: code });
        telemetry.emit(recordOf());
        telemetry.emit(recordOf());
        await until('refused', () => telemetry.stats().problem !== '');
        assert.equal(telemetry.stats().waiting, 2);
        assert.ok(await telemetry.flush(10_000));
        assert.equal(collector.records().length, sent + 2);
      }
      assert.deepEqual(losses, []);
    });
  });
}

describe('a quota that is exhausted', () => {
  it('loses nothing, whatever the size of the request', async (t) => {
    const { collector, telemetry, losses } = await setUp(t);
    collector.answer = () => ({ grpc: 8, http: 0 });
    const records = Array.from({ length: 4 }, () => recordOf());
    for (const record of records) telemetry.emit(record);
    await until('asked a few times', () => collector.attempts.length >= 4);
    collector.answer = undefined;
    assert.ok(await telemetry.flush(10_000));
    assert.deepEqual(uidsOf(collector.records()).sort(), records.map(uidOf).sort());
    assert.deepEqual(losses, []);
  });
});

describe('a denial', () => {
  const obstacles = {
    'that are refused for now': { grpc: 14, http: 0 },
    'that are refused for good': { grpc: 3, http: 0 },
    'that are refused for their number': { grpc: 8, http: 0 },
    'that are not allowed': { grpc: 7, http: 0 },
    'that are not answered': { delayMs: 20_000 },
  } as const;
  for (const [what, answer] of Object.entries(obstacles)) {
    it(`is not held up by other records ${what}`, async (t) => {
      const { collector, telemetry } = await setUp(t);
      const isBulk = (request: LogsRequest) => bodiesOf(request).includes('bulk');
      collector.answer = (request) => (isBulk(request) ? answer : undefined);
      for (const event of ['fileward.file.modified', 'fileward.file.accessed']) {
        for (let i = 0; i < 3000; i += 1) {
          telemetry.emit(recordOf({ event, severity: 9, body: 'bulk' }));
        }
      }
      await until('bulk is refused', () => collector.attempts.length >= 2);
      const denial = recordOf();
      telemetry.emit(denial);
      await until('the denial is there', () => uidsOf(collector.records()).includes(uidOf(denial)));
      assert.ok(telemetry.stats().waiting > 0, 'the others still wait');
      collector.answer = undefined;
    });
  }
});

describe('a reload', () => {
  it('sends to another collector what waits for the old one', async (t) => {
    const gone = await Collector.start({ protocol: 'grpc' });
    await gone.close();
    const test = sending(telemetryConfiguration({ endpoint: gone.url }));
    const { telemetry, losses } = test;
    const records = Array.from({ length: 10 }, () => recordOf());
    for (const record of records) telemetry.emit(record);
    assert.equal(await telemetry.flush(300), false);
    const collector = await Collector.start({ protocol: 'http/protobuf' });
    t.after(() => collector.close());
    const configuration = telemetryConfiguration({
      protocol: 'http/protobuf',
      endpoint: collector.url,
    });
    const use = telemetry.prepare(configuration);
    assert.equal(telemetry.stats().endpoint, gone.url, 'not yet');
    use();
    await collector.received(10);
    assert.deepEqual(uidsOf(collector.records()).sort(), records.map(uidOf).sort());
    assert.equal(telemetry.stats().endpoint, `${collector.url}/v1/logs`);
    telemetry.emit(recordOf());
    await collector.received(11);
    assert.ok(await telemetry.flush(5000));
    assert.ok(collector.metric('fileward.record.exported'), 'metrics go there too');
    assert.deepEqual(losses, []);
    assertBalanced(test);
    await telemetry.shutdown(1000);
  });

  it('with settings that cannot be used changes nothing', async (t) => {
    const { collector, telemetry } = await setUp(t);
    assert.throws(
      () => telemetry.prepare(telemetryConfiguration({ endpoint: 'ftp://x' })),
      /'ftp:\/\/x' is no http, https or unix URL/,
    );
    telemetry.emit(recordOf());
    await collector.received(1);
  });
});

describe('a thread that fails', () => {
  it('is started again, and what it held is sent or counted', async (t) => {
    const workers: Worker[] = [];
    const remember = (worker: Worker) => workers.push(worker);
    process.on('worker', remember);
    const gone = await Collector.start({ protocol: 'grpc' });
    await gone.close();
    const test = sending(telemetryConfiguration({ endpoint: gone.url }));
    const { telemetry, losses, disk } = test;
    t.after(() => process.off('worker', remember));
    const evidence = Array.from({ length: 10 }, () => recordOf());
    for (const record of evidence) telemetry.emit(record);
    await telemetry.settled();
    for (let i = 0; i < 7; i += 1) {
      telemetry.emit(recordOf({ event: 'fileward.file.accessed', severity: 9 }));
    }
    await telemetry.flush(100);
    assert.equal(telemetry.stats().waiting, 17);
    await workers[0]?.terminate();
    await until('told', () => disk.length === 1);
    assertBalanced(test);
    const meanwhile = recordOf();
    telemetry.emit(meanwhile);
    await until('started again', () => disk.length === 2);
    await telemetry.settled();
    assertBalanced(test);
    assert.deepEqual(reasonsOf(losses), { outbox_write_failed: 7 });
    const collector = await Collector.start({ protocol: 'grpc', port: gone.port });
    await collector.received(11);
    assert.ok(await telemetry.flush(5000));
    const expected = [...evidence, meanwhile].map(uidOf).sort();
    assert.deepEqual(uidsOf(collector.records()).sort(), expected);
    assertBalanced(test);
    await telemetry.shutdown(1000);
    await collector.close();
  });
});

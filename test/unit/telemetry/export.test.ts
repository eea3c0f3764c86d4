import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { attributesOf, Collector, type Listening } from '../../otlp/collector.ts';
import {
  folder,
  hostResource,
  makeCertificate,
  recordOf,
  sending,
  telemetryConfiguration,
  withoutOpenssl,
} from './support.ts';

const protocols = ['grpc', 'http/protobuf'] as const;

async function setUp(
  t: TestContext,
  listening: Listening,
  given = {},
  env: NodeJS.ProcessEnv = {},
) {
  const collector = await Collector.start(listening);
  const configuration = telemetryConfiguration({
    protocol: listening.protocol,
    endpoint: collector.url,
    ...given,
  });
  const test = sending(configuration, env);
  t.after(async () => {
    await test.telemetry.shutdown(1000);
    await collector.close();
  });
  return { collector, ...test };
}

for (const protocol of protocols) {
  describe(`records over ${protocol}`, () => {
    it('arrive with every field, as the protocol defines them', async (t) => {
      const { collector, telemetry } = await setUp(t, { protocol });
      const attributes = {
        'log.record.uid': 'u1',
        'process.pid': 4711,
        'file.size': 2 ** 40,
        'fileward.file.replaced': true,
        'fileward.process.ancestors': ['/bin/sh', '/sbin/init'],
        'file.path': '/tmp/\u{fffd} 😀',
      };
      telemetry.emit(recordOf({ attributes }));
      telemetry.emit(recordOf({ event: 'fileward.rule.learned', severity: 10 }));
      assert.ok(await telemetry.flush(5000));
      assert.equal(collector.logs.length, 2, 'what is WARN and what is not go their own ways');
      const [ofResource] = collector.logs[0]?.resourceLogs ?? [];
      assert.deepEqual(attributesOf(ofResource?.resource.attributes), {
        'service.name': { stringValue: 'fileward' },
        'host.id': { stringValue: 'h1' },
      });
      assert.equal(ofResource?.schemaUrl, 'https://opentelemetry.io/schemas/1.45.0');
      const [ofScope] = ofResource?.scopeLogs ?? [];
      assert.equal(ofScope?.scope.name, 'fileward');
      assert.equal(ofScope?.scope.version, '1.2.3');
      const byEvent = (event: string) =>
        collector.records().find(({ eventName }) => eventName === event);
      const denied = byEvent('fileward.file.denied');
      const learned = byEvent('fileward.rule.learned');
      assert.equal(denied?.timeUnixNano, '1790000000123456789');
      assert.ok(Math.abs(Number(denied?.observedTimeUnixNano) / 1e6 - Date.now()) < 60_000);
      assert.equal(denied?.severityNumber, 'SEVERITY_NUMBER_WARN');
      assert.equal(denied?.severityText, 'WARN');
      assert.equal(denied?.eventName, 'fileward.file.denied');
      assert.deepEqual(denied?.body, {
        stringValue: 'cat (pid 1) was denied read access to /etc/shadow',
      });
      assert.deepEqual(attributesOf(denied?.attributes), {
        'log.record.uid': { stringValue: 'u1' },
        'process.pid': { intValue: '4711' },
        'file.size': { intValue: String(2 ** 40) },
        'fileward.file.replaced': { boolValue: true },
        'fileward.process.ancestors': {
          arrayValue: { values: [{ stringValue: '/bin/sh' }, { stringValue: '/sbin/init' }] },
        },
        'file.path': { stringValue: '/tmp/\u{fffd} 😀' },
      });
      assert.equal(learned?.severityNumber, 'SEVERITY_NUMBER_INFO2');
      assert.equal(learned?.severityText, 'INFO2');
    });

    it('go without being asked, in batches below 2 MiB', async (t) => {
      const { collector, telemetry } = await setUp(t, { protocol });
      const body = 'x'.repeat(4000);
      for (let i = 0; i < 3000; i += 1) telemetry.emit(recordOf({ body }));
      await collector.received(3000);
      assert.ok(collector.sizes.length >= 6, `${collector.sizes.length} requests`);
      assert.ok(Math.max(...collector.sizes) <= 2 * 1024 * 1024);
    });

    it('are grouped by their resources', async (t) => {
      const { collector, telemetry } = await setUp(t, { protocol });
      const container = { ...hostResource, 'container.id': 'c1' };
      for (const resource of [hostResource, container, hostResource]) {
        telemetry.emit(recordOf({ resource }));
      }
      await telemetry.flush(5000);
      const counts = collector.logs[0]?.resourceLogs.map(
        ({ scopeLogs }) => scopeLogs[0]?.logRecords.length,
      );
      assert.deepEqual(counts, [2, 1]);
    });

    it('of hundreds of containers have each its resource, once in a request', async (t) => {
      const { collector, telemetry } = await setUp(t, { protocol });
      const resources = Array.from({ length: 400 }, (_, index) => ({
        ...hostResource,
        'container.id': `${index}`.padStart(64, '0'),
        'container.image.tags': ['1.27', 'latest'],
      }));
      for (let round = 0; round < 5; round += 1) {
        for (const resource of resources) {
          const attributes = { 'log.record.uid': `${resource['container.id']} ${round}` };
          telemetry.emit(recordOf({ resource, attributes }));
        }
      }
      assert.ok(await telemetry.flush(20_000));
      const arrived = collector.logs.flatMap(({ resourceLogs }) => {
        const ids = resourceLogs.map(
          ({ resource }) => attributesOf(resource.attributes)['container.id'],
        );
        assert.equal(new Set(ids.map((id) => JSON.stringify(id))).size, ids.length);
        return resourceLogs.flatMap(({ resource, scopeLogs }) =>
          scopeLogs.flatMap(({ logRecords }) =>
            logRecords.map(({ attributes }) => ({
              of: attributesOf(resource.attributes)['container.id'],
              uid: attributesOf(attributes)['log.record.uid'],
            })),
          ),
        );
      });
      assert.equal(arrived.length, 2000);
      for (const { of, uid } of arrived) {
        assert.ok(of && uid && 'stringValue' in of && 'stringValue' in uid);
        assert.ok(uid.stringValue.startsWith(`${of.stringValue} `));
      }
    });

    it('survive a collector that comes late and one that restarts', async () => {
      const first = await Collector.start({ protocol });
      const { port, url } = first;
      await first.close();
      const { telemetry, losses } = sending(telemetryConfiguration({ protocol, endpoint: url }));
      telemetry.emit(recordOf());
      assert.equal(await telemetry.flush(300), false);
      const second = await Collector.start({ protocol, port });
      await second.received(1);
      await second.close();
      telemetry.emit(recordOf());
      assert.equal(await telemetry.flush(300), false);
      const third = await Collector.start({ protocol, port });
      await third.received(1);
      assert.deepEqual(losses, []);
      await telemetry.shutdown(1000);
      await third.close();
    });

    it('go over a unix socket', async (t) => {
      const socket = path.join(folder, `${protocol.replace('/', '-')}.sock`);
      const { collector, telemetry } = await setUp(t, { protocol, socket });
      telemetry.emit(recordOf());
      await collector.received(1);
    });

    it('go compressed and with headers when asked to', async (t) => {
      const env = {
        OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
        OTEL_EXPORTER_OTLP_HEADERS: 'X-Tenant=blue,x-both=general',
        OTEL_EXPORTER_OTLP_LOGS_HEADERS: 'x-both=own%2C',
      };
      const given = { headers: { 'x-tenant': 'red', 'x-config': '1' } };
      const { collector, telemetry } = await setUp(t, { protocol }, given, env);
      telemetry.emit(recordOf());
      await collector.received(1);
      const [headers] = collector.headers;
      assert.equal(headers?.['x-tenant'], 'blue');
      assert.equal(headers?.['x-both'], 'own,');
      assert.equal(headers?.['x-config'], '1');
      const encoding = protocol === 'grpc' ? 'grpc-encoding' : 'content-encoding';
      if (protocol !== 'grpc') assert.equal(headers?.[encoding], 'gzip');
    });
  });
}

describe('TLS', () => {
  for (const protocol of protocols) {
    it(`over ${protocol} checks the collector and shows a certificate of its own`, {
      skip: withoutOpenssl,
    }, async (t) => {
      const files = makeCertificate('collector');
      const [cert, key] = [readFileSync(files.cert), readFileSync(files.key)];
      const env = {
        OTEL_EXPORTER_OTLP_CERTIFICATE: files.cert,
        OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: files.cert,
        OTEL_EXPORTER_OTLP_CLIENT_KEY: files.key,
      };
      const listening = { protocol, tls: { ca: cert, cert, key } };
      const { collector, telemetry } = await setUp(t, listening, {}, env);
      telemetry.emit(recordOf());
      await collector.received(1);
      const unsigned = sending(telemetryConfiguration({ protocol, endpoint: collector.url }));
      unsigned.telemetry.emit(recordOf());
      assert.equal(await unsigned.telemetry.flush(1000), false);
      assert.equal(collector.records().length, 1);
      assert.equal(unsigned.telemetry.stats().waiting, 1);
      await unsigned.telemetry.shutdown(100);
    });
  }
});

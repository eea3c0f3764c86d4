import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
import { type ExportSettings, exportSettings } from '../../../src/telemetry/export-settings.ts';
import { GrpcTransport } from '../../../src/telemetry/grpc-transport.ts';
import { MetricExporter } from '../../../src/telemetry/metric-exporter.ts';
import { Collector } from '../../otlp/collector.ts';
import {
  folder,
  makeCertificate,
  openssl,
  recordOf,
  sending,
  telemetryConfiguration,
  withoutOpenssl,
} from './support.ts';

const protocols = ['grpc', 'http/protobuf'] as const;
const signals = ['logs', 'metrics'] as const;

describe('a header that cannot be sent', () => {
  const mistakes = [
    ...protocols.flatMap(
      (protocol) =>
        [
          [protocol, { authorization: 'Bearer secret\n' }, /'authorization'.*its value has a line/],
          [protocol, { 'x-euro': 'secret €' }, /'x-euro'.*its value has a line break or another/],
          [protocol, { 'x y': 'secret' }, /'x y' for OTLP: its name is empty or has a character/],
        ] as const,
    ),
    ['grpc', { 'x-latin': 'secret é' }, /'x-latin'.*its value/],
    ['grpc', { 'X-Trace-Bin': 'secret' }, /'X-Trace-Bin'.*-bin for binary values/],
    ['grpc', { Connection: 'secret' }, /'Connection' for OTLP: gRPC has no such header/],
  ] as const;
  for (const [protocol, headers, message] of mistakes) {
    it(`is refused over ${protocol}, by name: ${JSON.stringify(headers)}`, () => {
      const configuration = telemetryConfiguration({ protocol, headers });
      for (const signal of signals) {
        assert.throws(
          () => exportSettings(signal, configuration, {}),
          (error: Error) => message.test(error.message) && !error.message.includes('secret'),
        );
      }
    });
  }

  it('is refused from a variable too', () => {
    const env = { OTEL_EXPORTER_OTLP_METRICS_HEADERS: 'x-tenant=a%0Ab' };
    assert.throws(
      () => exportSettings('metrics', telemetryConfiguration(), env),
      /header 'x-tenant' for OTLP: its value has a line break/,
    );
    assert.ok(exportSettings('logs', telemetryConfiguration(), env));
  });

  it('is taken where the protocol has it', () => {
    const given = { protocol: 'http/protobuf', headers: { 'x-bin': 'text', 'x-l': 'é' } } as const;
    const { headers } = exportSettings('logs', telemetryConfiguration(given), {}) ?? {};
    assert.deepEqual(headers, given.headers);
  });

  it('in a reload leaves the old settings sending', async (t) => {
    const collector = await Collector.start({ protocol: 'grpc' });
    const { telemetry, disk } = sending(telemetryConfiguration({ endpoint: collector.url }));
    t.after(async () => {
      await telemetry.shutdown(1000);
      await collector.close();
    });
    const headers = { authorization: 'Bearer x\n' };
    const wrong = telemetryConfiguration({ endpoint: collector.url, headers });
    assert.throws(() => telemetry.prepare(wrong), /header 'authorization' for OTLP: its value/);
    telemetry.emit(recordOf());
    assert.ok(await telemetry.flush(20_000));
    assert.equal(collector.records().length, 1);
    assert.deepEqual(disk, [], 'no thread failed');
  });
});

describe('a certificate or key that cannot be used', { skip: withoutOpenssl }, () => {
  const mine = makeCertificate('mine');
  const other = makeCertificate('other');
  const rsa = makeCertificate('rsa', ['rsa:2048']);
  const file = (name: string, content: string | Buffer) => {
    const full = path.join(folder, name);
    writeFileSync(full, content);
    return full;
  };
  const bad = file('bad.pem', 'no certificate');
  const half = file('half.pem', readFileSync(mine.cert).subarray(0, 300));
  const halfBundle = file(
    'half-bundle.pem',
    readFileSync(other.cert, 'utf8') + readFileSync(half, 'utf8'),
  );
  const encrypted = path.join(folder, 'encrypted.pem');
  openssl(...`pkcs8 -topk8 -in ${mine.key} -passout pass:abcd -out ${encrypted}`.split(' '));

  const { cert, key } = mine;
  const mistakes = [
    ['a CA that is none', { ca: bad }, /^CA certificate.*\/bad\.pem: no PEM certificate in it/],
    ['a CA without its end', { ca: half }, /^CA certificate.*\/half\.pem: /],
    ['CAs, one without its end', { ca: halfBundle }, /^CA certificate.*\/half-bundle\.pem: /],
    ['a CA that is a key', { ca: key }, /^CA certificate.*\/mine\.key: no PEM certificate/],
    ['a certificate that is none', { cert: bad, key }, /^client certificate.*\/bad\.pem: /],
    ['a certificate without its end', { cert: half, key }, /^client certificate.*\/half\.pem: /],
    ['a key that is none', { cert, key: bad }, /^client key.*\/bad\.pem: /],
    [
      'a key with a passphrase',
      { cert, key: encrypted },
      /^client key.*\/encrypted\.pem: it has a pass/,
    ],
    [
      'the key of another certificate',
      { cert, key: other.key },
      /^client key for OTLP: can't use .*\/other\.key: not the key of the certificate in .*mine\.crt/,
    ],
    ['a key of another type', { cert, key: rsa.key }, /^client key.*\/rsa\.key: not the key of/],
  ] as const;
  for (const [what, files, message] of mistakes) {
    it(`is refused by name: ${what}`, () => {
      const configuration = telemetryConfiguration({
        endpoint: 'https://collector:4317',
        tls: { insecure: false, ...files },
      });
      for (const signal of signals) {
        assert.throws(() => exportSettings(signal, configuration, {}), { message });
      }
    });
  }

  it('is none of several authorities with text around them', () => {
    const both = `# mine\n${readFileSync(cert, 'utf8')}\n# other\n${readFileSync(other.cert, 'utf8')}`;
    const ca = file('both.pem', both);
    const tls = { insecure: false, ca, ...rsa };
    const configuration = telemetryConfiguration({ endpoint: 'https://collector:4317', tls });
    assert.equal(exportSettings('logs', configuration, {})?.tls?.ca?.toString(), both);
  });

  for (const protocol of protocols) {
    it(`after they were read over ${protocol} is for the next reload to refuse`, async (t) => {
      const own = mkdtempSync(path.join(folder, 'rotated-'));
      const tls = {
        ca: path.join(own, 'ca'),
        cert: path.join(own, 'crt'),
        key: path.join(own, 'key'),
      };
      copyFileSync(cert, tls.ca);
      copyFileSync(cert, tls.cert);
      copyFileSync(key, tls.key);
      const server = { ca: readFileSync(cert), cert: readFileSync(cert), key: readFileSync(key) };
      const collector = await Collector.start({ protocol, tls: server });
      const configuration = telemetryConfiguration({
        protocol,
        endpoint: collector.url,
        tls: { insecure: false, ...tls },
      });
      const { telemetry, disk } = sending(configuration);
      t.after(async () => {
        await telemetry.shutdown(1000);
        await collector.close();
      });
      // Before the first connection: half of a rotation.
      copyFileSync(other.key, tls.key);
      assert.throws(() => telemetry.prepare(configuration), /\/key: not the key of .*\/crt/);
      telemetry.emit(recordOf());
      assert.ok(await telemetry.flush(20_000));
      assert.equal(collector.records().length, 1);
      assert.ok(collector.metric('fileward.record.exported'), 'metrics too');
      assert.deepEqual(disk, [], 'no thread failed');
    });
  }
});

describe('settings that gRPC refuses all the same', () => {
  const settings: ExportSettings = {
    protocol: 'grpc',
    url: 'https://localhost:4317',
    headers: {},
    timeoutMs: 1000,
    compression: 'none',
    tls: {},
  };
  const refused: [string, ExportSettings][] = [
    ['a header', { ...settings, headers: { 'x-tenant': 'a\nb' } }],
    ['a key', { ...settings, tls: { cert: Buffer.from('bad'), key: Buffer.from('bad') } }],
  ];
  for (const [what, each] of refused) {
    it(`are a problem with the collector, not an exception: ${what}`, async () => {
      const transport = new GrpcTransport('logs', each);
      for (const attempt of [1, 2]) {
        const result = await transport.send(Buffer.alloc(0));
        assert.equal(result.kind, 'misconfigured', `attempt ${attempt}`);
        assert.ok('reason' in result && result.reason.startsWith('grpc: '));
      }
      transport.close();
    });
  }

  it('or metrics that cannot be encoded end an export as failed', async () => {
    const exporter = new MetricExporter(new GrpcTransport('metrics', settings));
    const result = await new Promise<ExportResult>((done) =>
      exporter.export({} as ResourceMetrics, done),
    );
    assert.equal(result.code, ExportResultCode.FAILED);
    assert.ok(result.error);
    await exporter.shutdown();
  });
});

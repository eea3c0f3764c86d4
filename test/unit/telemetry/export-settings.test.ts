import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { exportSettings, metricIntervalMs } from '../../../src/telemetry/export-settings.ts';
import { telemetryConfiguration } from './support.ts';

const grpc = telemetryConfiguration({ endpoint: 'http://collector:4317' });
const http = telemetryConfiguration({
  protocol: 'http/protobuf',
  endpoint: 'https://collector:4318/base/',
});

describe('where to export', () => {
  const urls = [
    { what: 'the configured endpoint', configuration: grpc, env: {}, url: 'http://collector:4317' },
    {
      what: 'the path of the signal under HTTP',
      configuration: http,
      env: {},
      url: 'https://collector:4318/base/v1/logs',
    },
    {
      what: 'a variable over the configuration',
      configuration: grpc,
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://other:4317' },
      url: 'http://other:4317',
    },
    {
      what: 'a variable of the signal over the general one, as it is',
      configuration: http,
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://other:4318',
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: 'http://logs:1234/in',
      },
      url: 'http://logs:1234/in',
    },
    {
      what: 'the port of the protocol when only that is changed',
      configuration: telemetryConfiguration(),
      env: { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' },
      url: 'http://localhost:4318/v1/logs',
    },
    {
      what: 'an empty variable as none',
      configuration: grpc,
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: '' },
      url: 'http://collector:4317',
    },
    {
      what: 'host and port without a scheme as TLS',
      configuration: grpc,
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'other:4317' },
      url: 'https://other:4317',
    },
    {
      what: 'a unix socket',
      configuration: grpc,
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'unix:///run/otelcol.sock' },
      url: 'unix:///run/otelcol.sock',
    },
    {
      what: 'an IPv6 address',
      configuration: grpc,
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://[::1]:4317' },
      url: 'http://[::1]:4317',
    },
  ];
  for (const { what, configuration, env, url } of urls) {
    it(`is ${what}`, () => assert.equal(exportSettings('logs', configuration, env)?.url, url));
  }

  it('is plain text for http, and for INSECURE where no scheme says otherwise', () => {
    assert.equal(exportSettings('logs', grpc, {})?.tls, undefined);
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'other:4317' };
    assert.ok(exportSettings('logs', grpc, env)?.tls);
    const insecure = { ...env, OTEL_EXPORTER_OTLP_INSECURE: 'TRUE' };
    assert.equal(exportSettings('logs', grpc, insecure)?.tls, undefined);
    const secure = {
      OTEL_EXPORTER_OTLP_ENDPOINT: 'https://other:4317',
      OTEL_EXPORTER_OTLP_INSECURE: 'true',
    };
    assert.ok(exportSettings('logs', grpc, secure)?.tls, 'the scheme wins');
  });

  it('is nowhere when a variable says so', () => {
    assert.equal(exportSettings('logs', grpc, { OTEL_SDK_DISABLED: 'true' }), undefined);
    assert.equal(exportSettings('metrics', grpc, { OTEL_METRICS_EXPORTER: 'none' }), undefined);
    assert.ok(exportSettings('logs', grpc, { OTEL_METRICS_EXPORTER: 'none' }));
    assert.equal(exportSettings('logs', grpc, { OTEL_LOGS_EXPORTER: 'none' }), undefined);
  });

  const mistakes = [
    [
      { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
      /OTEL_EXPORTER_OTLP_PROTOCOL must be grpc or http\/protobuf, not 'http\/json'/,
    ],
    [{ OTEL_EXPORTER_OTLP_COMPRESSION: 'zstd' }, /COMPRESSION must be none or gzip, not 'zstd'/],
    [{ OTEL_EXPORTER_OTLP_TIMEOUT: 'soon' }, /TIMEOUT must be a whole number of milliseconds/],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'ftp://x' },
      /OTLP endpoint 'ftp:\/\/x' is no http, https or unix URL/,
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://x', OTEL_EXPORTER_OTLP_CERTIFICATE: '/no/such.pem' },
      /CA certificate for OTLP: ENOENT.*\/no\/such\.pem/,
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://x', OTEL_EXPORTER_OTLP_CLIENT_KEY: '/dev/null' },
      /needs its key/,
    ],
  ] as const;
  for (const [env, message] of mistakes) {
    it(`is refused with ${JSON.stringify(env)}`, () => {
      assert.throws(() => exportSettings('logs', grpc, env), message);
    });
  }

  it('has timeout, compression and interval of the variables', () => {
    const env = {
      OTEL_EXPORTER_OTLP_TIMEOUT: '1500',
      OTEL_EXPORTER_OTLP_METRICS_COMPRESSION: 'gzip',
      OTEL_METRIC_EXPORT_INTERVAL: '5000',
    };
    assert.equal(exportSettings('logs', grpc, env)?.timeoutMs, 1500);
    assert.equal(exportSettings('logs', grpc, env)?.compression, 'none');
    assert.equal(exportSettings('metrics', grpc, env)?.compression, 'gzip');
    assert.equal(metricIntervalMs(grpc, env), 5000);
    assert.equal(metricIntervalMs(grpc, {}), 60_000);
  });
});

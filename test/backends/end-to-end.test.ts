/**
 * From a real denial of a real process to the real backends: fileward, the Collector with the shipped configuration,
 * Loki with the shipped configuration, Prometheus with the shipped rules, Alertmanager and a webhook.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openInChild } from '../kernel/children.ts';
import { Agent, type TestConfiguration } from '../kernel/harness.ts';
import { Scratch } from '../kernel/scratch.ts';
import { Collector as Sink } from '../otlp/collector.ts';
import { Certificates } from './certificates.ts';
import { denied, modified, send } from './otlp-json.ts';
import { missingBackends } from './programs.ts';
import { freePorts, stopServers, until } from './server-process.ts';
import {
  type CollectorServer,
  type LokiServer,
  type LogStream,
  type PrometheusServer,
  startAlertmanager,
  startCollector,
  startBackends,
  Webhook,
} from './servers.ts';

const skip = missingBackends() || (process.getuid?.() !== 0 && 'fanotify needs root');
const rules = 'config/prometheus/fileward.rules.yaml';
const hourMs = 3_600_000;

/** One file that nobody may open. */
function configuration(scratch: Scratch, telemetry: object): TestConfiguration {
  const secret = { name: 'secret', path: scratch.path('secret'), behavior: 'block', apps: [] };
  const operations = ['read', 'write', 'exec'];
  return {
    telemetry: { protocol: 'grpc', metrics: { interval: '1s' }, ...telemetry },
    groups: [
      {
        name: 'host',
        members: { host: true },
        mode: 'protect',
        rules: [{ ...secret, operations }],
      },
    ],
  };
}

describe('a denial', { skip }, () => {
  let scratch: Scratch;
  let loki: LokiServer;
  let prometheus: PrometheusServer;
  let webhook: Webhook;
  let collector: CollectorServer;
  let agent: Agent;

  before(async () => {
    scratch = new Scratch();
    const secret = scratch.write('secret');
    webhook = await Webhook.start();
    const alertmanager = await startAlertmanager({ webhook: webhook.url });
    ({ loki, prometheus, collector } = await startBackends({
      rules: [rules],
      alertmanager: alertmanager.url,
    }));
    const document = configuration(scratch, { endpoint: collector.grpcUrl });
    agent = await Agent.start(scratch, document, { exports: true });
    await until('metrics of the agent before the denial', async () => {
      const series = await prometheus.query('fileward_file_events_total{fileward_event="denied"}');
      return series.length > 0;
    });
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
  });
  after(async () => {
    await agent?.stop();
    webhook?.close();
    await stopServers();
    scratch?.remove();
  });

  async function oneLine(expression: string): Promise<LogStream> {
    return await until(expression, async () => (await loki.query(expression))[0]);
  }

  it('is in Loki, with its name, host and rule as structured metadata and few labels', async () => {
    const query = `{service_name="fileward"} | otel_event_name="fileward.file.denied"`;
    const { stream, values } = await oneLine(query);
    assert.equal(stream['file_path'], scratch.path('secret'));
    assert.equal(stream['security_rule_name'], 'secret');
    assert.equal(stream['security_rule_ruleset_name'], 'host');
    assert.equal(stream['fileward_verdict'], 'deny');
    assert.equal(stream['severity_number'], '13');
    assert.ok(stream['host_name']);
    assert.match(values[0]?.[1] ?? '', /denied/i);

    for (const labels of await loki.series('{service_name="fileward"}')) {
      const names = Object.keys(labels).filter((name) => !name.startsWith('__'));
      assert.deepEqual(names, ['service_name']);
    }
  });

  it('is in Prometheus as a counter, and target_info says on which host', async () => {
    const expression = `
      sum by (host_name, security_rule_name) (
        fileward_file_events_total{fileward_event="denied", security_rule_name="secret"}
        * on (job, instance) group_left (host_name) target_info
      )`;
    const [series] = await until('count of 1', async () => {
      const found = await prometheus.query(expression);
      return found[0]?.value?.[1] === '1' && found;
    });
    assert.ok(series?.metric['host_name']);
  });

  it('passed queues whose length Prometheus has from the Collector', async () => {
    const expression = 'otelcol_exporter_queue_size / otelcol_exporter_queue_capacity';
    const series = await until(expression, async () => {
      const found = await prometheus.query(expression);
      return found.length > 0 && found;
    });
    const exporters = series.map(({ metric }) => metric['exporter']).sort();
    const [alert, bulk] = ['otlp_http/loki_alert', 'otlp_http/loki_bulk'];
    assert.deepEqual(exporters, [alert, bulk, 'prometheus_remote_write']);
  });

  it('fires the shipped alert, which reaches a webhook through Alertmanager', async () => {
    const alert = await until(
      'notification',
      () =>
        webhook.received
          .flatMap(({ alerts }) => alerts)
          .find(({ labels }) => labels['alertname'] === 'FilewardFileDenied'),
      150_000,
    );
    assert.equal(alert.status, 'firing');
    assert.equal(alert.labels['security_rule_name'], 'secret');
    assert.ok(alert.labels['host_name']);
    assert.match(alert.annotations['summary'] ?? '', /secret/);
  });
  it('that comes days late is taken by Loki all the same', async () => {
    const uids: string[] = [];
    // The newest first, as after an outage: what is now is sent before what waited.
    for (const ageMs of [0, 2 * hourMs, 30 * hourMs, 20 * 24 * hourMs]) {
      for (const kind of [denied, modified]) {
        const record = kind({ time: new Date(Date.now() - ageMs) });
        assert.equal(await send(collector.httpUrl, [record]), 200);
        uids.push(record.uid);
      }
    }
    const from = new Date(Date.now() - 25 * 24 * hourMs);
    await until('late record', async () => {
      // What is older than some hours is looked for on its disk only.
      await fetch(`${loki.url}/flush`, { method: 'POST' });
      const query = `{service_name="fileward"} | log_record_uid=~"${uids.join('|')}"`;
      const lines = (await loki.query(query, { from })).flatMap(({ values }) => values);
      return lines.length === uids.length;
    });
  });
});

describe('fileward reaches a backend', { skip }, () => {
  let scratch: Scratch;
  let sink: Sink;
  before(async () => {
    scratch = new Scratch();
    scratch.write('secret');
    sink = await Sink.start({ protocol: 'http/protobuf' });
  });
  after(async () => {
    await sink?.close();
    await stopServers();
    scratch?.remove();
  });

  const tls = new Certificates();
  const fleet = tls.of('fleet');
  after(() => tls.remove());

  interface Way {
    readonly config: readonly string[];
    readonly telemetry: (collector: CollectorServer) => object;
  }
  const ways: Readonly<Record<string, Way>> = {
    'through the unix socket of socket.yaml': {
      config: ['otel-collector.yaml', 'config/collector/socket.yaml'],
      telemetry: ({ socket }) => ({ endpoint: `unix:${socket}` }),
    },
    'through fragment.yaml in a Collector that runs already': {
      config: ['test/backends/existing-collector.yaml', 'config/collector/fragment.yaml'],
      telemetry: ({ fragmentUrl }) => ({ endpoint: fragmentUrl }),
    },
    'straight through a gateway, with mutual TLS': {
      config: ['otel-collector.yaml', 'config/collector/gateway.yaml'],
      telemetry: ({ grpcUrl }) => ({
        endpoint: grpcUrl.replace('http:', 'https:'),
        tls: { ca: fleet.TLS_CA, cert: fleet.TLS_CERT, key: fleet.TLS_KEY },
      }),
    },
  };
  for (const [way, { config, telemetry }] of Object.entries(ways)) {
    it(way, async () => {
      const before = sink.records().length;
      const [port] = await freePorts(1);
      const collector = await startCollector({
        config,
        env: { ...fleet, LOKI_ENDPOINT: sink.url, EXISTING_ENDPOINT: `127.0.0.1:${port}` },
      });
      const document = configuration(scratch, telemetry(collector));
      const agent = await Agent.start(scratch, document, { exports: true });
      assert.equal(await openInChild(scratch.path('secret'), 'O_RDONLY'), 'EPERM');
      await until('denial', () =>
        sink
          .records()
          .slice(before)
          .some(({ eventName }) => eventName === 'fileward.file.denied'),
      );
      await agent.stop();
      await collector.stop();
    });
  }
});

/** The shipped Collector configurations in the real Collector; backends that fail are played by a receiver of ours. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, afterEach, describe, it } from 'node:test';
import { parse } from 'yaml';
import { attributesOf, type LogRecord, Collector as Sink } from '../otlp/collector.ts';
import { Certificates } from './certificates.ts';
import { denied, modified, type SentRecord, send, sendGauge } from './otlp-json.ts';
import { missingBackends, program, repository } from './programs.ts';
import { freePorts, serverDirectory, stopServers, until } from './server-process.ts';
import { startCollector, startPrometheus } from './servers.ts';

const main = 'otel-collector.yaml';
const addition = (name: string) => `config/collector/${name}.yaml`;
const skip = missingBackends();
const notRoot = process.getuid?.() !== 0 && 'mounting needs root';

const sinks: Sink[] = [];
async function startSink(port = 0): Promise<Sink> {
  const sink = await Sink.start({ protocol: 'http/protobuf', port });
  sinks.push(sink);
  return sink;
}

function textOf(record: LogRecord, attribute: string): string | undefined {
  const value = attributesOf(record.attributes)[attribute];
  return value !== undefined && 'stringValue' in value ? value.stringValue : undefined;
}

function uids(sink: Sink): Set<string | undefined> {
  return new Set(sink.records().map((record) => textOf(record, 'log.record.uid')));
}

/** Waits until each of them has come at least once. */
async function arrived(sink: Sink, records: readonly SentRecord[]): Promise<void> {
  await until(`arrival of ${records.length} records`, () =>
    records.every(({ uid }) => uids(sink).has(uid)),
  );
}

after(stopServers);
afterEach(async () => {
  await stopServers();
  await Promise.all(sinks.splice(0).map((sink) => sink.close()));
});

describe('the shipped configurations', { skip }, () => {
  const existing = 'test/backends/existing-collector.yaml';
  const shipped = [
    [main],
    [main, addition('socket')],
    [main, addition('kubernetes')],
    [main, addition('socket'), addition('kubernetes')],
    [main, addition('elastic')],
    [main, addition('agent')],
    [main, addition('agent'), addition('socket'), addition('kubernetes')],
    [main, addition('gateway')],
    [existing, addition('fragment')],
  ];
  for (const files of shipped) {
    it(`are valid: ${files.join(' + ')}`, () => {
      const args = files.flatMap((file) => ['--config', path.join(repository, file)]);
      execFileSync(program('otelcol'), ['validate', ...args], { env: {}, stdio: 'pipe' });
    });
  }

  it('are valid with the names that older Collectors know', () => {
    const oldNames = readFileSync(path.join(repository, main), 'utf8')
      .replaceAll('otlp_http', 'otlphttp')
      .replaceAll('resource_detection', 'resourcedetection')
      .replaceAll('k8s_attributes', 'k8sattributes')
      .replaceAll('prometheus_remote_write', 'prometheusremotewrite');
    const config = `yaml:${JSON.stringify(parse(oldNames))}`;
    execFileSync(program('otelcol'), ['validate', '--config', config], { env: {}, stdio: 'pipe' });
  });

  it('listen on loopback only, unless a gateway is asked for', () => {
    const merged = execFileSync(
      program('otelcol'),
      ['print-config', '--mode', 'unredacted', '--config', path.join(repository, main)],
      { env: {}, encoding: 'utf8' },
    );
    const endpoints = [...merged.matchAll(/(?:endpoint|host): (\w\S*|\/\S+)/g)].map(
      ([, endpoint = '']) => endpoint,
    );
    assert.ok(endpoints.length >= 8, merged);
    for (const endpoint of endpoints) {
      assert.match(endpoint, /^(http:\/\/)?127\.0\.0\.1(:\d+|$)|^\/run\/otelcol\//);
    }
  });
});

describe('otel-collector.yaml', { skip }, () => {
  it('sends on what it took, with the event name and the host that fileward told', async () => {
    const sink = await startSink();
    const collector = await startCollector({ env: { LOKI_ENDPOINT: sink.url } });
    const records = [denied(), modified()];
    for (const record of records) assert.equal(await send(collector.httpUrl, [record]), 200);
    await arrived(sink, records);
    for (const record of sink.records()) {
      assert.equal(textOf(record, 'otel.event.name'), record.eventName);
    }
    const [request] = sink.logs;
    const resource = attributesOf(request?.resourceLogs[0]?.resource.attributes);
    assert.deepEqual(resource['host.name'], { stringValue: 'told-by-fileward' });
    assert.deepEqual(resource['os.type'], { stringValue: 'linux' });
    assert.doesNotMatch(collector.log, /\t(warn|error)\t/);
    await collector.stop();
  });

  it('loses nothing of what it took when it is killed with full queues', async () => {
    const [port] = await freePorts(1);
    const collector = await startCollector({
      env: { LOKI_ENDPOINT: `http://127.0.0.1:${port}` },
    });
    const records: SentRecord[] = [];
    for (let request = 0; request < 40; request++) {
      const kind = request % 2 === 0 ? denied : modified;
      const batch = Array.from({ length: 25 }, () => kind({ padding: 1000 }));
      assert.equal(await send(collector.httpUrl, batch), 200);
      records.push(...batch);
    }
    await collector.kill();
    const sink = await startSink(port);
    assert.equal(sink.records().length, 0);
    await collector.start();
    await arrived(sink, records);
  });

  it('refuses retryably what would need more memory than it may have', async () => {
    const collector = await startCollector({ env: { MEMORY_LIMIT_MIB: '129' } });
    await until('refusal', async () => (await send(collector.httpUrl, [denied()])) === 503);
    assert.match(collector.log, /memory usage/i);
  });

  it('refuses retryably what its disk has no room for, and goes on when there is', {
    skip: notRoot,
  }, async () => {
    const state = serverDirectory('small');
    const mount = (...options: string[]) => execFileSync('mount', [...options, 'none', state]);
    mount('-t', 'tmpfs', '-o', 'size=1500k');
    try {
      const [port] = await freePorts(1);
      const collector = await startCollector({
        env: { COLLECTOR_STATE: state, LOKI_ENDPOINT: `http://127.0.0.1:${port}` },
      });
      const taken: SentRecord[] = [];
      const offer = async (): Promise<number> => {
        const batch = Array.from({ length: 50 }, () => denied({ padding: 1000 }));
        const status = await send(collector.httpUrl, batch);
        if (status === 200) taken.push(...batch);
        return status;
      };
      await until('refusal', async () => (await offer()) === 503);
      assert.match(collector.log, /no space left on device/);
      mount('-o', 'remount,size=64m');
      assert.equal(await offer(), 200);
      await arrived(await startSink(port), taken);
      await collector.kill();
    } finally {
      execFileSync('umount', ['--lazy', state]);
      rmSync(state, { recursive: true });
    }
  });

  /** A Collector whose bulk records go to a backend that takes requests and never answers; its bulk queue is small. */
  async function startWithStuckBulk(alerts: Sink) {
    const stuck = createServer(() => {});
    await new Promise<void>((resolve) => stuck.listen(0, '127.0.0.1', resolve));
    const collector = await startCollector({
      env: { LOKI_ENDPOINT: alerts.url },
      overrides: {
        exporters: {
          'otlp_http/loki_bulk': {
            endpoint: `http://127.0.0.1:${(stuck.address() as AddressInfo).port}`,
            sending_queue: { queue_size: 400_000 },
          },
        },
      },
    });
    const end = () => {
      stuck.closeAllConnections();
      stuck.close();
    };
    return { collector, end };
  }

  async function fillBulk(httpUrl: string): Promise<void> {
    await until('bulk record that is refused', async () => {
      const batch = Array.from({ length: 50 }, () => modified({ padding: 1000 }));
      return (await send(httpUrl, batch)) === 503;
    });
  }

  it('lets denials pass while bulk is stuck and its queue full, and refuses bulk retryably', async () => {
    const sink = await startSink();
    const { collector, end } = await startWithStuckBulk(sink);
    await fillBulk(collector.httpUrl);
    const denials = Array.from({ length: 100 }, () => denied());
    for (const record of denials) assert.equal(await send(collector.httpUrl, [record]), 200);
    await arrived(sink, denials);
    end();
  });

  it('refuses a request that mixes both while bulk is full: sent again, nothing is lost, only doubled', async () => {
    const sink = await startSink();
    const { collector, end } = await startWithStuckBulk(sink);
    await fillBulk(collector.httpUrl);
    const mixed = [denied(), modified({ padding: 300_000 })];
    assert.equal(await send(collector.httpUrl, mixed), 503);
    assert.equal(await send(collector.httpUrl, mixed), 503);
    const [first] = mixed;
    assert.ok(first);
    await until('denial that came twice', () => {
      const came = sink.records().map((record) => textOf(record, 'log.record.uid'));
      return came.filter((uid) => uid === first.uid).length === 2;
    });
    end();
  });
});

describe('config/collector', { skip }, () => {
  it('fragment.yaml works beside what a Collector does already, and answers when the backend has', async () => {
    const [port = 0, ownPort, httpPort] = await freePorts(3);
    const directory = serverDirectory('existing');
    await startCollector({
      config: ['test/backends/existing-collector.yaml', addition('fragment')],
      env: {
        LOKI_ENDPOINT: `http://127.0.0.1:${port}`,
        EXISTING_ENDPOINT: `127.0.0.1:${ownPort}`,
        EXISTING_FILE: path.join(directory, 'existing.jsonl'),
      },
      // The fragment has gRPC only; the test sends over HTTP.
      overrides: {
        receivers: {
          'otlp/fileward': { protocols: { http: { endpoint: `127.0.0.1:${httpPort}` } } },
        },
      },
    });
    const fileward = `http://127.0.0.1:${httpPort}`;
    const record = denied();
    assert.equal(await send(fileward, [record]), 503); // no backend: fileward keeps it
    const sink = await startSink(port);
    assert.equal(await send(fileward, [record]), 200);
    assert.deepEqual([...uids(sink)], [record.uid]);
    sink.answers.push({ grpc: 3, http: 400 });
    assert.equal(await send(fileward, [denied()]), 400); // refused for good: fileward sets it aside
    assert.equal(textOf(sink.records()[0] as LogRecord, 'otel.event.name'), record.eventName);

    assert.equal(await send(`http://127.0.0.1:${ownPort}`, [modified()]), 200);
    await until('record in the existing pipeline', () =>
      existsSync(path.join(directory, 'existing.jsonl')),
    );
    assert.equal(sink.records().length, 1);
  });

  it('elastic.yaml adds the names that ECS has and OpenTelemetry has not', async () => {
    const sink = await startSink();
    const collector = await startCollector({
      config: [main, addition('elastic')],
      env: { LOKI_ENDPOINT: sink.url },
    });
    const record = denied({
      attributes: { 'fileward.operation': 'read', 'security_rule.name': 'shadow' },
    });
    assert.equal(await send(collector.httpUrl, [record]), 200);
    await arrived(sink, [record]);
    const [first] = sink.records();
    const strings = (...values: string[]) => ({
      arrayValue: { values: values.map((stringValue) => ({ stringValue })) },
    });
    const { ['event.kind']: kind, ...attributes } = attributesOf(first?.attributes);
    assert.deepEqual(kind, { stringValue: 'alert' });
    assert.deepEqual(attributes['event.category'], strings('file'));
    assert.deepEqual(attributes['event.type'], strings('access', 'denied'));
    assert.deepEqual(attributes['event.outcome'], { stringValue: 'failure' });
    assert.deepEqual(attributes['event.action'], { stringValue: 'read' });
    assert.deepEqual(attributes['rule.name'], { stringValue: 'shadow' });
  });
});

describe('a fleet', { skip }, () => {
  const tls = new Certificates();
  after(() => tls.remove());

  it('reaches the backends through a gateway with mutual TLS, over an outage of the gateway', async () => {
    const fleet = tls.of('fleet');
    const sink = await startSink();
    const prometheus = await startPrometheus();
    const gateway = await startCollector({
      config: [main, addition('gateway')],
      env: {
        ...fleet,
        LOKI_ENDPOINT: sink.url,
        PROMETHEUS_ENDPOINT: prometheus.remoteWriteUrl,
      },
    });
    const agent = await startCollector({
      config: [main, addition('agent')],
      env: { ...fleet, GATEWAY_ENDPOINT: gateway.grpcUrl.replace('http://', '') },
    });
    const before = [denied(), modified()];
    for (const record of before) assert.equal(await send(agent.httpUrl, [record]), 200);
    await arrived(sink, before);
    assert.equal(await sendGauge(agent.httpUrl, 'fileward.coverage.gaps', 2), 200);
    const gaps = 'fileward_coverage_gaps * on (job, instance) group_left (host_name) target_info';
    const [series] = await until(gaps, async () => {
      const found = await prometheus.query(gaps);
      return found.length > 0 && found;
    });
    assert.equal(series?.metric['host_name'], 'told-by-fileward');
    await gateway.kill();
    const during = [denied(), modified()];
    for (const record of during) assert.equal(await send(agent.httpUrl, [record]), 200);
    await agent.kill();
    await Promise.all([gateway.start(), agent.start()]);
    await arrived(sink, during);
  });

  it('is refused by the gateway without a certificate of its CA', async () => {
    const fleet = tls.of('fleet');
    const sink = await startSink();
    const gateway = await startCollector({
      config: [main, addition('gateway')],
      env: { ...fleet, LOKI_ENDPOINT: sink.url },
    });
    const agent = await startCollector({
      config: [main, addition('agent')],
      env: {
        ...tls.of('stranger'),
        TLS_CA: fleet.TLS_CA,
        GATEWAY_ENDPOINT: gateway.grpcUrl.replace('http://', ''),
      },
    });
    assert.equal(await send(agent.httpUrl, [denied()]), 200);
    await until('refusal in the agent', () =>
      /tls: unknown certificate authority|bad certificate|handshake failure/.test(agent.log),
    );
    assert.equal(sink.records().length, 0);
  });
});

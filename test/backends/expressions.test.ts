/**
 * Every LogQL and PromQL expression that we ship, asked of the real Loki and Prometheus after real agents had something
 * to say: each must return data. Two agents on this machine, the second under a name of its own with an outbox that
 * nothing empties. Only what no test can bring about in a sound agent is sent in its name.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { METRIC } from '../../src/records/names.ts';
import { openInChild, run, shell } from '../kernel/children.ts';
import { Agent, commandLine } from '../kernel/harness.ts';
import { Scratch } from '../kernel/scratch.ts';
import { type Expression, expressions } from './expressions.ts';
import { denied, send } from './otlp-json.ts';
import { missingBackends } from './programs.ts';
import { stopServers, until } from './server-process.ts';
import {
  type CollectorServer,
  type LokiServer,
  type PrometheusServer,
  startBackends,
} from './servers.ts';

const skip = missingBackends() || (process.getuid?.() !== 0 && 'fanotify needs root');
const hourMs = 3_600_000;
/** Prometheus takes what is older than 5 minutes for gone; asking for a time ahead spares the wait. */
const silentMs = 6 * 60_000;

interface Sample {
  readonly value?: readonly [number, string];
  readonly values?: readonly (readonly [number | string, string])[];
}
interface Answer {
  readonly data: { readonly result: readonly Sample[] };
}

function textAttribute(key: string, stringValue: string): object {
  return { key, value: { stringValue } };
}

function pointOf(ageMs: number): object {
  const nanoseconds = (ms: number): string => `${ms}000000`;
  const now = Date.now();
  return { startTimeUnixNano: nanoseconds(now - hourMs), timeUnixNano: nanoseconds(now - ageMs) };
}

describe('each shipped expression returns data from real servers', { skip }, () => {
  let scratch: Scratch;
  let other: Scratch;
  let loki: LokiServer;
  let prometheus: PrometheusServer;
  let collector: CollectorServer;
  let agent: Agent;
  let second: Agent;

  const covered = (place: Scratch, name: string, more: object = {}) => ({
    name,
    path: `${place.path(name)}/**`,
    behavior: 'block',
    operations: ['read', 'write', 'exec'],
    apps: [],
    ...more,
  });

  function startFirst(): Promise<Agent> {
    const rules = [
      covered(scratch, 'secret'),
      covered(scratch, 'watched', { behavior: 'watch', operations: ['read', 'write'] }),
      covered(scratch, 'monitored', { mode: 'monitor' }),
      covered(scratch, 'learned', { mode: 'discover' }),
      { ...covered(scratch, 'gone'), path: '/nonexistent/fileward/file', required: true },
    ];
    const telemetry = { endpoint: collector.grpcUrl, metrics: { interval: '1s' } };
    const groups = [{ name: 'host', members: { host: true }, mode: 'protect', rules }];
    return Agent.start(scratch, { telemetry, groups }, { exports: true });
  }

  /** Its records go nowhere, so its outbox of a small size fills; its metrics arrive. */
  function startSecond(): Promise<Agent> {
    const rules = [covered(other, 'watched', { behavior: 'watch', operations: ['write'] })];
    return Agent.start(
      other,
      {
        policy_version: 'another',
        telemetry: {
          endpoint: collector.grpcUrl,
          outbox: { max_size: '1MiB' },
          metrics: { interval: '1s' },
        },
        groups: [{ name: 'files', members: { host: true }, rules }],
      },
      {
        exports: true,
        env: {
          OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: 'http://127.0.0.1:9',
          OTEL_RESOURCE_ATTRIBUTES: 'service.instance.id=second,host.name=second',
        },
      },
    );
  }

  async function counted(expression: string): Promise<void> {
    await until(expression, async () => (await prometheus.query(expression)).length > 0);
  }

  before(async () => {
    scratch = new Scratch();
    other = new Scratch();
    for (const name of ['secret', 'watched', 'monitored', 'learned']) {
      for (const file of ['a', 'b']) scratch.write(`${name}/${file}`);
    }
    other.write('watched/a');
    ({ loki, prometheus, collector } = await startBackends({
      rules: ['config/prometheus/fileward.rules.yaml'],
    }));
    agent = await startFirst();
    await agent.stop('SIGKILL'); // found at the next start: record.lost, reason crash
    agent = await startFirst();
    second = await startSecond();
    // Counters at 0 first, so that increase() has something to start from.
    await counted('fileward_policy_reloads_total{fileward_policy_outcome="rejected"} == 0');
    await counted('fileward_policy_info{security_rule_version="another"}');
    await counted('otelcol_exporter_queue_size{exporter="otlp_http/loki_alert"}');

    assert.equal(await openInChild(scratch.path('secret/a'), 'O_RDONLY'), 'EPERM');
    await shell(
      `mv ${scratch.path('secret/b')} ${scratch.path('moved')}; cat ${scratch.path('watched/a')}`,
    );
    await shell(`echo more >> ${scratch.path('watched/a')}; cat ${scratch.path('monitored/a')}`);
    await shell(`cat ${scratch.path('learned/a')}`);
    const files = `${other.path('watched')}/some-longer-name-to-fill-the-outbox-sooner`;
    await shell(`for i in $(seq 3000); do echo > ${files}-$i; done`, { timeoutMs: 120_000 });
    await agent.reconfigure('version: 1\nnonsense: true\n');
    await sendInItsName();
    // A group that is paused no longer enforces.
    await counted('fileward_enforcement_active == 1');
    const [node, pause] = commandLine(['pause', '--for', '15m', '--reason', 'test']);
    const { code, stderr } = await run(node, [...pause, '-c', agent.configurationFile]);
    assert.equal(code, 0, stderr);
  });
  after(async () => {
    await agent?.stop();
    await second?.stop('SIGKILL');
    await stopServers();
    scratch?.remove();
    other?.remove();
  });

  /** A core that fails, verdicts that take 0.1 s, a collector whose queue is nearly full; a record that Loki refuses for good. */
  async function sendInItsName(): Promise<void> {
    const event = 'fileward.enforcement.degraded';
    await send(collector.httpUrl, [{ uid: 'degraded', severityNumber: 17, eventName: event }]);
    // Loki takes 128 attributes at most.
    const names = Array.from({ length: 200 }, (_, index) => [`attribute-${index}`, 'text']);
    await send(collector.httpUrl, [denied({ attributes: Object.fromEntries(names) })]);
    const ages = [60_000, 0]; // two points, for rate()
    const verdicts = ages.map((ageMs) => ({
      ...pointOf(ageMs),
      explicitBounds: [0.05, 0.1, 0.25],
      bucketCounts: ageMs > 0 ? ['1', '0', '0', '0'] : ['1', '0', '100', '0'],
      count: ageMs > 0 ? '1' : '101',
      sum: ageMs > 0 ? 0.01 : 10,
      attributes: [textAttribute('fileward.verdict', 'allow')],
    }));
    await sendMetrics('fileward', 'third', [
      { name: METRIC.policyInfo.name, gauge: { dataPoints: [{ ...pointOf(0), asInt: '1' }] } },
      {
        name: METRIC.verdictDuration.name,
        unit: METRIC.verdictDuration.unit,
        histogram: { aggregationTemporality: 2, dataPoints: verdicts },
      },
    ]);
    const ofExporter = (asInt: string) => ({
      dataPoints: [{ ...pointOf(0), asInt, attributes: [textAttribute('exporter', 'full')] }],
    });
    await sendMetrics('otelcol', 'full', [
      { name: 'otelcol_exporter_queue_size', gauge: ofExporter('90') },
      { name: 'otelcol_exporter_queue_capacity', gauge: ofExporter('100') },
    ]);
  }

  async function sendMetrics(service: string, instance: string, metrics: object[]): Promise<void> {
    const attributes = [
      textAttribute('service.name', service),
      textAttribute('service.instance.id', instance),
      textAttribute('host.name', instance),
    ];
    const scopeMetrics = [{ scope: { name: service }, metrics }];
    const response = await fetch(`${collector.httpUrl}/v1/metrics`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ resourceMetrics: [{ resource: { attributes }, scopeMetrics }] }),
    });
    assert.equal(response.status, 200, await response.text());
  }

  async function ask({ language, kind, text, needs }: Expression): Promise<readonly Sample[]> {
    const now = Date.now();
    const time = needs === 'agent silent' || needs === 'no agent' ? now + silentMs : now;
    const seconds = (ms: number): string => String(ms / 1000);
    const instant = { query: text, time: seconds(time) };
    const range = { query: text, start: seconds(now - hourMs), end: seconds(now), step: '15' };
    const [server, api] =
      language === 'logql' ? [loki, '/loki/api/v1'] : ([prometheus, '/api/v1'] as const);
    const { data } =
      kind === 'instant'
        ? await server.get<Answer>(`${api}/query`, instant)
        : await server.get<Answer>(`${api}/query_range`, range);
    return data.result;
  }

  function hasData(samples: readonly Sample[]): boolean {
    return samples.some(({ value, values = [] }) =>
      [...values, ...(value ? [value] : [])].some(([, text]) => text !== 'NaN'),
    );
  }

  for (const expression of expressions()) {
    it(`${expression.file.split('/').at(-1)}: ${expression.title}`, async () => {
      await until(expression.text, async () => hasData(await ask(expression)), 100_000);
    });
  }
});

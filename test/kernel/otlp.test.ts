/** What arrives at a collector, decoded by the protocol's own definition: records and metrics of a running agent. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { attributesOf, Collector, type KeyValue, labelsOf } from '../otlp/collector.ts';
import { problemsOf } from '../registry/conformance.ts';
import { openInChild, run, shell } from './children.ts';
import { Agent, commandLine } from './harness.ts';
import { Scratch } from './scratch.ts';

const { version } = JSON.parse(
  readFileSync(path.join(import.meta.dirname, '../../package.json'), 'utf8'),
);

function configurationOf(scratch: Scratch, telemetry: object) {
  const rules = [
    { name: 'secret', path: scratch.path('secret'), behavior: 'block', apps: [], mode: 'protect' },
    {
      name: 'open',
      path: `${scratch.path('open')}/**`,
      behavior: 'block',
      operations: ['read', 'write'],
      apps: ['/bin/cat'],
      description: 'Open to cat',
      tags: { mitre: 'T1565' },
    },
    { name: 'watched', path: `${scratch.path('watched')}/**`, behavior: 'watch' },
  ];
  return {
    policy_version: '3f2c1ab',
    telemetry,
    groups: [
      { name: 'host', members: { host: true }, mode: 'monitor', labels: { team: 'a' }, rules },
    ],
  };
}

function start(scratch: Scratch, telemetry: object, env = {}): Promise<Agent> {
  return Agent.start(scratch, configurationOf(scratch, telemetry), { exports: true, env });
}

function fill(scratch: Scratch): void {
  for (const name of ['secret', 'open/file', 'watched/file']) scratch.write(name);
}

/** All that the agent has told so far waits on disk. */
async function onDisk({ configurationFile }: Agent): Promise<void> {
  const [node, command] = commandLine(['status', '--json', '-c', configurationFile]);
  for (const deadline = Date.now() + 20_000; ; ) {
    const { stdout } = await run(node, command);
    const { waiting, onDisk } = JSON.parse(stdout).export;
    if (waiting > 0 && waiting === onDisk) return;
    if (Date.now() > deadline) assert.fail(stdout);
  }
}

const text = (list: readonly KeyValue[], name: string): unknown =>
  Object.values(attributesOf(list)[name] ?? {})[0];

for (const protocol of ['grpc', 'http/protobuf'] as const) {
  describe(`over ${protocol}`, () => {
    const scratch = new Scratch();
    let collector: Collector;
    let agent: Agent;

    before(async () => {
      fill(scratch);
      collector = await Collector.start({ protocol });
      // A port where nobody listens: the variables must win.
      const telemetry = { protocol, endpoint: 'http://127.0.0.1:9' };
      const env = {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_METRIC_EXPORT_INTERVAL: '500',
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
      };
      agent = await start(scratch, telemetry, env);
    });
    after(async () => {
      await agent.stop();
      await collector.close();
      scratch.remove();
    });

    async function recordOf(event: string, name: string, operation: string) {
      for (const deadline = Date.now() + 20_000; ; ) {
        const found = collector
          .records()
          .find(
            ({ eventName, attributes }) =>
              eventName === event &&
              text(attributes, 'file.path') === scratch.path(name) &&
              text(attributes, 'fileward.operation') === operation,
          );
        if (found) return found;
        if (Date.now() > deadline) {
          throw new Error(
            `no ${event} ${operation} of ${name}: ${JSON.stringify(collector.records())}`,
          );
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }

    async function metricValue(name: string, labels: Record<string, string>, value: string) {
      for (const deadline = Date.now() + 20_000; ; ) {
        const metric = collector.metric(name);
        const points = (metric?.sum ?? metric?.gauge)?.dataPoints ?? [];
        const point = points.find((each) =>
          Object.entries(labels).every(([key, wanted]) => labelsOf(each)[key] === wanted),
        );
        if (point?.asInt === value) return;
        if (Date.now() > deadline) assert.fail(`${name}: ${JSON.stringify(points.map(labelsOf))}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }

    it('has every counter of every rule at 0 from the start', async () => {
      const rule = (name: string, event: string, operation: string) => ({
        'security_rule.name': name,
        'fileward.event': event,
        'fileward.operation': operation,
      });
      await metricValue('fileward.file.events', rule('secret', 'denied', 'exec'), '0');
      await metricValue('fileward.file.events', rule('open', 'violated', 'read'), '0');
      await metricValue('fileward.file.events', rule('watched', 'modified', 'write'), '0');
      await metricValue('fileward.record.lost', { 'error.type': 'ring_full' }, '0');
    });

    it('tells a denial with types, severity and the time of the event', async () => {
      const start = Date.now();
      assert.equal(await openInChild(scratch.path('secret'), 'O_RDONLY'), 'EPERM');
      const end = Date.now();
      const record = await recordOf('fileward.file.denied', 'secret', 'read');
      const time = BigInt(record.timeUnixNano);
      assert.ok(time >= BigInt(start) * 1_000_000n - 1_000_000n);
      assert.ok(time <= BigInt(end + 1) * 1_000_000n);
      assert.ok(BigInt(record.observedTimeUnixNano) >= BigInt(start) * 1_000_000n);
      assert.equal(record.severityNumber, 'SEVERITY_NUMBER_WARN');
      assert.equal(record.severityText, 'WARN');
      assert.match(Object.values(record.body)[0], /opener \(pid \d+\) was denied read access to /);
      const attributes = attributesOf(record.attributes);
      const types = Object.fromEntries(
        Object.entries(attributes).map(([name, value]) => [name, Object.keys(value)[0]]),
      );
      assert.deepEqual(types, {
        'otel.event.name': 'stringValue',
        'log.record.uid': 'stringValue',
        'file.path': 'stringValue',
        'file.inode': 'stringValue',
        'file.mode': 'stringValue',
        'file.owner.id': 'stringValue',
        'file.group.id': 'stringValue',
        'file.size': 'intValue',
        'fileward.operation': 'stringValue',
        'fileward.verdict': 'stringValue',
        'fileward.mode': 'stringValue',
        'fileward.reason': 'stringValue',
        'fileward.group.label.team': 'stringValue',
        'security_rule.name': 'stringValue',
        'security_rule.ruleset.name': 'stringValue',
        'security_rule.version': 'stringValue',
        'process.pid': 'intValue',
        'process.parent_pid': 'intValue',
        'process.executable.path': 'stringValue',
        'process.executable.name': 'stringValue',
        'process.user.id': 'intValue',
        'process.user.name': 'stringValue',
        'process.real_user.id': 'intValue',
        'process.creation.time': 'stringValue',
        'process.linux.cgroup': 'stringValue',
        'fileward.process.ancestors': 'arrayValue',
        'fileward.count': 'intValue',
      });
      assert.equal(text(record.attributes, 'file.mode'), '0644');
      assert.equal(text(record.attributes, 'otel.event.name'), record.eventName);
      const created = Date.parse(String(text(record.attributes, 'process.creation.time')));
      assert.ok(Math.abs(created - start) < 5000, String(created - start));
    });

    it('tells a violation, what rule it was, and the change', async () => {
      await shell(`sleep 0.1; echo more >> ${scratch.path('open/file')}; sleep 0.1`);
      const violated = await recordOf('fileward.file.violated', 'open/file', 'write');
      assert.equal(text(violated.attributes, 'security_rule.description'), 'Open to cat');
      assert.equal(text(violated.attributes, 'fileward.rule.tag.mitre'), 'T1565');
      const modified = await recordOf('fileward.file.modified', 'open/file', 'write');
      assert.equal(modified.severityNumber, 'SEVERITY_NUMBER_INFO');
      assert.match(String(text(modified.attributes, 'fileward.file.sha256')), /^[0-9a-f]{64}$/);
    });

    it('comes from the resource and scope of the contract', async () => {
      await collector.received(1);
      for (const { resourceLogs } of collector.logs) {
        assert.equal(resourceLogs.length, 1);
        const [{ resource, scopeLogs, schemaUrl }] = resourceLogs as [(typeof resourceLogs)[0]];
        const attributes = Object.fromEntries(
          resource.attributes.map(({ key, value }) => [key, Object.values(value)[0]]),
        );
        assert.equal(attributes['service.name'], 'fileward');
        assert.equal(attributes['service.version'], version);
        assert.match(attributes['service.instance.id'], /^[0-9a-f]{8}-[0-9a-f]{4}-5/);
        assert.equal(attributes['os.type'], 'linux');
        assert.equal(attributes['deployment.environment.name'], 'test');
        assert.ok(attributes['host.name'] && attributes['host.id']);
        assert.equal(schemaUrl, 'https://opentelemetry.io/schemas/1.45.0');
        assert.deepEqual(
          scopeLogs.map(({ scope }) => `${scope.name} ${scope.version}`),
          [`fileward ${version}`],
        );
      }
    });

    it('counts opens, the quiet ones too, and times verdicts', async () => {
      const [secret, open] = ['secret', 'open'].map((name) => ({ 'security_rule.name': name }));
      const denied = { ...secret, 'fileward.event': 'denied', 'fileward.operation': 'read' };
      await metricValue('fileward.file.events', denied, '1');
      await run('/bin/cat', [scratch.path('open/file')]);
      const quiet = { ...open, 'fileward.event': 'quiet', 'fileward.operation': 'read' };
      await metricValue('fileward.file.events', quiet, '1');
      const points = collector.metric('fileward.verdict.duration')?.histogram?.dataPoints ?? [];
      const counts = points.map((point) => [labelsOf(point)['fileward.verdict'], point.count]);
      assert.deepEqual(
        counts.find(([verdict]) => verdict === 'deny'),
        ['deny', '1'],
      );
      await metricValue('fileward.enforcement.active', {}, '1');
      await metricValue('fileward.policy.info', { 'security_rule.version': '3f2c1ab' }, '1');
    });

    it('is as the telemetry registry has it', () => assert.deepEqual(problemsOf(collector), []));
  });
}

describe('a collector that is away', () => {
  it('gets what happened before it came, each record once by its id', async () => {
    const scratch = new Scratch();
    fill(scratch);
    const gone = await Collector.start({ protocol: 'grpc' });
    await gone.close();
    const agent = await start(scratch, { endpoint: gone.url });
    const names = Array.from({ length: 20 }, (_, i) => scratch.write(`watched/new${i}`));
    await openInChild(scratch.path('secret'), 'O_RDONLY');
    const collector = await Collector.start({ protocol: 'grpc', port: gone.port });
    await collector.received(names.length + 2);
    assert.equal((await agent.stop()).code, 0);
    const uids = collector.records().map(({ attributes }) => text(attributes, 'log.record.uid'));
    assert.equal(new Set(uids).size, uids.length);
    const paths = new Set(
      collector.records().map(({ attributes }) => text(attributes, 'file.path')),
    );
    for (const name of [...names, scratch.path('secret')]) assert.ok(paths.has(name), name);
    await collector.close();
    scratch.remove();
  });

  it('gets after a restart what earlier agents could not send, however they ended', async () => {
    const scratch = new Scratch();
    fill(scratch);
    const gone = await Collector.start({ protocol: 'grpc' });
    await gone.close();
    const denied: unknown[] = [];
    for (const end of ['stop', 'kill'] as const) {
      const agent = await start(scratch, { endpoint: gone.url });
      await openInChild(scratch.path('secret'), 'O_RDONLY');
      const record = await agent.record({ event: 'fileward.file.denied' });
      denied.push(record.attributes['log.record.uid']);
      if (end === 'kill') await onDisk(agent);
      await agent[end]();
      await agent.exited;
    }
    const collector = await Collector.start({ protocol: 'grpc', port: gone.port });
    const agent = await start(scratch, { endpoint: gone.url });
    const arrived = () =>
      collector.records().map(({ attributes }) => text(attributes, 'log.record.uid'));
    for (const deadline = Date.now() + 20_000; !denied.every((uid) => arrived().includes(uid)); ) {
      if (Date.now() > deadline) assert.fail(`${denied} not in ${arrived()}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal((await agent.stop()).code, 0);
    await collector.close();
    scratch.remove();
  });

  it('does not keep SIGTERM waiting for more than 5 s', async () => {
    const scratch = new Scratch();
    fill(scratch);
    const agent = await start(scratch, { endpoint: 'http://127.0.0.1:9' });
    await openInChild(scratch.path('secret'), 'O_RDONLY');
    const began = Date.now();
    assert.equal((await agent.stop()).code, 0);
    assert.ok(Date.now() - began < 5000);
    scratch.remove();
  });

  it('gets on SIGTERM what was not sent yet', async () => {
    const scratch = new Scratch();
    fill(scratch);
    const collector = await Collector.start({ protocol: 'grpc' });
    const agent = await start(scratch, { endpoint: collector.url });
    await openInChild(scratch.path('secret'), 'O_RDONLY');
    assert.equal((await agent.stop()).code, 0);
    const events = collector.records().map(({ eventName }) => eventName);
    assert.ok(events.includes('fileward.file.denied'), String(events));
    assert.ok(collector.metric('fileward.record.exported'));
    await collector.close();
    scratch.remove();
  });
});

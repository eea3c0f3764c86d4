import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { SessionStats } from '../../../src/native/addon.ts';
import { type CompiledPolicy, compile, noCaps } from '../../../src/policy/compile.ts';
import { attributesOf, Collector, type Metric, labelsOf } from '../../otlp/collector.ts';
import { guardianStats } from '../native/guardian-stats.ts';
import { configurationOf, rule } from '../records/support.ts';
import { recordOf, type Sending, sending, telemetryConfiguration } from './support.ts';

const bounds = [5e-6, 1e-5, 0.1, 0.25];

function sessionStats(quiet: SessionStats['quiet'], allowed = 0n): SessionStats {
  const verdicts = (n: bigint) => ({
    bounds_seconds: bounds,
    counts: [n, 0n, 0n, 0n, 1n],
    sum_seconds: 0.5,
  });
  return {
    quiet,
    verdicts: { allow: verdicts(allowed), deny: verdicts(0n) },
    failures: {},
    marks: { permission: 3, notification: 4 },
    ring: { published: 0, drained: 0, dropped: 0 },
    notification: { read: 0, handled: 0 },
    guardian: guardianStats(),
  };
}

function policyOf(...given: Parameters<typeof configurationOf>): CompiledPolicy {
  return compile(configurationOf(...given), noCaps);
}

const twoRules = [
  rule('shadow', { operations: ['read', 'write'] }),
  rule('keys', { behavior: 'watch', operations: ['read', 'write'] }),
] as const;

async function setUp(t: TestContext, given = {}) {
  const collector = await Collector.start({ protocol: 'grpc' });
  const test = sending(telemetryConfiguration({ endpoint: collector.url, ...given }));
  t.after(async () => {
    await test.telemetry.shutdown(1000);
    await collector.close();
  });
  return { ...test, collector };
}

/** Sends what there is and gives the points of a metric as `labels: value`. */
async function points(
  { telemetry, collector }: Pick<Sending, 'telemetry'> & { collector: Collector },
  name: string,
): Promise<string[]> {
  await telemetry.flush(5000);
  const metric = collector.metric(name);
  const data = metric?.sum ?? metric?.gauge;
  return (data?.dataPoints ?? [])
    .map((point) => `${Object.values(labelsOf(point)).join(' ')}: ${point.asInt}`)
    .sort();
}

describe('metrics on the wire', () => {
  it('have name, unit, kind, scope and resource of the contract', async (t) => {
    const test = await setUp(t);
    test.telemetry.metrics.usePolicy(1n, policyOf(twoRules, { mode: 'protect' }), 'abc');
    test.telemetry.metrics.useSession(() => sessionStats([]));
    await test.telemetry.flush(5000);
    const kindOf = ({ sum, gauge, histogram }: Metric) =>
      gauge ? 'gauge' : histogram ? 'histogram' : sum?.isMonotonic ? 'counter' : 'updowncounter';
    const [ofResource] = test.collector.metrics[0]?.resourceMetrics ?? [];
    const [ofScope] = ofResource?.scopeMetrics ?? [];
    const found = ofScope?.metrics.map(
      (metric) => `${metric.name} ${kindOf(metric)} ${metric.unit}`,
    );
    assert.deepEqual(found?.sort(), [
      'fileward.canary.duration histogram s',
      'fileward.enforcement.active gauge {group}',
      'fileward.file.events counter {event}',
      'fileward.learned.pair.count updowncounter {pair}',
      'fileward.mark.count updowncounter {mark}',
      'fileward.outbox.limit updowncounter By',
      'fileward.outbox.record.count updowncounter {record}',
      'fileward.outbox.size updowncounter By',
      'fileward.policy.info gauge {policy}',
      'fileward.policy.reloads counter {reload}',
      'fileward.record.exported counter {record}',
      'fileward.record.lost counter {record}',
      'fileward.rule.count updowncounter {rule}',
      'fileward.verdict.duration histogram s',
      'fileward.workload.count updowncounter {workload}',
    ]);
    assert.deepEqual(ofScope?.scope, { name: 'fileward', version: '1.2.3', attributes: [] });
    assert.deepEqual(attributesOf(ofResource?.resource.attributes), {
      'service.name': { stringValue: 'fileward' },
      'host.id': { stringValue: 'h1' },
    });
    for (const { sum, histogram } of ofScope?.metrics ?? []) {
      const temporality = (sum ?? histogram)?.aggregationTemporality;
      if (temporality !== undefined)
        assert.equal(temporality, 'AGGREGATION_TEMPORALITY_CUMULATIVE');
    }
  });

  it('go at the interval of OTEL_METRIC_EXPORT_INTERVAL', async () => {
    const collector = await Collector.start({ protocol: 'http/protobuf' });
    const configuration = telemetryConfiguration({
      protocol: 'http/protobuf',
      endpoint: collector.url,
    });
    const { telemetry } = sending(configuration, { OTEL_METRIC_EXPORT_INTERVAL: '50' });
    while (collector.metrics.length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
    await telemetry.shutdown(1000);
    await collector.close();
  });
});

describe('fileward.file.events', () => {
  it('has all that each rule can produce at 0 from the start', async (t) => {
    const test = await setUp(t);
    test.telemetry.metrics.usePolicy(1n, policyOf(twoRules, { mode: 'protect' }), 'abc');
    assert.deepEqual(await points(test, 'fileward.file.events'), [
      'accessed protect host keys read: 0',
      'denied protect host shadow read: 0',
      'denied protect host shadow write: 0',
      'modified protect host keys write: 0',
      'modified protect host shadow write: 0',
      'quiet protect host keys read: 0',
      'quiet protect host keys write: 0',
      'quiet protect host shadow read: 0',
      'quiet protect host shadow write: 0',
      'violated protect host shadow write: 0',
    ]);
  });

  it('counts, and takes over what the native core counted by ruleset version', async (t) => {
    const test = await setUp(t);
    const { metrics } = test.telemetry;
    const first = policyOf([rule('shadow', { operations: ['read'] })], { mode: 'protect' });
    metrics.usePolicy(1n, first, 'a');
    const counts: Record<string, bigint> = { 1: 5n };
    metrics.useSession(() =>
      sessionStats(
        Object.entries(counts).map(([version, count]) => ({
          ruleset_version: BigInt(version),
          count: () => count,
        })),
      ),
    );
    const [shadow] = first.rules;
    assert.ok(shadow);
    metrics.fileEvent(shadow, 'denied', 'read');
    metrics.fileEvent(shadow, 'denied', 'read');
    assert.deepEqual(await points(test, 'fileward.file.events'), [
      'denied protect host shadow read: 2',
      'quiet protect host shadow read: 5',
    ]);
    counts[1] = 7n;
    counts[2] = 10n;
    const second = policyOf(
      [rule('other', { operations: ['exec'] }), rule('shadow', { operations: ['read'] })],
      { mode: 'protect' },
    );
    metrics.usePolicy(2n, second, 'b');
    assert.deepEqual(await points(test, 'fileward.file.events'), [
      'denied protect host other exec: 0',
      'denied protect host shadow read: 2',
      'quiet protect host other exec: 10',
      'quiet protect host shadow read: 17',
    ]);
    metrics.usePolicy(
      3n,
      policyOf([rule('other', { operations: ['exec'] })], { mode: 'protect' }),
      'c',
    );
    assert.deepEqual(await points(test, 'fileward.file.events'), [
      'denied protect host other exec: 0',
      'quiet protect host other exec: 10',
    ]);
  });

  it('leaves the rule out under per_rule: false', async (t) => {
    const test = await setUp(t, { metrics: { perRule: false, intervalMs: 60_000 } });
    const policy = policyOf([
      rule('a', { operations: ['exec'] }),
      rule('b', { operations: ['exec'] }),
    ]);
    test.telemetry.metrics.usePolicy(1n, policy, 'abc');
    for (const each of policy.rules) test.telemetry.metrics.fileEvent(each, 'violated', 'exec');
    assert.deepEqual(await points(test, 'fileward.file.events'), [
      'quiet monitor host exec: 0',
      'violated monitor host exec: 2',
    ]);
  });

  it('has no limit but the number of rules', async (t) => {
    const test = await setUp(t);
    const rules = Array.from({ length: 1500 }, (_, i) => rule(`r${i}`, { operations: ['exec'] }));
    test.telemetry.metrics.usePolicy(1n, policyOf(rules), 'abc');
    await test.telemetry.flush(10_000);
    const all = test.collector.metrics.flatMap(({ resourceMetrics }) =>
      resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics)),
    );
    const events = all.filter(({ name }) => name === 'fileward.file.events');
    const found = new Set(
      events.flatMap(({ sum }) =>
        (sum?.dataPoints ?? []).map((point) => Object.values(labelsOf(point)).join(' ')),
      ),
    );
    assert.equal(found.size, 3000);
    assert.ok(Math.max(...test.collector.sizes) < 2 * 1024 * 1024);
  });
});

describe('other metrics', () => {
  it('tell verdicts as histograms of the native core', async (t) => {
    const test = await setUp(t);
    test.telemetry.metrics.useSession(() => sessionStats([], 7n));
    await test.telemetry.flush(5000);
    const histogram = test.collector.metric('fileward.verdict.duration')?.histogram;
    const [allow, deny] = histogram?.dataPoints ?? [];
    assert.deepEqual(labelsOf(allow ?? {}), { 'fileward.verdict': 'allow' });
    assert.deepEqual(allow?.explicitBounds, bounds);
    assert.deepEqual(allow?.bucketCounts, ['7', '0', '0', '0', '1']);
    assert.equal(allow?.count, '8');
    assert.equal(allow?.sum, 0.5);
    assert.deepEqual(labelsOf(deny ?? {}), { 'fileward.verdict': 'deny' });
  });

  it('tell the latency of the canary', async (t) => {
    const test = await setUp(t);
    test.telemetry.metrics.useSession(() => sessionStats([]));
    await test.telemetry.flush(5000);
    const [point] = test.collector.metric('fileward.canary.duration')?.histogram?.dataPoints ?? [];
    assert.deepEqual(labelsOf(point ?? {}), {});
    assert.deepEqual(point?.bucketCounts, ['3', '0', '0']);
  });

  it('have the verdict histogram with its bounds before anything was decided', async (t) => {
    const test = await setUp(t);
    await test.telemetry.flush(5000);
    const [allow] = test.collector.metric('fileward.verdict.duration')?.histogram?.dataPoints ?? [];
    assert.equal(allow?.explicitBounds[0], 5e-6);
    assert.equal(allow?.explicitBounds.at(-1), 0.25);
    assert.ok(allow?.explicitBounds.includes(0.1));
  });

  it('follow the policy in force', async (t) => {
    const test = await setUp(t);
    const { metrics } = test.telemetry;
    metrics.usePolicy(1n, policyOf(twoRules, { mode: 'protect' }), 'abc');
    assert.deepEqual(await points(test, 'fileward.enforcement.active'), ['host: 1']);
    assert.deepEqual(await points(test, 'fileward.rule.count'), ['host block: 1', 'host watch: 1']);
    assert.deepEqual(await points(test, 'fileward.policy.info'), ['3f2c1ab abc: 1']);
    metrics.policyReload('loaded');
    metrics.usePolicy(2n, policyOf(twoRules, { mode: 'monitor' }), 'def');
    assert.deepEqual(await points(test, 'fileward.enforcement.active'), ['host: 0']);
    assert.deepEqual(await points(test, 'fileward.policy.info'), ['3f2c1ab def: 1']);
    assert.deepEqual(await points(test, 'fileward.policy.reloads'), ['loaded: 1', 'rejected: 0']);
  });

  it('say that nothing is enforced while the agent cannot decide', async (t) => {
    const test = await setUp(t);
    test.telemetry.metrics.usePolicy(1n, policyOf(twoRules, { mode: 'protect' }), 'abc');
    test.telemetry.metrics.setEnforcing(false);
    assert.deepEqual(await points(test, 'fileward.enforcement.active'), ['host: 0']);
  });

  it('count gaps of coverage by rules, and show their end', async (t) => {
    const test = await setUp(t);
    const { metrics } = test.telemetry;
    metrics.usePolicy(1n, policyOf(twoRules), 'abc');
    const [first] = twoRules;
    const failed = { group: 'host', rule: first?.name ?? '', error_type: 'mark_failed' };
    const unknown = { group: 'host', error_type: 'criteria_unknown' };
    const members = new Map([['host', 3]]);
    metrics.useCoverage([failed, failed, unknown], members);
    assert.deepEqual(await points(test, 'fileward.coverage.gaps'), [
      // Of the whole group.
      'host criteria_unknown: 2',
      'host mark_failed: 1',
    ]);
    assert.deepEqual(await points(test, 'fileward.workload.count'), ['host: 3']);
    metrics.useCoverage([], members);
    assert.deepEqual(await points(test, 'fileward.coverage.gaps'), [
      'host criteria_unknown: 0',
      'host mark_failed: 0',
    ]);
  });

  it('count what was exported, what waits and what was lost, each reason from 0 on', async (t) => {
    const test = await setUp(t);
    test.telemetry.emit(recordOf());
    assert.ok(await test.telemetry.flush(10_000));
    test.telemetry.metrics.lost('ring_full', 3);
    assert.deepEqual(await points(test, 'fileward.record.exported'), [': 1']);
    assert.deepEqual(await points(test, 'fileward.outbox.record.count'), [': 0']);
    assert.deepEqual(await points(test, 'fileward.outbox.limit'), [`: ${(256 - 32) << 20}`]);
    const lost = await points(test, 'fileward.record.lost');
    assert.ok(lost.includes('ring_full: 3') && lost.includes('outbox_full: 0'));
  });
});

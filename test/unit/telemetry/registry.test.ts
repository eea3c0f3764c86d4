/**
 * The telemetry registry, and what fileward sends held to it: names, types, severities, units, decoded by the
 * protocol's own definition. test/kernel/registry.test.ts does the same with a running agent.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { eventReasons } from '../../../src/native/event-layout.ts';
import { compile, noCaps } from '../../../src/policy/compile.ts';
import { AGENT_EVENT_SEVERITY } from '../../../src/records/names.ts';
import type { Attributes, FilewardRecord } from '../../../src/records/record.ts';
import { hostResource } from '../../../src/workloads/host.ts';
import { Collector } from '../../otlp/collector.ts';
import {
  conventions,
  type Line,
  problemsOf,
  problemsOfExcerpt,
  type Received,
  registry,
  seenIn,
} from '../../registry/conformance.ts';
import { generated } from '../../registry/generated.ts';
import { readRegistry, registryFolder } from '../../registry/registry.ts';
import {
  configurationOf,
  containerOf,
  encode,
  type EventWords,
  fact,
  rule,
  type UnderTest,
  underTest,
} from '../records/support.ts';
import { folder, sending, telemetryConfiguration } from './support.ts';

after(() => rmSync(folder, { recursive: true }));

const resource = hostResource('1.2.3', { K8S_NODE_NAME: 'node-1', K8S_CLUSTER_NAME: 'prod' });
const notUtf8 = {
  path: Buffer.from('/a\xff', 'latin1'),
  protected_path: Buffer.from('/b\xff', 'latin1'),
};
const newNotUtf8 = { ...notUtf8, new_path: Buffer.from('/c\xff', 'latin1') };

describe('the telemetry registry', () => {
  it('has made names.ts and the tables of the docs: if not, run .ci/registry', () => {
    for (const [file, text] of generated()) assert.equal(readFileSync(file, 'utf8'), text);
  });

  it('has the version of the package', () => {
    const packageFile = new URL('../../../package.json', import.meta.url);
    const { version } = JSON.parse(readFileSync(packageFile, 'utf8'));
    assert.ok(registry.schemaUrl.endsWith(`/${version}`), registry.schemaUrl);
  });

  it('defines what the conventions lack, and takes from them what they have and still want', () => {
    for (const { name, own } of registry.attributes.values()) {
      assert.equal(conventions.names.has(name), !own, name);
      assert.ok(!conventions.deprecated.has(name), `${name} is deprecated`);
    }
  });

  it('has the reasons of the native core', () => {
    const { values = [] } = registry.attributes.get('fileward.reason') ?? {};
    assert.deepEqual(
      values.map(({ value }) => value),
      eventReasons.filter((reason) => reason !== 'none'),
    );
  });

  describe('is refused with', () => {
    const flaws = [
      [
        'a key that Weaver does not know',
        'attributes.yaml',
        '    brief: Attributes',
        '    breif: Attributes',
      ],
      ['a string without an example', 'attributes.yaml', /examples: \['dpkg', 'rpm'\]\n/, '\n'],
      ['an example of another type', 'attributes.yaml', 'examples: [212]', "examples: ['212']"],
      [
        'an attribute defined twice',
        'attributes.yaml',
        'id: fileward.verdict',
        'id: fileward.mode',
      ],
      [
        'an attribute defined nowhere',
        'records.yaml',
        'ref: fileward.verdict',
        'ref: fileward.answer',
      ],
      ['an event without a severity', 'records.yaml', 'severity_number: 10', 'planned: true'],
      ['a group that is not there', 'records.yaml', 'extends: fileward.record', 'extends: record'],
      [
        'a metric of an unknown kind',
        'metrics.yaml',
        'instrument: histogram',
        'instrument: summary',
      ],
      ['a unit that is none', 'metrics.yaml', 'unit: By', 'unit: bytes'],
      ['a manifest without its dependency', 'manifest.yaml', /dependencies:.*/s, ''],
    ] as const;
    for (const [what, file, good, bad] of flaws) {
      it(what, () => {
        const copy = mkdtempSync(path.join(folder, 'flawed-'));
        cpSync(registryFolder, copy, { recursive: true });
        const text = readFileSync(path.join(copy, file), 'utf8');
        const flawed = text.replace(good, bad);
        assert.notEqual(flawed, text);
        writeFileSync(path.join(copy, file), flawed);
        assert.throws(() => readRegistry(copy));
      });
    }
  });

  it('names metrics without their unit, and never a path, a process or a container on them', () => {
    for (const { name, attributes } of registry.metrics) {
      assert.doesNotMatch(name, /_total$|seconds|bytes/);
      for (const attribute of attributes) {
        assert.doesNotMatch(attribute.name, /^(file|process|container)\.|path|\.pid$/, name);
      }
    }
  });
});

describe('docs/telemetry.md', () => {
  const text = readFileSync(new URL('../../../docs/telemetry.md', import.meta.url), 'utf8');
  const lines: Line[] = [...text.matchAll(/```json\n(.*?)\n```/gs)]
    .flatMap(([, block = '']) => block.split(/\n(?=\{)/))
    .map((json) => JSON.parse(json));

  it('has an example of each record, as the registry has it', () => {
    for (const line of lines) assert.deepEqual(problemsOfExcerpt(line), [], line.event);
    const missing = registry.events.filter(
      ({ name, planned }) => !planned && !lines.some(({ event }) => event === name),
    );
    assert.deepEqual(
      missing.map(({ name }) => name),
      [],
    );
  });

  it('has an example of each metric', () => {
    for (const { name, unit, instrument, planned } of registry.metrics) {
      const ends = { By: '_bytes', s: '_seconds' }[unit] ?? '';
      const series = name.replaceAll('.', '_') + ends + (instrument === 'counter' ? '_total' : '');
      assert.equal(new RegExp(`^${series}(_bucket)?[{ ]`, 'm').test(text), !planned, series);
    }
  });
});

/** All kinds of records that come of kernel events. */
async function everyRecord(): Promise<FilewardRecord[]> {
  const given = {
    description: 'Data',
    reference: 'https://example.com/data',
    tags: { mitre: 'T1565' },
  };
  const test = underTest(configurationOf([rule('data', given)]));
  test.book.update([containerOf(7, 'web-1')]);
  for (const reason of eventReasons)
    test.accept(encode({ reason, strings: { path: `/${reason}` } }));
  tellOpens(test);
  tellChanges(test);
  tellHashed(test);
  test.accept(encode({ kind: 'app_replaced', outcome: 'not_covered', strings: notUtf8 }));
  test.pipeline.lost({ reason: 'ring_full', stage: 'ring', count: 3, tree: '/srv' });
  test.pass(11_000);
  await test.pipeline.flush();
  return [...test.records, ...beyondLimit()];
}

/** With the one record for what is beyond a rule's `max_records`. */
function beyondLimit(): FilewardRecord[] {
  const limited = rule('data', { maxRecords: { count: 1, windowMs: 10_000 } });
  const { accept, pass, records } = underTest(configurationOf([limited]));
  for (const path of ['/1', '/2', '/3']) accept(encode({ strings: { path } }));
  pass(11_000);
  return records;
}

/** Each three times: what is equal is told once more, with its number. */
function tellOpens({ accept }: UnderTest): void {
  const discover = { mode: 'discover', outcome: 'learned' } as const;
  const opens: EventWords[] = [
    {},
    { kind: 'access', outcome: 'accessed' },
    { outcome: 'violated', mode: 'monitor' },
    { operation: 'exec', outcome: 'violated', mode: 'monitor' },
    discover,
    { ...discover, operation: 'write' },
    // By another container.
    ...[
      {},
      { kind: 'access', outcome: 'accessed' } as const,
      { outcome: 'violated', mode: 'monitor' } as const,
      { ...discover, operation: 'exec' } as const,
    ].map((words) => ({ ...words, fields: { actor_workload: 7 } })),
  ];
  for (const words of [...opens, ...opens, ...opens])
    accept(encode({ ...words, strings: notUtf8 }));
  const created = { fields: { ino: 200n }, flags: ['o_creat_fresh'] } as const;
  accept(encode({ ...created, operation: 'write' }), fact('created', { fields: { ino: 200n } }));
}

function tellChanges({ accept }: UnderTest): void {
  const before = { before_known: 1, before_size: 9n, before_mtime_ns: 4n, before_mode: 0o100600 };
  const listed = { outcome: 'modified', reason: 'none', flags: ['listed', 'judged'] } as const;
  accept(
    fact('made', { fields: { ino: 300n } }),
    fact('linked', { strings: newNotUtf8, fields: { ino: 301n } }),
    fact('attributes', { fields: { ...before, ino: 302n } }),
    fact('written', { fields: { ...before, ino: 303n } }),
    fact('closed_write', { fields: { ...before, ino: 303n } }),
    fact('written', { fields: { ...before, ino: 304n, size: 0n } }),
    fact('closed_write', { fields: { ...before, ino: 304n, size: 0n } }),
    fact('renamed', { flags: ['replaced'], strings: newNotUtf8 }),
    fact('directory_moved', { mode: 'protect', fields: { count: 7 } }),
    fact('deleted', { actor: 'gone', fields: { ino: 305n } }),
    fact('deleted', { fields: { ino: 307n, actor_workload: 7 } }),
    ...[1, 2, 3].map(() =>
      fact('deleted', { ...listed, fields: { package_manager: 1, ino: 306n } }),
    ),
  );
}

/** A file of which the hash before is known. */
function tellHashed(test: UnderTest): void {
  const file = path.join(folder, 'hashed');
  writeFileSync(file, 'first');
  const old = statSync(file, { bigint: true });
  const sha256 = createHash('sha256').update('first').digest('hex');
  test.pipeline.learnHashes([{ ...old, path: Buffer.from(file), mtimeNs: old.mtimeNs, sha256 }]);
  appendFileSync(file, ' and more');
  const { dev, ino, size, mtimeNs } = statSync(file, { bigint: true });
  const fields = {
    before_known: 1,
    before_size: old.size,
    before_mtime_ns: old.mtimeNs,
    before_mode: Number(old.mode),
    ...{ dev, ino, size, mtime_ns: mtimeNs, file_mode: Number(old.mode) },
  };
  for (const change of ['written', 'closed_write'] as const) {
    test.accept(fact(change, { fields, strings: { path: file } }));
  }
}

/** What a collector has got of them, and of metrics that counted them. */
async function sent(protocol: 'grpc' | 'http/protobuf', records: Iterable<FilewardRecord>) {
  const collector = await Collector.start({ protocol });
  const configuration = telemetryConfiguration({ protocol, endpoint: collector.url });
  const { telemetry } = sending(configuration, {}, resource);
  const rules = [rule('data'), rule('keys', { behavior: 'watch' })];
  const { metrics } = telemetry;
  metrics.usePolicy(1n, compile(configurationOf(rules, { mode: 'protect' }), noCaps), 'abc');
  metrics.useCoverage(
    [{ group: 'host', rule: 'data', error_type: 'absent' }],
    new Map([['host', 1]]),
  );
  for (const record of records) telemetry.emit(record);
  assert.ok(await telemetry.flush(10_000));
  await telemetry.shutdown(1000);
  await collector.close();
  return collector;
}

describe('what is sent', () => {
  for (const protocol of ['grpc', 'http/protobuf'] as const) {
    it(`over ${protocol} is what the registry has, and nothing of that is missing`, async () => {
      const records = (await everyRecord()).map((record) => ({ ...record, resource }));
      const received = await sent(protocol, records);
      assert.equal(received.records().length, records.length);
      assert.deepEqual(problemsOf(received), []);
      assert.deepEqual(missingIn(received), []);
    });
  }

  describe('is found out', () => {
    const test = underTest();
    test.accept(encode({}));
    const [denied] = test.records;
    assert.ok(denied);
    const good = { ...denied, resource };
    const having = (attributes: Attributes): FilewardRecord => ({
      ...good,
      attributes: { ...good.attributes, ...attributes },
    });
    const cases: [string, FilewardRecord][] = [
      ['fileward.file.seen is not registered', { ...good, event: 'fileward.file.seen' }],
      ['has the severity SEVERITY_NUMBER_INFO', { ...good, severity: 9 }],
      ['has the time 0', { ...good, time: 0n }],
      ['no time is finer than a millisecond', { ...good, time: 1_790_000_000_000_000_000n }],
      ['has the body', { ...good, body: 'two\nlines' }],
      [
        'has file.size of another type than int: {"stringValue":"12"}',
        having({ 'file.size': '12' }),
      ],
      ['has file.inode of another type than string', having({ 'file.inode': 12 })],
      ['has fileward.color, which is not registered for it', having({ 'fileward.color': 'red' })],
      [
        'has fileward.lost.stage, which is not registered for it',
        having({ 'fileward.lost.stage': 'ring' }),
      ],
      ['has fileward.mode = off, which is not in its list', having({ 'fileward.mode': 'off' })],
      [
        'has process.command_args, which nobody asked for',
        having({ 'process.command_args': ['cat'] }),
      ],
      [
        'has fileward.process.origin = pod, which is not in its list',
        having({ 'fileward.process.origin': 'pod' }),
      ],
      ['has no service.instance.id', { ...good, resource: { 'service.name': 'fileward' } }],
      [
        'has event.name, which is deprecated',
        { ...good, resource: { ...resource, 'event.name': 'a' } },
      ],
      ['has rack, which nobody knows', { ...good, resource: { ...resource, rack: '7' } }],
      [
        'has container.image.tags of another type than string[]',
        { ...good, resource: { ...resource, 'container.id': 'c', 'container.image.tags': '1' } },
      ],
    ];
    for (const [problem, record] of cases) {
      it(problem, async () => {
        const problems = problemsOf(await sent('grpc', [record]));
        assert.ok(
          problems.some((each) => each.includes(problem)),
          JSON.stringify(problems),
        );
      });
    }

    it('in metrics', async () => {
      const received = await sent('grpc', []);
      assert.deepEqual(problemsOf(received), []);
      const [ofScope] = received.metrics[0]?.resourceMetrics[0]?.scopeMetrics ?? [];
      for (const metric of ofScope?.metrics ?? []) {
        metric.unit = 'ms';
        for (const point of metric.sum?.dataPoints ?? []) {
          point.attributes = [{ key: 'file.path', value: { stringValue: '/etc/shadow' } }];
        }
      }
      const problems = problemsOf({ ...received, sizes: [5 << 20] });
      for (const problem of [
        'fileward.verdict.duration has the unit ms',
        'fileward.file.events has file.path, which is not registered for it',
        'fileward.file.events has no fileward.event',
        'a request of 5242880 bytes',
      ]) {
        assert.ok(problems.includes(problem), JSON.stringify(problems));
      }
    });
  });
});

/** Metrics and records with their attributes, of which nothing came; of records about the agent only losses count. */
function missingIn(received: Received): string[] {
  const seen = seenIn(received);
  const events = registry.events.filter(
    ({ name }) => !(name in AGENT_EVENT_SEVERITY) || name === 'fileward.record.lost',
  );
  return [...events, ...registry.metrics]
    .filter(({ planned }) => !planned)
    .flatMap((signal) => {
      const name = 'unit' in signal ? `metric ${signal.name}` : signal.name;
      const wanted = signal.attributes.filter(
        ({ planned, level }) => !planned && level !== 'opt_in',
      );
      return [name, ...wanted.map((attribute) => `${name} ${attribute.name}`)];
    })
    .filter((each) => !seen.has(each));
}

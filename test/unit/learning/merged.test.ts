/** Records of many nodes put together: whoever wrote them, and whatever they say. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { noLines, readRecorded } from '../../../src/commands/recorded-events.ts';
import { appKind, offline } from '../../../src/config/machine.ts';
import { MergedPairs } from '../../../src/learning/merged.ts';
import { startMs } from './support.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fileward-merged-'));
after(() => rmSync(folder, { recursive: true }));

function record(given: Readonly<Record<string, unknown>> = {}, timeMs?: number) {
  const attributes = {
    'security_rule.ruleset.name': 'web',
    'security_rule.name': 'conf',
    'process.executable.path': '/usr/sbin/nginx',
    'fileward.operation': 'read',
    'fileward.app.kind': 'binary',
    ...given,
  };
  return { attributes, resource: {}, ...(timeMs !== undefined && { timeMs }) };
}

const kindOfName = (app: string) => appKind(app, offline);

function mergedOf(...records: readonly ReturnType<typeof record>[]) {
  const merged = new MergedPairs(kindOfName);
  for (const each of records) assert.ok(merged.add(each));
  return merged.learned({}).pairs;
}

describe('merged pairs', () => {
  it('have the broader of what records say of an app and what its name does', () => {
    const kinds = ['/bin/busybox', '/usr/bin/python3.11', '/usr/sbin/nginx'].map(
      (app) => mergedOf(record({ 'process.executable.path': app }))[0]?.kind,
    );
    assert.deepEqual(kinds, ['multicall', 'interpreter', 'binary']);
    const several = ['binary', 'multicall', 'binary'].map((kind) =>
      record({ 'fileward.app.kind': kind }),
    );
    assert.equal(mergedOf(...several)[0]?.kind, 'multicall');
  });

  it('are as old as the records that say when', () => {
    const [pair] = mergedOf(record(), record({}, startMs + 5), record({}, startMs));
    assert.deepEqual([pair?.count, pair?.firstMs, pair?.lastMs], [3, startMs, startMs + 5]);
    const [timeless] = mergedOf(record());
    assert.deepEqual([timeless?.firstMs, timeless?.lastMs], [0, 0]);
  });

  it('are one where a package manager ran it on one node and not on another', () => {
    const yaml = 'overrides: [ { apps: { add: [ { package_manager: true } ] } } ]';
    const [pair, ...others] = mergedOf(record(), record({ 'fileward.rule.yaml': yaml }));
    assert.deepEqual([pair?.packageManager !== '', pair?.alsoAlone, others], [true, true, []]);
  });

  it('are bounded, and what is beyond is told as that', () => {
    const merged = new MergedPairs(kindOfName, 1);
    for (const app of ['/a', '/b', '/b', '/a']) {
      assert.ok(merged.add(record({ 'process.executable.path': app })));
    }
    assert.equal(merged.add(record({ 'security_rule.name': '' })), false);
    assert.deepEqual([merged.beyond, merged.learned({}).pairs.length], [2, 1]);
  });

  it('take no time that none can be', async () => {
    const times = ['99999999999999999999999', '-1', 'x', `${startMs}000000`];
    const file = path.join(folder, 'times.jsonl');
    const lines = times.map((timeUnixNano) => {
      const logRecords = [{ timeUnixNano, eventName: 'fileward.rule.learned', attributes: [] }];
      return JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords }] }] });
    });
    writeFileSync(file, lines.join('\n'));
    const told: (number | undefined)[] = [];
    for await (const events of readRecorded(file, noLines())) {
      told.push(...events.map(({ timeMs }) => timeMs));
    }
    assert.deepEqual(told, [undefined, undefined, undefined, startMs]);
  });
});

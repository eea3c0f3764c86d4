/**
 * No wait of the agent for itself: in a root of its own everything that it has is under block rules, with nobody listed
 * that it would be: its program, Node.js and the libraries of both, its configuration, its state, its standard error,
 * and the files that resolving the collector's name reads. Whoever of its threads held up the one that answers would
 * wait for the deadline here, as would every other opener.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Collector } from '../otlp/collector.ts';
import { copyHelper, openInChild } from './children.ts';
import { DebianRoot, whyNoDebian } from './debian-root.ts';
import { Agent } from './harness.ts';
import { guardianOf } from './load/held.ts';
import { OpenLoad, together } from './load/open-load.ts';
import { until } from './load/site.ts';
import { Scratch } from './scratch.ts';

const skip = whyNoDebian() ?? false;
const repository = path.resolve(import.meta.dirname, '../..');
const deadlineMs = 10_000;
const logFile = '/var/log/fileward.log';
let scratch: Scratch;
let debian: DebianRoot;
let collector: Collector;
let agent: Agent;
let listed: string;

/** What the agent has of its own, and a file of each that is opened. */
const own = (): Readonly<Record<string, readonly [pattern: string, file: string]>> => ({
  program: [`${repository}/**`, `${repository}/src/main.ts`],
  node: [process.execPath, process.execPath],
  libraries: ['/usr/lib/**', '/usr/lib/x86_64-linux-gnu/libstdc++.so.6'],
  zones: ['/usr/share/zoneinfo/**', '/usr/share/zoneinfo/UTC'],
  resolver: ['/etc/**', '/etc/hosts'],
  log: ['/var/log/*', logFile],
  // Not the configuration itself: each reload puts another file in its place.
  configuration: [`${scratch.base}/*`, `${scratch.base}/imported.yaml`],
  state: [`${scratch.base}/state/**`, `${scratch.base}/state/outbox.db`],
});

function configuration(): { groups: readonly unknown[] } {
  const rules = Object.entries(own()).map(([name, [pattern]]) => ({
    name,
    path: pattern,
    behavior: 'block',
    // This process reads the log.
    operations: name === 'log' ? ['write'] : ['read', 'write', 'exec'],
    apps: [listed],
  }));
  const document = {
    verdict: { deadline: `${deadlineMs}ms` },
    records: { window: '1s' },
    telemetry: { endpoint: `http://collector.example:${collector.port}` },
    groups: [{ name: 'own', members: { host: true }, mode: 'protect', rules }],
  };
  return document;
}

const logText = (): string => readFileSync(debian.path(logFile), 'utf8');

before(async () => {
  if (skip !== false) return;
  scratch = new Scratch();
  collector = await Collector.start({ protocol: 'grpc' });
  debian = await DebianRoot.make(scratch, { program: 'copied' });
  listed = copyHelper('open_load', scratch.path('listed'));
  debian.write('/etc/hosts', '127.0.0.1 collector.example\n');
  debian.write('/etc/resolv.conf', 'options timeout:1 attempts:1\n');
  debian.write(logFile, '');
  writeFileSync(path.join(scratch.base, 'imported.yaml'), 'version: 1\n');
  assertNothingOfTheMachine();
  agent = await Agent.start(scratch, configuration(), {
    entrance: [...debian.entrance, 'sh', '-c', `exec "$@" 2>>${logFile}`, 'sh'],
    exports: true,
    waitForReady: false,
    protectsItself: true,
    env: { TZ: 'Europe/Zurich', NODE_EXTRA_CA_CERTS: '' },
  });
  await until('ready', () => logText().includes('"msg":"ready"'), 60_000);
});
after(async () => {
  agent?.kill();
  await agent?.exited;
  await collector?.close();
  debian?.remove();
  scratch?.remove();
});

/** Rules are about copies only: below the folders that they name nothing is mounted from outside. */
function assertNothingOfTheMachine(): void {
  const mounts = readFileSync(debian.path('/proc/self/mountinfo'), 'utf8');
  assert.ok(mounts.includes(scratch.base), 'not the table of mounts');
  const places = readFileSync(`${path.dirname(debian.root)}/mountinfo`, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
  const covered = ['/usr', '/etc', '/var', '/lib', repository];
  const foreign = places.filter((place) =>
    covered.some((folder) => place === folder || place.startsWith(`${folder}/`)),
  );
  assert.deepEqual(foreign, []);
}

describe('an agent whose every file is covered', { skip }, () => {
  it('waits for itself nowhere: openers are answered while it reloads, resolves, sends, writes', async () => {
    const files = Object.entries(own())
      .filter(([name]) => name !== 'log')
      .map(([, [, file]]) => file);
    // From outside, where neither the programs nor the libraries are those that are covered.
    const outside = files.map((file) => [
      file.startsWith(scratch.base) ? file : debian.path(file),
      'EPERM' as const,
    ]);
    const inside = files.map((file) => [file, 'ok' as const]);
    const loads = await Promise.all([
      OpenLoad.start({ files: Object.fromEntries(outside), threads: 2, pauseUs: 500 }),
      OpenLoad.start({
        files: Object.fromEntries(inside),
        threads: 2,
        pauseUs: 500,
        app: listed,
        entrance: debian.entrance,
      }),
    ]);
    for (const load of loads) load.go();
    for (let round = 0; round < 3; round++) {
      const { event, body } = await agent.reconfigure(configuration());
      assert.equal(event, 'fileward.policy.loaded', body);
      // A new connection: the name is looked up again.
      const { port } = collector;
      const before = collector.records().length;
      await collector.close();
      collector = await Collector.start({ protocol: 'grpc', port });
      await until(`records after ${before}`, () => collector.records().length > 0, 30_000);
    }
    const waits = together(await Promise.all(loads.map((load) => load.end())));
    assert.equal(waits.wrong, 0, `${waits.wrong} of ${waits.opens} opens: ${waits.firstWrong}`);
    assert.equal(waits.letThrough, 0);
    assert.ok(waits.longestUs < deadlineMs * 1000, `${waits.longestUs} us`);
    assert.ok(waits.denied > 100 && waits.opens - waits.denied > 100, JSON.stringify(waits));
    assert.deepEqual(agent.matching({ attributes: { 'fileward.reason': 'deadline' } }), []);
  });

  it('starts another guardian, which has to open all of that', async () => {
    const first = guardianOf(agent.pid);
    assert.ok(first !== undefined);
    process.kill(first, 'SIGKILL');
    await until('another guardian', () => {
      const guardian = guardianOf(agent.pid);
      return guardian !== undefined && guardian !== first;
    });
    assert.equal(await openInChild(debian.path('/etc/hosts'), 'O_RDONLY'), 'EPERM');
  });

  it('says nothing of its own opens', () => {
    assert.deepEqual(agent.matching({ attributes: { 'process.pid': agent.pid } }), []);
  });

  it('ends in time', async () => {
    assert.deepEqual(await agent.stop(), { code: 0, signal: null });
    assert.match(logText(), /"msg":"stopped"/);
  });
});

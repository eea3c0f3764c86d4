/**
 * Runs inside a kernel under test, started by `init`: the native tests and the test files that it is given, one after
 * the other, and one JSON line about each test on stdout.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeSync } from 'node:fs';
import { release } from 'node:os';
import path from 'node:path';
import { run } from 'node:test';
import { loadNative } from '../../src/native/load.ts';
import type { GuestLine } from './results.ts';
import { survey } from './survey.ts';

const fileTimeoutMs = 900_000;
const began = Date.now();

function tell(line: GuestLine): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}

function runNative(): void {
  const report = '/tmp/native-tests.json';
  const { signal } = spawnSync(
    'build/Release/native_tests',
    [`--gtest_output=json:${report}`, '--gtest_brief=1'],
    { stdio: ['ignore', 2, 2], timeout: fileTimeoutMs, killSignal: 'SIGKILL' },
  );
  if (signal !== null) {
    tell({ file: 'native', name: 'all of them', outcome: 'failed', error: signal });
    return;
  }
  for (const suite of JSON.parse(readFileSync(report, 'utf8')).testsuites) {
    for (const test of suite.testsuite) {
      const failed = test.failures !== undefined;
      const outcome = failed ? 'failed' : test.result === 'SKIPPED' ? 'skipped' : 'passed';
      const error = failed ? { error: JSON.stringify(test.failures) } : {};
      tell({ file: 'native', name: `${suite.name}.${test.name}`, outcome, ...error });
    }
  }
}

async function runFile(file: string): Promise<void> {
  const above: string[] = [];
  const events = run({ files: [path.resolve(file)], concurrency: 1, timeout: fileTimeoutMs });
  for await (const { type, data } of events) {
    if (type === 'test:start') above.length = data.nesting;
    if (type === 'test:start') above.push(data.name);
    if (type === 'test:stderr' || type === 'test:stdout') writeSync(2, data.message);
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const names = [...above.slice(0, data.nesting), data.name];
    const error = type === 'test:fail' ? data.details.error : undefined;
    // A group only says again what its tests said.
    if (data.details.type === 'suite' && !isOwnFailure(error)) continue;
    const skipped = data.skip !== undefined && data.skip !== false;
    tell({
      file,
      name: names.join(' › '),
      outcome: error !== undefined ? 'failed' : skipped ? 'skipped' : 'passed',
      ...(error !== undefined && { error: String(error.cause ?? error.message) }),
    });
  }
}

function isOwnFailure(error: unknown): boolean {
  return error instanceof Error && 'failureType' in error && error.failureType !== 'subtestsFailed';
}

async function surveyAll(): Promise<void> {
  for (const on of ['tmpfs', 'ext4', 'overlay'] as const) {
    try {
      tell({ survey: on, ...(await survey({ on })) });
    } catch (error) {
      tell({ file: 'survey', name: on, outcome: 'failed', error: String(error) });
    }
  }
}

const { features } = loadNative().probe();
const lacks = features.filter(({ available }) => !available).map(({ name }) => name);
tell({ kernel: release(), lacks });
for (const file of process.argv.slice(2)) {
  if (file === 'native') runNative();
  else if (file === 'survey') await surveyAll();
  else await runFile(file);
  tell({ done: file, seconds: Math.round((Date.now() - began) / 1000) });
}

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Problem } from '../config/problem.ts';
import { loadPolicyTests } from '../config/test-file.ts';
import { Failure } from '../control/failure.ts';
import { loadNative } from '../native/load.ts';
import { compile, noCaps } from '../policy/compile.ts';
import { type PolicyTest, type PolicyTestResult, runPolicyTests } from '../policy/policy-tests.ts';
import { describeProblems, loadPolicy } from './load-policy.ts';
import { printable } from '../policy/printable.ts';
import { count, paint, print } from './terminal.ts';

export interface TestOptions {
  readonly config?: string;
  readonly format: 'text' | 'json' | 'junit';
}

/** Status 1 when a test fails, 2 when the tests or the configuration can't be read. */
export async function test(files: readonly string[], options: TestOptions): Promise<number> {
  const { configuration } = await loadPolicy({ config: options.config, offline: true });
  const tests = await loadTests(files.length > 0 ? files : [defaultFile(configuration.file)]);
  const policy = compile(configuration, noCaps);
  const evaluator = loadNative().createEvaluator(policy.json);
  const results = runPolicyTests(tests, configuration, policy, evaluator);
  FORMATS[options.format](results);
  return results.every((result) => result.passed) ? 0 : 1;
}

function defaultFile(configuration: string): string {
  const file = join(dirname(configuration), 'fileward.test.yaml');
  if (!existsSync(file)) {
    throw new Failure(2, `no test file given, and there is no ${file} (see: fileward test --help)`);
  }
  return file;
}

async function loadTests(files: readonly string[]): Promise<PolicyTest[]> {
  const tests: PolicyTest[] = [];
  const problems: Problem[] = [];
  for (const file of files) {
    const result = await loadPolicyTests(file);
    if (result.ok) tests.push(...result.tests);
    else problems.push(...result.problems);
  }
  if (problems.length > 0) throw new Failure(2, describeProblems(problems));
  return tests;
}

const FORMATS: Readonly<
  Record<TestOptions['format'], (results: readonly PolicyTestResult[]) => void>
> = {
  text: printText,
  json: (results) => print(JSON.stringify(results.map(asJson), null, 2)),
  junit: printJunit,
};

function printText(results: readonly PolicyTestResult[]): void {
  for (const { test, passed, failures } of results) {
    print(`${passed ? paint('green', '✓') : paint('red', '✗')} ${printable(test.name)}`);
    if (passed) continue;
    for (const failure of failures) print(`    ${printable(failure)}`);
    print(paint('dim', `    ${place(test)}`));
  }
  const failed = results.filter((result) => !result.passed).length;
  const summary = `${count(results.length, 'test')}, ${failed} failed`;
  print(paint(failed === 0 ? 'green' : 'red', summary));
}

function asJson({ test, passed, failures, verdict, event, reason, rule }: PolicyTestResult) {
  return {
    name: test.name,
    passed,
    failures,
    verdict,
    event,
    reason,
    group: rule?.group ?? null,
    rule: rule?.rule ?? null,
    position: test.position,
  };
}

function printJunit(results: readonly PolicyTestResult[]): void {
  const failed = results.filter((result) => !result.passed).length;
  print('<?xml version="1.0" encoding="UTF-8"?>');
  print(`<testsuites tests="${results.length}" failures="${failed}">`);
  print(`  <testsuite name="fileward" tests="${results.length}" failures="${failed}">`);
  for (const { test, passed, failures } of results) {
    const open = `    <testcase name="${xml(test.name)}" classname="${xml(test.group ?? 'host')}" file="${xml(place(test))}"`;
    if (passed) {
      print(`${open}/>`);
    } else {
      print(`${open}>`);
      print(`      <failure message="${xml(failures.join('; '))}"/>`);
      print('    </testcase>');
    }
  }
  print('  </testsuite>');
  print('</testsuites>');
}

function place({ position }: PolicyTest): string {
  return `${position.file}:${position.line}:${position.column}`;
}

/** XML 1.0 has no way to write most control characters: they are shown as `printable` shows them. */
function xml(text: string): string {
  return printable(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

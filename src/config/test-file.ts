/** Reads policy tests, with every problem at its place. */
import { resolve } from 'node:path';
import type { Workload } from '../policy/members.ts';
import type { PolicyTest } from '../policy/policy-tests.ts';
import { type PolicyTestSource, policyTestsSchema } from '../policy/test-schema.ts';
import { openSource, SourceReader } from './open-source.ts';
import { type Problem, ProblemList } from './problem.ts';
import type { SourceFile } from './source-file.ts';
import { validate } from './validate.ts';

export type PolicyTestsResult =
  | { readonly ok: true; readonly tests: readonly PolicyTest[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

export async function loadPolicyTests(file: string): Promise<PolicyTestsResult> {
  const problems = new ProblemList();
  const source = await openSource(resolve(file), new SourceReader(problems));
  if (source === undefined || !validate(source, policyTestsSchema, problems)) {
    return { ok: false, problems: problems.errors };
  }
  const items = source.value as PolicyTestSource[];
  for (const item of items) checkTest(item, source, problems);
  if (problems.errors.length > 0) return { ok: false, problems: problems.errors };
  const tests = items.map((item, index) => policyTest(item, source.valueAt(items, index)));
  return { ok: true, tests };
}

function checkTest(item: PolicyTestSource, source: SourceFile, problems: ProblemList): void {
  for (const key of ['path', 'app', 'script'] as const) {
    const path = item[key];
    if (path === undefined || path.startsWith('/')) continue;
    problems.error(source.valueAt(item, key), `'${path}' is not an absolute path`);
  }
  if (Object.keys(item.expect).length === 0) {
    const message = "'expect' is empty; give verdict, rule, event or reason";
    problems.error(source.valueAt(item, 'expect'), message);
  }
}

function policyTest(item: PolicyTestSource, position: PolicyTest['position']): PolicyTest {
  const { workload, user, ...rest } = item;
  const given = Object.entries(rest).filter(([, value]) => value !== undefined);
  return {
    ...(Object.fromEntries(given) as Omit<PolicyTest, 'workload' | 'user' | 'position'>),
    ...(workload !== undefined && { workload: workloadOf(workload) }),
    ...(user !== undefined && { user: String(user) }),
    position,
  };
}

function workloadOf(source: NonNullable<PolicyTestSource['workload']>): Workload {
  const { host, labels, kubernetes, ...keys } = source;
  if (host) return { kind: 'host' };
  const { labels: podLabels = labels, ...podKeys } = kubernetes ?? {};
  return {
    kind: 'container',
    container: { keys, ...(labels && { labels }) },
    kubernetes: { keys: podKeys, ...(podLabels && { labels: podLabels }) },
  };
}

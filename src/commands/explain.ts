import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { AgentConnection } from '../control/client.ts';
import { codeOf, Failure, messageOf } from '../control/failure.ts';
import { breakGlass } from '../control/mode-limits.ts';
import type { StatusResult, WorkloadStatus } from '../control/protocol.ts';
import { loadNative } from '../native/load.ts';
import { compile } from '../policy/compile.ts';
import { type Explanation, type ExplainQuery, explain, type Origin } from '../policy/explain.ts';
import { queryFromRecord } from '../policy/record-query.ts';
import type { Operation } from '../policy/ruleset.ts';
import { loadPolicy } from './load-policy.ts';
import { workloadLines } from './workload-lines.ts';
import { printable } from '../policy/printable.ts';
import { columns, paint, print, type Style } from './terminal.ts';

export interface ExplainOptions {
  readonly config?: string;
  readonly app?: string;
  readonly operation?: Operation;
  readonly user?: string;
  readonly origin?: Origin;
  readonly group?: string;
  /** Name or id of a container that the running agent knows, or `host`. */
  readonly workload?: string;
  /** A file with one NDJSON record, `-` for stdin. */
  readonly record?: string;
  readonly json?: boolean;
}

export async function explainCommand(
  path: string | undefined,
  options: ExplainOptions,
): Promise<number> {
  const { workload: wanted } = options;
  const found = wanted === undefined ? undefined : await findWorkload(wanted, options);
  if (found && path === undefined && options.record === undefined) {
    if (options.json) print(JSON.stringify(found.workload, null, 2));
    else for (const line of workloadLines(found.workload)) print(line);
    return 0;
  }
  const query = { ...queryOf(path, options), ...(found && { groups: found.workload.groups }) };
  refuseOtherGroup(query, wanted);
  const config = options.config ?? found?.config;
  const { configuration } = await loadPolicy({ config, offline: true });
  const glass = breakGlass(process.env);
  const policy = compile(configuration, () => (glass ? 'monitor' : undefined));
  const evaluator = loadNative().createEvaluator(policy.json);
  let explanations: Explanation[];
  try {
    explanations = explain(policy, configuration, evaluator, query);
  } catch (error) {
    if (error instanceof RangeError) throw new Failure(2, error.message);
    throw error;
  }
  if (options.json) {
    const answers = explanations.map((each) => ({
      ...asJson(each),
      ...(found && { workload: found.workload }),
    }));
    print(JSON.stringify(answers, null, 2));
    return 0;
  }
  if (found) for (const line of [...workloadLines(found.workload), '']) print(line);
  for (const [i, explanation] of explanations.entries()) {
    if (i > 0) print();
    show(explanation);
  }
  return 0;
}

/**
 * Asks the running agent. Its configuration is the one that the groups are of.
 * @throws Failure 2 when it knows no such workload or several.
 */
async function findWorkload(
  wanted: string,
  { config }: ExplainOptions,
): Promise<{ workload: WorkloadStatus; config: string }> {
  if (wanted === '') throw new Failure(2, '--workload is the name or id of a container, or host');
  using agent = await AgentConnection.open({ config });
  const status = await agent.request({ command: 'status' });
  const { workloads } = status;
  const isExact = ({ kind, container }: WorkloadStatus) =>
    container ? [container.name, container.id].includes(wanted) : wanted === kind;
  const exact = workloads.filter(isExact);
  const byStart = workloads.filter(({ container }) => container?.id.startsWith(wanted));
  const [workload, ...others] = exact.length > 0 ? exact : byStart;
  if (workload && others.length === 0) return { workload, config: status.config };
  throw new Failure(
    2,
    `${workload ? 'several workloads are' : 'no workload is'} '${wanted}'; ${known(status)}`,
  );
}

function known({ workloads }: StatusResult): string {
  const names = workloads.flatMap(({ container }) =>
    container ? [[container.id.slice(0, 12), container.name].filter(Boolean).join(' ')] : [],
  );
  return `there is ${['host', ...names].join(', ')}`;
}

function refuseOtherGroup({ group, groups }: ExplainQuery, workload: string | undefined): void {
  if (group === undefined || groups === undefined || groups.includes(group)) return;
  throw new Failure(2, `'${workload}' is no member of group '${group}'`);
}

/** @throws Failure 2 when it isn't clear what to explain. */
function queryOf(path: string | undefined, options: ExplainOptions): ExplainQuery {
  const { app, operation, user, origin, group, record } = options;
  if ((path === undefined) === (record === undefined)) {
    throw new Failure(
      2,
      'explain takes a PATH or --record FILE, one of the two, or --workload alone (see --help)',
    );
  }
  const given = {
    ...(app !== undefined && { app: resolve(app) }),
    ...(operation !== undefined && { operation }),
    ...(user !== undefined && { user }),
    ...(origin !== undefined && { origin }),
    ...(group !== undefined && { group }),
  };
  if (path !== undefined) return { path: resolve(path), ...given };
  return { ...recordQuery(record ?? '-'), ...given };
}

function recordQuery(file: string): ExplainQuery {
  try {
    const text = readFileSync(file === '-' ? 0 : file, 'utf8');
    return queryFromRecord(JSON.parse(text.split('\n', 1)[0] ?? ''));
  } catch (error) {
    const why = codeOf(error) ?? messageOf(error);
    throw new Failure(
      2,
      `${file === '-' ? 'stdin' : file} is no record that can be explained: ${why}`,
    );
  }
}

const OUTCOME_STYLES: Readonly<Record<Explanation['outcome'], Style>> = {
  not_covered: 'dim',
  quiet: 'green',
  learned: 'magenta',
  accessed: 'blue',
  modified: 'cyan',
  violated: 'yellow',
  denied: 'red',
};

function show(explanation: Explanation): void {
  const { path, operation, outcome, verdict, reason, why, covering, change } = explanation;
  print(
    [
      paint('bold', operation.padEnd(5)),
      paint(verdict === 'deny' ? 'red' : 'green', verdict),
      paint(OUTCOME_STYLES[outcome], outcome.replace('_', ' ')),
      ...(reason ? [paint('dim', `[${reason}]`)] : []),
      printable(path),
    ].join('  '),
  );
  print(`  ${printable(why)}`);
  const rows = covering.map(({ rule, decides, note }) => [
    `  ${decides ? '→' : ' '} ${rule.group}/${rule.rule}`,
    rule.behavior,
    rule.mode,
    `${rule.position.file}:${rule.position.line}`,
    paint('dim', note),
  ]);
  for (const line of columns(rows)) print(line);
  if (!change) return;
  print(`  To allow it, ${printable(change.place)}:`);
  for (const line of change.yaml.trimEnd().split('\n'))
    print(`    ${paint('cyan', printable(line))}`);
}

function asJson({ rule, app, covering, change, ...rest }: Explanation) {
  return {
    ...rest,
    group: rule?.group ?? null,
    rule: rule?.rule ?? null,
    mode: rule?.mode ?? null,
    listed_at: app ? app.position : null,
    covering: covering.map((each) => ({
      group: each.rule.group,
      rule: each.rule.rule,
      decides: each.decides,
      note: each.note,
      position: each.rule.position,
    })),
    change: change ?? null,
  };
}

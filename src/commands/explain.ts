import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { codeOf, Failure, messageOf } from '../control/failure.ts';
import { breakGlass } from '../control/mode-limits.ts';
import { loadNative } from '../native/load.ts';
import { compile } from '../policy/compile.ts';
import {
  type Explanation,
  type ExplainQuery,
  explain,
  queryFromRecord,
} from '../policy/explain.ts';
import type { Operation } from '../policy/ruleset.ts';
import { loadPolicy } from './load-policy.ts';
import { columns, paint, print, printable, type Style } from './terminal.ts';

export interface ExplainOptions {
  readonly config?: string;
  readonly app?: string;
  readonly operation?: Operation;
  readonly user?: string;
  readonly group?: string;
  /** A file with one NDJSON record, `-` for stdin. */
  readonly record?: string;
  readonly json?: boolean;
}

export async function explainCommand(
  path: string | undefined,
  options: ExplainOptions,
): Promise<number> {
  const query = queryOf(path, options);
  const { configuration } = await loadPolicy({ config: options.config, offline: true });
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
    print(JSON.stringify(explanations.map(asJson), null, 2));
    return 0;
  }
  for (const [i, explanation] of explanations.entries()) {
    if (i > 0) print();
    show(explanation);
  }
  return 0;
}

/** @throws Failure 2 when it isn't clear what to explain. */
function queryOf(path: string | undefined, options: ExplainOptions): ExplainQuery {
  const { app, operation, user, group, record } = options;
  if ((path === undefined) === (record === undefined)) {
    throw new Failure(2, 'explain takes a PATH or --record FILE, one of the two (see --help)');
  }
  const given = {
    ...(app !== undefined && { app: resolve(app) }),
    ...(operation !== undefined && { operation }),
    ...(user !== undefined && { user }),
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

import type { Learned, LearnedPair } from '../learning/learned-pair.ts';
import { askLearned, type LearnedChoice } from './learned-source.ts';
import { printable } from '../policy/printable.ts';
import { columns, count, paint, print } from './terminal.ts';

export interface LearnedListOptions extends LearnedChoice {
  readonly json?: boolean;
}

/** One app under one rule, and under one user where that is learned. */
interface Row {
  readonly pair: LearnedPair;
  readonly operations: string[];
  count: number;
  firstMs: number;
  lastMs: number;
  readonly users: Set<string>;
  readonly paths: Set<string>;
  readonly workloads: Set<string>;
  readonly nodes: Set<string>;
  readonly managers: Set<string>;
  /** Without a package manager. */
  alone: boolean;
}

export async function learnedList(options: LearnedListOptions): Promise<number> {
  const learned = await askLearned(options);
  if (options.json) {
    print(JSON.stringify(asJson(rowsOf(learned), learned), null, 2));
    return 0;
  }
  showPairs(learned);
  print();
  print(`${count(learned.pairs.length, 'pair')} of ${count(learned.rules.length, 'rule')}`);
  showFull(learned);
  return 0;
}

function rowsOf({ pairs }: Learned): Row[] {
  const rows = new Map<string, Row>();
  for (const pair of pairs) {
    const { group, rule, app, user, origin } = pair;
    const key = [group, rule, app, user, origin].join('\0');
    let row = rows.get(key);
    if (row === undefined) {
      const { firstMs, lastMs } = pair;
      const sets = {
        users: new Set<string>(),
        paths: new Set<string>(),
        workloads: new Set<string>(),
        nodes: new Set<string>(),
        managers: new Set<string>(),
      };
      row = { pair, operations: [], count: 0, firstMs, lastMs, alone: false, ...sets };
      rows.set(key, row);
    }
    row.operations.push(pair.operation);
    row.count += pair.count;
    if (pair.firstMs > 0) row.firstMs = Math.min(row.firstMs || pair.firstMs, pair.firstMs);
    row.lastMs = Math.max(row.lastMs, pair.lastMs);
    if (pair.packageManager !== '') row.managers.add(pair.packageManager);
    row.alone ||= pair.packageManager === '' || pair.alsoAlone === true;
    for (const name of ['users', 'paths', 'workloads'] as const) {
      for (const text of pair[name]) row[name].add(text);
    }
    for (const node of pair.nodes ?? []) row.nodes.add(node);
  }
  return [...rows.values()].sort((a, b) => nameOf(a).localeCompare(nameOf(b)));
}

function nameOf({ pair: { group, rule, app } }: Row): string {
  return `${group}/${rule} ${app}`;
}

function asJson(rows: readonly Row[], { refusals }: Learned) {
  return {
    pairs: rows.map(({ pair, operations, count, firstMs, lastMs, ...row }) => ({
      group: pair.group,
      rule: pair.rule,
      app: pair.app,
      kind: pair.kind,
      operations,
      ...(pair.user !== '' && { user: pair.user }),
      origin: pair.origin,
      ...(row.managers.size > 0 && {
        package_manager: [...row.managers].join(', '),
        also_alone: row.alone,
      }),
      count,
      first_seen: new Date(firstMs).toISOString(),
      last_seen: new Date(lastMs).toISOString(),
      users: [...row.users],
      paths: [...row.paths],
      workloads: [...row.workloads],
      policy: pair.policy,
      ...(pair.scripts && { scripts: pair.scripts }),
      ...(pair.replaced && { replaced: true }),
    })),
    full: refusals.map(({ group, sinceMs, count }) => ({
      group,
      since: new Date(sinceMs).toISOString(),
      not_learned: count,
    })),
  };
}

/** By rule, for people. */
export function showPairs(learned: Learned): void {
  const rules = Map.groupBy(rowsOf(learned), ({ pair }) => `${pair.group}/${pair.rule}`);
  let first = true;
  for (const [rule, rows] of rules) {
    if (!first) print();
    first = false;
    print(paint('bold', printable(rule)) + goneText(rule, learned));
    for (const [index, line] of columns(rows.map(columnsOf)).entries()) {
      print(line);
      const examples = [...(rows[index]?.paths ?? [])].join(', ');
      print(paint('dim', printable(`    such as ${examples}`)));
    }
  }
}

function columnsOf(row: Row): string[] {
  return [
    `  ${printable(row.pair.app)}`,
    row.operations.join(','),
    `×${row.count}`,
    `${minute(row.firstMs)} to ${minute(row.lastMs)}`,
    notesOf(row),
  ];
}

export function showFull({ refusals }: Learned): void {
  for (const { group, sinceMs, count } of refusals) {
    print(
      paint(
        'yellow',
        `group ${group} is full since ${minute(sinceMs)}: ${count} opens by other programs were not learned`,
      ),
    );
  }
}

function goneText(name: string, { rules }: Learned): string {
  const goneMs = rules.find(({ group, rule }) => `${group}/${rule}` === name)?.goneMs;
  return goneMs === undefined ? '' : `  ${paint('dim', `no such rule since ${minute(goneMs)}`)}`;
}

function notesOf({ pair, users, workloads, nodes, managers, alone }: Row): string {
  const { kind, origin, replaced } = pair;
  const told = (text: string, set: ReadonlySet<string>) =>
    set.size === 0 ? [] : [printable(`${text} ${[...set].join(', ')}`)];
  const odd = (text: string) => [paint('yellow', text)];
  return [
    ...(kind === 'binary' ? [] : odd(kind)),
    ...told('package manager', managers),
    ...(managers.size > 0 && alone ? ['also without it'] : []),
    ...(origin === 'same' ? [] : odd(origin === 'host' ? 'from the host' : 'from elsewhere')),
    ...told('as', users),
    ...told('in', workloads),
    ...(nodes.size === 0 ? [] : [printable(`on ${nodesText([...nodes])}`)]),
    ...(replaced ? odd('ran a file that was replaced') : []),
  ].join('; ');
}

function nodesText(nodes: readonly string[]): string {
  const more = nodes.length > 3 ? ', …' : '';
  return `${count(nodes.length, 'node')}: ${nodes.slice(0, 3).join(', ')}${more}`;
}

function minute(ms: number): string {
  // Records that were merged may say no time.
  if (ms === 0) return 'unknown';
  return new Date(ms).toISOString().slice(0, 16).replace('T', ' ');
}

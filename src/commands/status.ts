import { AgentConnection } from '../control/client.ts';
import { Failure } from '../control/failure.ts';
import { describeTarget } from '../control/pause-target.ts';
import type { LatencyStatus, StatusResult } from '../control/protocol.ts';
import type { AgentOptions } from './agent-options.ts';
import { printable } from '../policy/printable.ts';
import { columns, count, paint, print } from './terminal.ts';
import { workloadRow } from './workload-lines.ts';

export interface StatusOptions extends AgentOptions {
  readonly json?: boolean;
  readonly ready?: boolean;
}

export async function status(options: StatusOptions): Promise<number> {
  const result = await ask(options);
  if (options.ready) {
    for (const reason of result.degraded) print(`degraded: ${printable(reason)}`);
    return result.ready ? 0 : 1;
  }
  if (options.json) {
    print(JSON.stringify(result, null, 2));
  } else {
    show(result);
  }
  return 0;
}

async function ask(options: StatusOptions): Promise<StatusResult> {
  try {
    using agent = await AgentConnection.open(options);
    return await agent.request({ command: 'status' });
  } catch (error) {
    // `--ready` knows three answers only.
    if (options.ready && error instanceof Failure) throw new Failure(3, error.message);
    throw error;
  }
}

function show(result: StatusResult): void {
  const state = result.ready ? paint('green', 'ready') : paint('yellow', 'degraded');
  print(`fileward ${result.version}  ${state}  pid ${result.pid}  since ${result.started}`);
  for (const reason of result.degraded) print(`  ${paint('yellow', '!')} ${printable(reason)}`);
  print();
  const version =
    result.policy.version === '' ? '' : `, version ${printable(result.policy.version)}`;
  const facts: string[][] = [
    ['configuration', printable(result.config)],
    ['policy', `${result.policy.hash.slice(0, 12)}${version}, loaded ${result.policy.loaded}`],
    ['marks', `${result.marks.permission} permission, ${result.marks.notification} notification`],
    [
      'verdicts',
      `${latency('allow', result.verdicts.allow)}; ${latency('deny', result.verdicts.deny)}`,
    ],
    ['guardian', guardianLine(result.guardian)],
    ['itself', selfLine(result)],
    ['records', counters(result.records)],
    ['losses', counters(result.losses)],
    ['export', exportLine(result.export)],
  ];
  if (result.break_glass) facts.push(['break glass', paint('yellow', result.break_glass)]);
  for (const pause of result.pauses) {
    const target = printable(describeTarget(pause));
    facts.push(['paused', `${target} until ${pause.until}: ${printable(pause.reason)}`]);
  }
  if (result.unconfirmed) {
    const { groups, until } = result.unconfirmed;
    facts.push(['unconfirmed', `${groups.join(', ')}, until ${until}: fileward confirm`]);
  }
  for (const moved of result.moved) {
    facts.push(['moved file', `${printable(moved.path)} was ${printable(moved.protected_path)}`]);
  }
  for (const line of columns(facts)) print(line);
  showLedger(result.ledger);
  showWorkloads(result);
  showGroups(result);
}

/** One line a stage: what came in is what went out, was dropped or waits. */
function showLedger(ledger: StatusResult['ledger']): void {
  print();
  const rows = ledger.map((stage) => [
    paint('bold', stage.stage),
    `in ${counters(stage.in)}`,
    `out ${counters(stage.out)}`,
    `dropped ${counters(stage.dropped)}`,
    `waiting ${stage.waiting}`,
    ...(Object.keys(stage.gaps).length === 0
      ? []
      : [paint('yellow', `gaps of unknown size ${counters(stage.gaps)}`)]),
    ...(stage.unaccounted === 0 ? [] : [paint('red', `unaccounted ${stage.unaccounted}`)]),
  ]);
  for (const line of columns(rows)) print(line);
}

/** Containers, those that no group holds by number. */
function showWorkloads({ workloads }: StatusResult): void {
  const containers = workloads.filter(({ kind }) => kind === 'container');
  if (containers.length === 0) return;
  const members = containers.filter(({ groups }) => groups.length > 0);
  print();
  for (const line of columns(members.map(workloadRow))) print(line);
  const others = containers.length - members.length;
  if (others > 0) print(paint('dim', `${count(others, 'container')} in no group`));
}

function showGroups(result: StatusResult): void {
  for (const group of result.groups) {
    const mode =
      group.effective_mode === group.mode
        ? group.mode
        : `${group.mode}, acts as ${group.effective_mode} (${group.why})`;
    print();
    print(`${paint('bold', printable(group.name))}  ${mode}  ${count(group.rules, 'rule')}`);
    const rows = result.rules
      .filter((rule) => rule.group === group.name)
      .map((rule) => [
        `  ${printable(rule.rule)}`,
        rule.behavior,
        rule.mode,
        count(rule.files, 'file'),
        `${rule.quiet.read + rule.quiet.write + rule.quiet.exec} quiet`,
        rule.absent.length > 0 ? paint('dim', `absent: ${printable(rule.absent.join(', '))}`) : '',
      ]);
    for (const line of columns(rows)) print(line);
  }
  for (const gap of result.gaps) {
    const place = gap.rule === undefined ? gap.group : `${gap.group}/${gap.rule}`;
    const where = gap.workload === undefined ? '' : ` in ${printable(gap.workload)}`;
    print(
      `${paint('yellow', 'gap')}  ${place}${where}  ${gap.error_type}: ${printable(gap.detail)}`,
    );
  }
}

function latency(verdict: string, { count, p50_us, p99_us }: LatencyStatus): string {
  const bound = (us: number | null) => (us === null ? 'beyond 250 ms' : `≤ ${us} µs`);
  return count === 0
    ? `${verdict} 0`
    : `${verdict} ${count} (p50 ${bound(p50_us)}, p99 ${bound(p99_us)})`;
}

function guardianLine({ pid, answered, canary, ...others }: StatusResult['guardian']): string {
  const { restarts, own_cgroup: ownCgroup, standing_in: standingIn, deny_table: table } = others;
  const parts = [
    pid === 0 ? paint('red', 'none') : `pid ${pid}`,
    ...(restarts === 0 ? [] : [count(restarts, 'restart')]),
    ...(ownCgroup ? [] : [paint('yellow', "in the agent's cgroup")]),
    ...(standingIn === '' ? [] : [paint('red', `answers instead of the agent: ${standingIn}`)]),
    ...(answered.allowed + answered.denied === 0
      ? []
      : [`answered ${answered.allowed} allow, ${answered.denied} deny`]),
    ...(table.entries === 0 ? [] : [`denies ${count(table.entries, 'file')} on deadline`]),
    latency('canary', canary) + (canary.misses === 0 ? '' : `, ${canary.misses} missed`),
  ];
  return parts.join('; ');
}

/** What of fileward is guarded by the built-in group, in which mode, and who was turned away from its socket. */
function selfLine({ built_in: rules, refused_clients: refused }: StatusResult): string {
  const guards = rules.filter(({ rule }) => rule !== 'canary');
  const parts = guards.map(({ rule, behavior, mode, files }) => {
    const how = behavior === 'watch' ? 'watched' : mode === 'protect' ? 'protected' : mode;
    return `${rule} ${how} (${count(files, 'file')})`;
  });
  if (parts.length === 0) parts.push(paint('yellow', 'not protected: --no-self-protection'));
  if (refused > 0) parts.push(paint('yellow', `${count(refused, 'client')} turned away`));
  return parts.join('; ');
}

/** Where records go, what waits for it, and why. */
function exportLine(status: StatusResult['export']): string {
  const { endpoint, exported, waiting, onDisk, waitingBytes, limitBytes, ...others } = status;
  if (endpoint === '') return 'off';
  const { retries, refused, problem, diskProblem } = others;
  const mebibytes = (bytes: unknown) => (Number(bytes) / (1 << 20)).toFixed(1);
  const parts = [
    `${exported} taken by ${printable(String(endpoint))}`,
    `${waiting} waiting (${onDisk} on disk), ${mebibytes(waitingBytes)} of ${mebibytes(limitBytes)} MiB`,
    ...(refused === 0 ? [] : [`${refused} set aside`]),
    ...(retries === 0 ? [] : [count(Number(retries), 'retry', 'retries')]),
    ...[problem, diskProblem]
      .filter((text) => text !== '')
      .map((text) => paint('yellow', printable(String(text)))),
  ];
  return parts.join('; ');
}

function counters(values: Readonly<Record<string, number | string | boolean>>): string {
  const shown = Object.entries(values).filter(([, value]) => value !== 0 && value !== '');
  return shown.length === 0 ? 'none' : shown.map(([name, value]) => `${name} ${value}`).join(', ');
}

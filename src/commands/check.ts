import { loadConfiguration } from '../config/load.ts';
import { formatProblem, type Problem } from '../config/problem.ts';
import { messageOf } from '../control/failure.ts';
import { breakGlass } from '../control/mode-limits.ts';
import type { FeatureReport, RuleCoverage } from '../native/addon.ts';
import { loadNative } from '../native/load.ts';
import { type CompiledPolicy, compile, type RuleInfo } from '../policy/compile.ts';
import type { AppEntry, Group } from '../policy/document.ts';
import { criteriaText } from '../policy/criteria-text.ts';
import { ruleEnforcement } from './enforcement.ts';
import { printable } from '../policy/printable.ts';
import { columns, count, paint, print } from './terminal.ts';

export interface CheckOptions {
  readonly config?: string;
  readonly offline?: boolean;
}

/** Status 2 when the configuration can't be used. */
export async function check({ config, offline = false }: CheckOptions): Promise<number> {
  const loaded = await loadConfiguration({
    ...(config !== undefined && { file: config }),
    offline,
    // Whose file it is on another machine is told there.
    ...(!offline && process.geteuid?.() === 0 && { trust: 'warn' }),
  });
  if (!loaded.ok) {
    for (const problem of loaded.problems) print(problemLine(problem, paint('red', 'error')));
    print(`${count(loaded.problems.length, 'problem')}: this configuration would not be used`);
    return 2;
  }
  const { configuration, warnings } = loaded;
  const glass = breakGlass(process.env);
  const policy = compile(configuration, () => (glass ? 'monitor' : undefined));
  const coverage = offline ? new Map<number, RuleCoverage>() : inspect(policy);
  const features = probe(offline);
  const { groups } = configuration.document;
  // Thousands of rules in one write.
  process.stdout.cork();
  print(
    `${configuration.file}: ${paint('green', 'valid')}, ${count(groups.length, 'group')}, ` +
      `${count(policy.rules.length, 'rule')}, ${count(warnings.length, 'warning')}`,
  );
  if (glass) print(`${paint('yellow', 'break glass')}: ${glass}, every group acts as monitor`);
  for (const [index, group] of groups.entries()) {
    const rules = policy.rules.filter((rule) => rule.groupIndex === index);
    const onHost = policy.ruleset.groups[index]?.host ?? false;
    showGroup(group, rules.length);
    for (const rule of rules) {
      const found = coverage.get(rule.index);
      showRule(rule, features, found && (onHost ? found : elsewhere(rule, found)));
    }
  }
  if (warnings.length > 0) print();
  for (const warning of warnings) print(problemLine(warning, paint('yellow', 'warning')));
  process.stdout.uncork();
  return 0;
}

/** `FILE:LINE:COL: message`, its kind in front of the message for warnings only: errors stay as the contract has them. */
function problemLine(problem: Problem, kind: string): string {
  if (problem.severity === 'error') return formatProblem(problem);
  const { file, line, column, message } = problem;
  return `${file}:${line}:${column}: ${kind}: ${message}`;
}

/** Offline, and to who may not try, what a kernel can do that can do all. */
function probe(offline: boolean): FeatureReport {
  const able: FeatureReport = {
    features: [],
    missing_capabilities: [],
    can_enforce: true,
    can_watch: true,
  };
  if (offline) return able;
  const report = loadNative().probe();
  if (report.missing_capabilities.length === 0) return report;
  print(
    `${paint('yellow', 'note')}: only root can try what this kernel enforces; shown is what a current one does`,
  );
  return able;
}

/** What the rules find on this disk; nothing when we may not look. */
function inspect(policy: CompiledPolicy): Map<number, RuleCoverage> {
  try {
    const report = loadNative().inspectCoverage(policy.json);
    return new Map(report.rules.map((rule) => [rule.rule_index, rule]));
  } catch (error) {
    print(`${paint('yellow', 'note')}: the files were not looked at: ${messageOf(error)}`);
    return new Map();
  }
}

/** Of a rule that only containers have this disk tells nothing but which of the host's apps are absent. */
function elsewhere({ apps }: RuleInfo, { absent_apps: absent }: RuleCoverage): DiskFacts {
  const ofHost = new Set(apps.filter(({ workload }) => workload === 'host').map(({ exe }) => exe));
  return { absent_apps: absent.filter((pattern) => ofHost.has(pattern)) };
}

function showGroup(group: Group, rules: number): void {
  const labels = Object.entries(group.labels).map(([key, value]) => `${key}=${value}`);
  print();
  print(
    [paint('bold', group.name), group.mode, count(rules, 'rule'), ...labels.map(printable)].join(
      '  ',
    ),
  );
  const members = criteriaText(group.members);
  if (members !== 'host') print(`  ${paint('dim', `members: ${printable(members)}`)}`);
}

/** What this disk says of a rule; no more than the apps where it covers nothing here. */
type DiskFacts = Partial<RuleCoverage> & Pick<RuleCoverage, 'absent_apps'>;

function showRule(rule: RuleInfo, features: FeatureReport, coverage: DiskFacts | undefined): void {
  const { source } = rule;
  const { denied, detected } = ruleEnforcement({ ...rule, strict: source.strict }, features);
  const mode =
    rule.mode === rule.configuredMode ? rule.mode : `${rule.configuredMode}, acts as ${rule.mode}`;
  print(
    `  ${paint('bold', rule.rule)}  ${rule.behavior}  ${rule.operations.join(',')}  ${mode}` +
      `${rule.description ? `  ${paint('dim', printable(rule.description))}` : ''}`,
  );
  const facts: string[][] = [['path', printable(source.regex ?? source.path.join(', '))]];
  if (source.except.length > 0) facts.push(['except', printable(source.except.join(', '))]);
  facts.push(['apps', describeApps(source.apps)]);
  if (coverage) facts.push(...diskLines(coverage));
  for (const line of columns(facts)) print(`    ${line}`);
  print(`    ${paint('red', 'denied')}: ${denied}; ${paint('cyan', 'only detected')}: ${detected}`);
}

function diskLines(coverage: DiskFacts): string[][] {
  const { files, directories, resolved = [], absent = [], absent_apps, degraded = [] } = coverage;
  const lines: string[][] = [];
  if (files !== undefined && directories !== undefined) {
    const folders = count(directories, 'directory', 'directories');
    lines.push(['covers', `${count(files, 'file')}, ${folders}`]);
  }
  for (const { pattern, real } of resolved) {
    lines.push(['resolved', `${printable(pattern)} → ${printable(real)}`]);
  }
  if (absent.length > 0) lines.push(['absent', printable(absent.join(', '))]);
  if (absent_apps.length > 0) lines.push(['absent apps', printable(absent_apps.join(', '))]);
  for (const { error_type, detail } of degraded) {
    lines.push([paint('yellow', 'gap'), `${error_type}: ${printable(detail)}`]);
  }
  return lines;
}

function describeApps(apps: readonly AppEntry[]): string {
  if (apps.length === 0) return 'nobody';
  // Entries of one set are shown as the set.
  return [
    ...new Set(apps.map((app) => (app.set === undefined ? describeApp(app) : `set:${app.set}`))),
  ].join(', ');
}

function describeApp(app: AppEntry): string {
  const conditions = [
    app.script && `script ${app.script}`,
    app.operations && `only ${app.operations.join('+')}`,
    app.user && `user ${app.user}`,
    app.ancestor && `below ${app.ancestor}`,
    app.unit && `unit ${app.unit}`,
    app.sha256 && `sha256 ${app.sha256.slice(0, 12)}…`,
    app.children && 'and its children',
    app.workload === 'host' && 'of the host',
  ].filter((condition) => typeof condition === 'string');
  const name = app.packageManager ? (app.exe ?? 'package managers') : (app.exe ?? 'any app');
  return printable(conditions.length === 0 ? name : `${name} (${conditions.join(', ')})`);
}

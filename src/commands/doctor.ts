import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { breakGlass } from '../control/mode-limits.ts';
import type { FeatureReport } from '../native/addon.ts';
import { loadNative } from '../native/load.ts';
import { findCollector, findRuntimes } from '../workloads/surroundings.ts';
import { enforcementTable } from './enforcement.ts';
import { columns, paint, print } from './terminal.ts';

export interface DoctorOptions {
  readonly json?: boolean;
}

/** Status 0 when rules can be enforced here, 3 when not. */
export async function doctor(options: DoctorOptions): Promise<number> {
  const report = loadNative().probe();
  const collector = await findCollector();
  const facts = {
    kernel: release(),
    architecture: process.arch,
    user: process.getuid?.() === 0 ? 'root' : `uid ${process.getuid?.()}`,
    security_modules: readFile('/sys/kernel/security/lsm') || 'unknown',
    break_glass: breakGlass(process.env) || 'off',
    collector: collector?.endpoint ?? 'none on localhost:4317 or 4318',
    container_runtimes: findRuntimes().map((runtime) => runtime.name),
  };
  const operations = enforcementTable(report);
  if (options.json) {
    print(JSON.stringify({ ...facts, ...report, operations }, null, 2));
  } else {
    show(facts, report, operations);
  }
  return report.can_enforce ? 0 : 3;
}

type Facts = Readonly<Record<string, string | readonly string[]>>;

function show(
  facts: Facts,
  report: FeatureReport,
  operations: ReturnType<typeof enforcementTable>,
): void {
  print(paint('bold', 'Machine'));
  for (const line of columns(
    Object.entries(facts).map(([name, value]) => [
      `  ${name.replaceAll('_', ' ')}`,
      typeof value === 'string' ? value : value.join(', ') || 'none found',
    ]),
  )) {
    print(line);
  }
  print();
  print(paint('bold', 'Privileges'));
  if (report.missing_capabilities.length === 0) {
    print(`  ${paint('green', 'ok')}       every capability the agent needs`);
  } else {
    print(
      `  ${paint('red', 'missing')}  ${report.missing_capabilities.join(', ')}: run as root (sudo)`,
    );
  }
  print();
  print(paint('bold', 'Kernel'));
  for (const line of columns(
    report.features.map((feature) => [
      `  ${feature.available ? paint('green', 'yes') : paint('yellow', 'no')}`,
      feature.name.replaceAll('_', ' '),
      feature.detail,
    ]),
  )) {
    print(line);
  }
  print();
  print(paint('bold', 'What happens to each operation on a file that a rule covers'));
  for (const line of columns(
    operations.map(({ operation, answer, note }) => [
      `  ${paint(ANSWER_STYLES[answer], answer)}`,
      operation,
      note,
    ]),
  )) {
    print(line);
  }
}

const ANSWER_STYLES = { enforced: 'green', detected: 'cyan', neither: 'yellow' } as const;

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

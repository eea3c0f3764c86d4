/** Mixed load for FILEWARD_SOAK_MINUTES (2), and what the agent held meanwhile. Writes its table into docs/endurance.md. */
import type { Held } from '../kernel/load/held.ts';
import { middle, soak } from '../kernel/load/soak.ts';
import { writeTable } from './docs-table.ts';
import { printTable } from './table.ts';

const minutes = Number(process.env['FILEWARD_SOAK_MINUTES'] ?? 2);
const result = await soak({ seconds: minutes * 60, deadlineMs: 100 });
const { waits, samples, counts } = result;

const happened = [
  ['', ''],
  ['minutes', minutes.toFixed(0)],
  ['opens', String(waits.opens)],
  ['of these refused / told so', `${result.denied} / ${result.deniedTold}`],
  ['longest open, ms', (waits.longestUs / 1000).toFixed(1)],
  ['p99 open, ms', (waits.p99Us / 1000).toFixed(2)],
  ['refused wrongly / let through', `${waits.wrong} / ${waits.letThrough}`],
  ['wrong answers in containers', String(result.wrongInside.length)],
  ['saves, renames, folders', `${counts.saves}, ${counts.renames}, ${counts.folders}`],
  ['containers', String(result.containers)],
  ['reloads', String(result.reloads)],
  ['records, of these of a loss', `${result.records}, ${result.lost.length}`],
];
const part = (of: keyof Held): string[] => {
  const at = (from: number, to: number): string => middle(samples, of, from, to).toFixed(0);
  return [at(0, 0.25), at(0.25, 0.5), at(0.5, 0.75), at(0.75, 1), result.after[of].toFixed(0)];
};
const held = [
  ['median of each quarter', '1st', '2nd', '3rd', '4th', 'after'],
  ['memory of the agent, MiB', ...part('memoryMib')],
  ['its descriptors without sockets', ...part('descriptors')],
  ['its marks', ...part('marks')],
  ['its threads', ...part('threads')],
  ['memory of the guardian, MiB', ...part('guardianMib')],
  ['its descriptors', ...part('guardianDescriptors')],
];
printTable(happened);
printTable(held);
if (waits.wrong > 0) console.log(waits.firstWrong);
for (const line of [...result.lost, ...result.wrongInside]) console.log(line);
writeTable('soak', happened);
writeTable('soak-held', held);

/** The same as `learned apply`, from what collectors wrote of many nodes. */
import { appKind, offline } from '../config/machine.ts';
import { Failure } from '../control/failure.ts';
import { MergedPairs } from '../learning/merged.ts';
import { type ApplyOptions, applyLearned } from './learned-apply.ts';
import { showPairs } from './learned-list.ts';
import { loadPolicy } from './load-policy.ts';
import { noLines, readRecorded } from './recorded-events.ts';
import { count, print, printError } from './terminal.ts';

const MOST_TOLD = 100;

/** @throws Failure 2 when a file can't be read or none holds a learned rule. */
export async function learnedMerge(
  files: readonly string[],
  options: ApplyOptions,
): Promise<number> {
  const loaded = await loadPolicy({ config: options.config, offline: true });
  const merged = new MergedPairs((app) => appKind(app, offline));
  const lines = noLines();
  let skipped = 0;
  let records = 0;
  let incomplete = 0;
  const skip = (where: string): void => {
    skipped += 1;
    if (skipped <= MOST_TOLD) printError(`${where}: not a line of records, skipped`);
  };
  for (const file of files) {
    for await (const events of readRecorded(file, lines, skip)) {
      for (const event of events) {
        if (event.event !== 'fileward.rule.learned') continue;
        records += 1;
        if (!merged.add(event)) incomplete += 1;
      }
    }
  }
  if (skipped > MOST_TOLD) printError(`and ${count(skipped - MOST_TOLD, 'more line')}`);
  if (incomplete > 0) {
    printError(`${count(incomplete, 'learned rule')} that lack rule, app or operation, skipped`);
  }
  if (merged.beyond > 0) {
    printError(
      `${count(merged.beyond, 'record')} of pairs beyond the most that are put together, skipped: ` +
        'merge fewer files at a time, or one --group after the other',
    );
  }
  if (records === incomplete) {
    throw new Failure(
      2,
      `no learned rule in ${files.join(', ')}: ${count(lines.lines, 'line')} read`,
    );
  }
  const learned = merged.learned(options);
  showPairs(learned);
  print(`from ${count(merged.nodes.size, 'node')}, ${count(records - incomplete, 'record')}`);
  print();
  return applyLearned(learned, loaded, { ...options, offline: true });
}

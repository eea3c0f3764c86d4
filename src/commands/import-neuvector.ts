import { readNeuvectorFiles } from '../config/neuvector-file.ts';
import { formatProblem, ProblemList } from '../config/problem.ts';
import { Failure } from '../control/failure.ts';
import { loadNative } from '../native/load.ts';
import { type Import, importRules } from '../policy/neuvector/import.ts';
import type { Note } from '../policy/neuvector/note.ts';
import { importedYaml } from '../policy/neuvector/yaml.ts';
import { describeProblems } from './load-policy.ts';
import { count, paint, printError } from './terminal.ts';

/** The configuration goes to stdout, what has no counterpart to stderr. @throws Failure 2 with every problem. */
export async function importNeuvector(files: readonly string[]): Promise<number> {
  const problems = new ProblemList();
  const resources = await readNeuvectorFiles(files, problems);
  const imported = importRules(resources.rules, resources.definitions, loadNative());
  for (const { position, text } of imported.problems) problems.error(position, text);
  if (problems.errors.length > 0) throw new Failure(2, describeProblems(problems.errors));
  const whole: Import = { ...imported, notes: [...resources.notes, ...imported.notes] };
  process.stdout.write(importedYaml(whole, files));
  tell(whole);
  return 0;
}

function tell(imported: Import): void {
  for (const { position, text } of notesOf(imported)) {
    printError(formatProblem({ ...position, message: text, severity: 'warning' }));
  }
  const { groups } = imported;
  const rules = groups.reduce((sum, group) => sum + group.rules.length, 0);
  const notes = notesOf(imported).length;
  const line = `${count(groups.length, 'group')}, ${count(rules, 'rule')}; ${count(notes, 'thing')} to look at, each a comment in the output`;
  printError(paint(notes > 0 ? 'yellow' : 'green', line, process.stderr));
}

function notesOf({ groups, notes }: Import): Note[] {
  return [
    ...notes,
    ...groups.flatMap((group) => [
      ...group.notes,
      ...group.memberNotes,
      ...group.modeNotes,
      ...group.rules.flatMap((rule) => rule.notes),
    ]),
  ];
}

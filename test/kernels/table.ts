/**
 * Writes the tables of docs/kernels.md: what kernels under test said (build/kernels/LINE.ndjson, by .ci/kernels), and the
 * ladder. `table.ts LINE...` for those lines, `--print` only shows the first part, `--ladder` only writes the second.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { everything, type Rung, rungs } from './ladder.ts';
import type { GuestLine, KernelLine, SurveyLine, TestLine } from './results.ts';

const root = path.resolve(import.meta.dirname, '../..');
const page = path.join(root, 'docs/kernels.md');

interface Outcome {
  readonly line: string;
  readonly kernel: KernelLine | undefined;
  readonly surveys: readonly SurveyLine[];
  readonly tests: readonly TestLine[];
  readonly done: number;
}

function read(line: string): Outcome {
  const file = path.join(root, 'build/kernels', `${line}.ndjson`);
  const lines: GuestLine[] = existsSync(file)
    ? readFileSync(file, 'utf8')
        .split(/\r?\n/) // a serial line's ends
        .filter((text) => text.endsWith('}'))
        .map((text) => JSON.parse(text))
    : [];
  return {
    line,
    kernel: lines.find((each): each is KernelLine => 'kernel' in each),
    surveys: lines.filter((each): each is SurveyLine => 'survey' in each),
    tests: lines.filter((each): each is TestLine => 'outcome' in each),
    done: lines.filter((each) => 'done' in each).length,
  };
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const row = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [row(head), row(head.map(() => '---')), ...rows.map(row)];
}

function kernelTable(outcomes: readonly Outcome[]): string[] {
  const rows = outcomes.map(({ kernel, tests, line }) => {
    const count = (outcome: TestLine['outcome']) =>
      String(tests.filter((test) => test.outcome === outcome).length);
    const lacks = kernel === undefined ? 'did not boot' : kernel.lacks.join(', ') || 'nothing';
    const counts = (['passed', 'failed', 'skipped'] as const).map(
      tests.length === 0 ? () => 'not run' : count,
    );
    return [kernel?.kernel ?? line, lacks, ...counts];
  });
  return table(['kernel', 'doctor says no to', 'passed', 'failed', 'skipped'], rows);
}

/** Marks for what the table's head explains. Too slow to prove who it was: that is no matter of the kernel. */
function starred(outcome: string): string {
  return outcome
    .replace(/, without the process \(process_(gone|changed)\)/, '*')
    .replace(', without the process (found_on_rescan)', '†');
}

/** One cell: the same everywhere, or what differs on which file system. */
function cell(surveys: readonly SurveyLine[], operation: string): string {
  const found = surveys.map(
    ({ survey, outcomes }) => [survey, starred(outcomes[operation] ?? '?')] as const,
  );
  const usual = found.find(([on]) => on === 'ext4')?.[1] ?? found[0]?.[1] ?? 'not tried';
  const others = found.filter(([, outcome]) => outcome !== usual);
  return [usual, ...others.map(([on, outcome]) => `${on}: ${outcome}`)].join('; ');
}

function surveyTable(outcomes: readonly Outcome[]): string[] {
  const rows = Object.keys(everything).map((operation) => [
    operation,
    ...outcomes.map(({ surveys }) => cell(surveys, operation)),
  ]);
  return table(['operation', ...outcomes.map(({ line }) => line)], rows);
}

function failures(outcomes: readonly Outcome[]): string[] {
  return outcomes.flatMap(({ line, tests }) =>
    tests
      .filter(({ outcome }) => outcome === 'failed')
      .map(
        ({ file, name, error = '' }) =>
          `* ${line}, ${file}, ${name}: ${error.split('\n')[0]?.slice(0, 200)}`,
      ),
  );
}

function whatTheySay(outcomes: readonly Outcome[]): string[] {
  return outcomes.flatMap(({ line, surveys }) =>
    surveys.flatMap(({ survey, told }) => {
      const texts = told.map((text) => text.replace(/(Not wholly covered: )\S*: /, '$1…: '));
      return [...new Set(texts)].map((text) => `* ${line}, ${survey}: ${text}`);
    }),
  );
}

function ofKernels(lines: readonly string[]): string {
  const outcomes = lines.map(read);
  const failed = failures(outcomes);
  const told = whatTheySay(outcomes);
  return [
    ...kernelTable(outcomes),
    '',
    'On tmpfs, ext4 and overlayfs, by an app that is not listed. †: found by looking again, `found_on_rescan`, without the',
    'process. *: `process_changed` or `process_gone` instead of the process; the emulated machine was too slow to prove who',
    'it was.',
    '',
    ...surveyTable(outcomes),
    ...(told.length === 0 ? [] : ['', 'What the agents said of it:', '', ...told]),
    ...(failed.length === 0 ? [] : ['', 'Failed:', '', ...failed]),
  ].join('\n');
}

function rungRow({ without, since, differs, told, costs }: Rung): string[] {
  const changes = Object.entries(differs).map(([operation, outcome]) => `${operation}: ${outcome}`);
  return [
    without.map((name) => `\`${name}\``).join(', '),
    since,
    changes.join('; ') || costs || 'nothing',
    told ?? '',
  ];
}

/** The second part of the page; held current by the ladder's test. */
export function ladderSection(): string {
  return table(['without', 'Linux since', 'differs', 'the agent says'], rungs.map(rungRow)).join(
    '\n',
  );
}

/** Text between the comments `<!-- NAME: begin -->` and `<!-- NAME: end -->`. */
export function sectionOf(text: string, name: string): string {
  const [, section = ''] = new RegExp(
    `<!-- ${name}: begin -->\n\n([^]*?)\n\n<!-- ${name}: end -->`,
  ).exec(text) ?? [undefined, undefined];
  return section;
}

function put(name: string, section: string): void {
  const text = readFileSync(page, 'utf8');
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [before = '', rest = ''] = text.split(begin);
  const [, after = ''] = rest.split(end);
  writeFileSync(page, `${before}${begin}\n\n${section}\n\n${end}${after}`);
}

if (import.meta.main) {
  const words = process.argv.slice(2);
  const lines = words.filter((word) => !word.startsWith('--'));
  if (words.includes('--print')) {
    console.log(ofKernels(lines));
  } else {
    if (!words.includes('--ladder')) put('kernels', ofKernels(lines));
    put('ladder', ladderSection());
  }
}

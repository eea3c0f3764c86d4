/** Writes what was learned into the main configuration file: shows the difference, asks, validates, replaces the file. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import type { Loaded } from '../agent.ts';
import { isCode } from '../config/code-file.ts';
import { loadConfiguration } from '../config/load.ts';
import { codeOf, Failure, messageOf } from '../control/failure.ts';
import { type Candidate, makeCandidate } from '../learning/candidate.ts';
import { NotEditable } from '../learning/config-edit.ts';
import type { Learned } from '../learning/learned-pair.ts';
import { Listing } from '../learning/listing.ts';
import { type LeftOut, propose, type Proposal } from '../learning/proposal.ts';
import { checkReplaceable, NotWritable, replaceFile } from '../learning/replace-file.ts';
import { unifiedDiff } from '../learning/unified-diff.ts';
import { loadNative } from '../native/load.ts';
import { compile, noCaps } from '../policy/compile.ts';
import { exportLines, type ProposalChoice } from './learned-export.ts';
import { showFull } from './learned-list.ts';
import { askLearned } from './learned-source.ts';
import { describeProblems, loadPolicy } from './load-policy.ts';
import { printable } from '../policy/printable.ts';
import { columns, count, paint, print, printError } from './terminal.ts';

export interface ApplyOptions extends ProposalChoice {
  readonly yes?: boolean;
}

export async function learnedApply(options: ApplyOptions): Promise<number> {
  const learned = await askLearned(options);
  // A configuration for another machine may name what this one lacks: then only its text is checked.
  const file = options.config;
  const here = await loadConfiguration(file === undefined ? {} : { file });
  const offline = !here.ok;
  const loaded = here.ok ? here : await loadPolicy({ config: file, offline });
  return applyLearned(learned, loaded, { ...options, offline });
}

/** Status 1 when there was something to write and it was not written. */
export async function applyLearned(
  learned: Learned,
  { configuration }: Loaded,
  options: ApplyOptions & { readonly offline: boolean },
): Promise<number> {
  const { file } = configuration;
  const choice = { allowBroad: options.allowBroad ?? false, widen: options.widen ?? false };
  const createEvaluator = loadNative().createEvaluator;
  const refuse = (why: string): never => {
    const listing = new Listing(compile(configuration, noCaps), createEvaluator);
    const proposal = propose(learned, listing, choice);
    if (proposal.rules.length > 0) {
      print(`# to be put into ${file} by hand:`);
      for (const line of exportLines(proposal)) print(line);
    }
    throw new Failure(2, `${file} can not be changed: ${why}`);
  };
  if (isCode(file)) refuse('it is a program');
  const text = readFileSync(file, 'utf8');
  const candidate = await makeCandidate(configuration, text, learned, choice, {
    load: (edited) =>
      loadConfiguration({ file, offline: options.offline, instead: new Map([[file, edited]]) }),
    listing: (policy) => new Listing(policy, createEvaluator),
    describe: describeProblems,
  }).catch((error: unknown) =>
    error instanceof NotEditable ? refuse(error.message) : Promise.reject(error),
  );
  for (const warning of candidate.proposal.warnings) {
    printError(`${paint('yellow', 'warning', process.stderr)}: ${printable(warning)}`);
  }
  const written = await offer(file, text, candidate, options.yes === true, refuse);
  showRest(candidate.proposal, learned, choice.widen);
  return written ? 0 : 1;
}

/** True when the file holds it, or held it before. */
async function offer(
  file: string,
  text: string,
  candidate: Candidate,
  yes: boolean,
  refuse: (why: string) => never,
): Promise<boolean> {
  const entries = candidate.proposal.rules.reduce((sum, each) => sum + each.entries.length, 0);
  if (entries === 0) {
    print(`nothing to add to ${file}: ${listedText(candidate.proposal)}`);
    return true;
  }
  showDifference(unifiedDiff(file, text, candidate.text));
  try {
    checkReplaceable(file);
    if (!yes && !(await isWanted(file))) return false;
    replaceFile(file, text, candidate.text);
  } catch (error) {
    if (error instanceof NotWritable) refuse(error.message);
    if (codeOf(error) === undefined) throw error;
    throw new Failure(3, `${file} can not be written: ${messageOf(error)}`);
  }
  print(
    `${count(entries, 'entry', 'entries')} added to ${file}; a running agent takes it up by itself`,
  );
  return true;
}

function listedText({ listed, leftOut }: Proposal): string {
  if (listed > 0) return `${count(listed, 'pair is', 'pairs are')} listed already`;
  return leftOut.length > 0
    ? 'nothing that was learned can be listed as it is'
    : 'nothing was learned';
}

function showDifference(lines: readonly string[]): void {
  for (const line of lines) {
    const style = line.startsWith('@@') ? 'cyan' : line.startsWith('-') ? 'red' : 'green';
    print(line.startsWith(' ') ? printable(line) : paint(style, printable(line)));
  }
}

async function isWanted(file: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    printError(`nothing was written: this is no terminal to ask on; --yes writes it`);
    return false;
  }
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    const answer = await terminal.question(`Write this to ${printable(file)}? [y/N] `);
    if (/^y(es)?$/i.test(answer.trim())) return true;
    print('nothing was written');
    return false;
  } finally {
    terminal.close();
  }
}

/** What was learned and is still not listed: protect would deny it. */
function showRest({ leftOut, widenings }: Proposal, learned: Learned, widened: boolean): void {
  for (const { group, rule, glob, examples } of widened ? [] : widenings) {
    const some = examples.slice(0, 5).join(', ') + (examples.length > 5 ? ', …' : '');
    print(
      printable(
        `${group}/${rule}: a part of these paths looks random: ${some}; --widen lists ${glob} instead`,
      ),
    );
  }
  showLeftOut(
    'not listed, and protect would deny it:',
    'red',
    leftOut.filter(({ denied }) => denied),
  );
  showLeftOut(
    'not listed:',
    'yellow',
    leftOut.filter(({ denied }) => !denied),
  );
  showFull(learned);
}

function showLeftOut(heading: string, style: 'red' | 'yellow', leftOut: readonly LeftOut[]): void {
  if (leftOut.length === 0) return;
  print(paint(style, heading));
  const rows = leftOut.map(({ pair, why }) => [
    `  ${pair.group}/${pair.rule}`,
    printable(pair.app),
    pair.operation,
    `×${pair.count}`,
    printable(`${why}; such as ${pair.paths[0] ?? 'unknown'}`),
  ]);
  for (const line of columns(rows)) print(line);
}

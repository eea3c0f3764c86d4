import { loadNative } from '../native/load.ts';
import type { LearnedPair } from '../learning/learned-pair.ts';
import { Listing } from '../learning/listing.ts';
import { propose, type Proposal, type RuleProposal } from '../learning/proposal.ts';
import { compile, noCaps } from '../policy/compile.ts';
import { appEntryYaml } from '../policy/snippet.ts';
import { askLearned, type LearnedChoice } from './learned-source.ts';
import { loadPolicy } from './load-policy.ts';
import { printable } from '../policy/printable.ts';
import { print } from './terminal.ts';

export interface ProposalChoice extends LearnedChoice {
  readonly allowBroad?: boolean;
  readonly widen?: boolean;
}

/** Overrides to paste; what is not proposed stands beside them as comments. */
export async function learnedExport(options: ProposalChoice): Promise<number> {
  const learned = await askLearned(options);
  const { configuration } = await loadPolicy({ config: options.config, offline: true });
  const listing = new Listing(compile(configuration, noCaps), loadNative().createEvaluator);
  const { allowBroad = false, widen = false } = options;
  for (const line of exportLines(propose(learned, listing, { allowBroad, widen }))) {
    print(line);
  }
  return 0;
}

export function exportLines(proposal: Proposal): string[] {
  const { rules, leftOut, widenings, warnings } = proposal;
  return [
    rules.length === 0 ? 'overrides: []' : 'overrides:',
    ...rules.flatMap(ruleLines),
    ...warnings.map((warning) => comment(warning)),
    ...widenings.map(({ group, rule, glob, examples }) =>
      comment(`${group}/${rule}: --widen lists ${glob} for ${examples.join(', ')}`),
    ),
    ...leftOut.map(({ pair, why }) =>
      comment(`${pair.group}/${pair.rule}: not listed: ${pair.app} ${pair.operation}: ${why}`),
    ),
  ];
}

function ruleLines({ rule, entries, pairs }: RuleProposal): string[] {
  return [
    `  - rule: ${rule.group}/${rule.rule}`,
    '    apps:',
    '      add:',
    ...entries.map((entry) => {
      return `        - ${appEntryYaml(entry)}  ${comment(evidenceOf(pairs.get(entry) ?? []))}`;
    }),
  ];
}

function evidenceOf(pairs: readonly LearnedPair[]): string {
  const times = pairs.reduce((sum, { count }) => sum + count, 0);
  const last = pairs.reduce((latest, { lastMs }) => Math.max(latest, lastMs), 0);
  const where = new Set(pairs.flatMap(({ workloads, nodes = [] }) => [...workloads, ...nodes]));
  const on = where.size === 0 ? '' : `, ${[...where].slice(0, 3).join(', ')}`;
  const when = last === 0 ? '' : `, last ${new Date(last).toISOString().slice(0, 16)}Z`;
  return `×${times}${when}${on}`;
}

function comment(text: string): string {
  return `# ${printable(text)}`;
}

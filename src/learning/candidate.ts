/**
 * The text of a configuration with what was learned in it: proposed, written into the text, validated by the loader, and
 * held to what it is for: what was to be listed is, and nothing else has changed.
 */
import { isDeepStrictEqual } from 'node:util';
import type { LoadResult } from '../config/load.ts';
import { type CompiledPolicy, compile, noCaps } from '../policy/compile.ts';
import type { Configuration } from '../policy/document.ts';
import { addApps, NotEditable } from './config-edit.ts';
import type { Learned, LearnedPair } from './learned-pair.ts';
import type { Listing } from './listing.ts';
import { host, isMember } from '../policy/members.ts';
import { appItem, type SnippetApp } from '../policy/snippet.ts';
import { type Proposal, type ProposalOptions, propose } from './proposal.ts';

export interface CandidateTools {
  /** The configuration with this text for its main file. */
  readonly load: (text: string) => Promise<LoadResult>;
  readonly listing: (policy: CompiledPolicy) => Listing;
  readonly describe: (problems: Extract<LoadResult, { ok: false }>['problems']) => string;
}

export interface Candidate {
  readonly proposal: Proposal;
  /** As the file is to be; the old text when there is nothing to add. */
  readonly text: string;
}

/** @throws NotEditable when the text can't be changed so that it says what was proposed. */
export async function makeCandidate(
  configuration: Configuration,
  text: string,
  learned: Learned,
  options: ProposalOptions,
  tools: CandidateTools,
): Promise<Candidate> {
  let proposal = propose(learned, tools.listing(compile(configuration, noCaps)), options);
  let byOverride: ReadonlySet<string> = new Set();
  for (;;) {
    if (proposal.rules.length === 0) return { proposal, text };
    const rules = proposal.rules.map(({ rule: { group, rule }, entries }) => {
      return { group, rule, entries, byOverride: byOverride.has(`${group}/${rule}`) };
    });
    const edited = addApps(configuration.file, text, rules);
    const result = await tools.load(edited);
    if (!result.ok) {
      const unfit = await unfitEntries(proposal, configuration, tools);
      if (unfit.size === 0) throw new NotEditable(tools.describe(result.problems));
      proposal = without(proposal, unfit);
      continue;
    }
    if (!isSameButApps(configuration, result.configuration)) {
      throw new NotEditable('more than the apps of rules would change');
    }
    const missed = unlisted(proposal.meant, tools.listing(compile(result.configuration, noCaps)));
    if (missed.length === 0) return { proposal, text: edited };
    // Where an override says what a rule's list is, the rule's own list says nothing.
    const names = new Set(missed.map(({ group, rule }) => `${group}/${rule}`));
    if (names.isSubsetOf(byOverride)) {
      throw new NotEditable(`${[...names].join(', ')} would not list what was added`);
    }
    byOverride = byOverride.union(names);
  }
}

/** Entries that the loader takes in no rule, such as one for a user who has gone since: why. Asked of all at once, a line each. */
async function unfitEntries(
  { rules }: Proposal,
  { file, document }: Configuration,
  { load }: CandidateTools,
): Promise<Map<SnippetApp, string>> {
  const lines: string[] = ['{ "version": 1, "groups": ['];
  const entryAt = new Map<number, SnippetApp>();
  for (const [index, { rule, entries }] of rules.entries()) {
    const { members: criteria = [] } =
      document.groups.find(({ name }) => name === rule.group) ?? {};
    const members = isMember(criteria, host) ? { host: true } : { container: {} };
    const { behavior, operations } = rule;
    const group = JSON.stringify({ name: `check${index}`, members });
    const head = JSON.stringify({ name: 'check', path: '/check', behavior, operations });
    lines.push(`${group.slice(0, -1)}, "rules": [ ${head.slice(0, -1)}, "apps": [`);
    for (const [at, entry] of entries.entries()) {
      const comma = at === entries.length - 1 ? '' : ',';
      entryAt.set(lines.push(JSON.stringify(appItem(entry)) + comma), entry);
    }
    lines.push(`] } ] }${index === rules.length - 1 ? '' : ','}`);
  }
  const result = await load([...lines, '] }', ''].join('\n'));
  const unfit = new Map<SnippetApp, string>();
  for (const problem of result.ok ? [] : result.problems) {
    const entry = problem.file === file ? entryAt.get(problem.line) : undefined;
    if (entry !== undefined) unfit.set(entry, problem.message);
  }
  return unfit;
}

function without(proposal: Proposal, unfit: ReadonlyMap<SnippetApp, string>): Proposal {
  const leftOut = proposal.rules.flatMap(({ rule, pairs }) =>
    [...unfit].flatMap(([entry, why]) =>
      (pairs.get(entry) ?? []).map((pair) => ({ pair, why, denied: rule.behavior === 'block' })),
    ),
  );
  const gone = new Set(leftOut.map(({ pair }) => pair));
  return {
    ...proposal,
    rules: proposal.rules
      .map((each) => ({ ...each, entries: each.entries.filter((entry) => !unfit.has(entry)) }))
      .filter(({ entries }) => entries.length > 0),
    leftOut: [...proposal.leftOut, ...leftOut],
    meant: proposal.meant.filter((pair) => !gone.has(pair)),
  };
}

function unlisted(pairs: readonly LearnedPair[], listing: Listing): LearnedPair[] {
  return pairs.filter((pair) => {
    const rule = listing.ruleOf(pair);
    return rule?.operations.includes(pair.operation) && !listing.lists(rule, pair);
  });
}

function isSameButApps(a: Configuration, b: Configuration): boolean {
  return isDeepStrictEqual(withoutApps(a), withoutApps(b));
}

function withoutApps(configuration: Configuration): unknown {
  return JSON.parse(
    JSON.stringify(configuration, (key, value) =>
      key === 'apps' || key === 'position' ? undefined : value,
    ),
  );
}

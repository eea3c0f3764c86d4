/** Learned pairs, and what sees them, for tests. */
import type { RuleInfo } from '../../../src/policy/compile.ts';
import { LearnedBook, type LearnedBookOptions } from '../../../src/learning/learned-book.ts';
import type { Learned, LearnedPair, Refusal } from '../../../src/learning/learned-pair.ts';
import { ruleFingerprint } from '../../../src/learning/fingerprint.ts';
import type { Group, Rule } from '../../../src/policy/document.ts';
import type { Sighting } from '../../../src/records/learned.ts';
import { configurationOf, rule } from '../records/support.ts';

export const nothing: Learned = { rules: [], pairs: [], refusals: [] };
export const startMs = Date.UTC(2026, 10, 21);

export function groupOf(name: string, rules: readonly Rule[]): Group {
  const [group] = configurationOf(rules, { mode: 'discover' }).document.groups;
  if (group === undefined) throw new Error('no group');
  return { ...group, name };
}

export function sighting(source: Rule, given: Partial<Sighting> = {}, group = 'host'): Sighting {
  const { behavior, operations } = source;
  return {
    // What the book asks of a rule.
    rule: { group, rule: source.name, behavior, operations, source } as RuleInfo,
    app: '/usr/bin/cat',
    operation: 'read',
    userName: 'root',
    origin: 'same',
    ancestors: [],
    pid: 1,
    path: '/srv/data/a',
    timeNs: BigInt(startMs) * 1_000_000n,
    ...given,
  };
}

export interface BookUnderTest {
  readonly book: LearnedBook;
  readonly full: Refusal[];
  readonly room: string[];
}

export function bookUnderTest(
  learned: Learned = nothing,
  options: Partial<LearnedBookOptions> = {},
): BookUnderTest {
  const full: Refusal[] = [];
  const room: string[] = [];
  const book = new LearnedBook({
    learned,
    appKind: (path) => (path.endsWith('/sh') ? 'interpreter' : 'binary'),
    exeNames: () => 1,
    onFull: (refusal) => full.push(refusal),
    onRoom: ({ group }) => room.push(group),
    ...options,
  });
  return { book, full, room };
}

/** All that a book holds, as the store would give it back. */
export function allOf(book: LearnedBook): Learned {
  const pairs: LearnedPair[] = [];
  for (let after = 0; ; ) {
    const page = book.page(after);
    pairs.push(...page.pairs);
    if (page.next === undefined) return { ...page, pairs };
    after = page.next;
  }
}

export function pairOf(source: Rule, given: Partial<LearnedPair> = {}): LearnedPair {
  return {
    id: 1,
    group: 'host',
    rule: source.name,
    app: '/usr/bin/cat',
    operation: 'read',
    user: '',
    origin: 'same',
    packageManager: '',
    kind: 'binary',
    count: 1,
    firstMs: startMs,
    lastMs: startMs,
    users: ['root'],
    paths: ['/srv/data/a'],
    workloads: [],
    policy: '3f2c1ab',
    fingerprint: ruleFingerprint(source),
    ...given,
  };
}

export { rule };

/**
 * What a configuration means, once more and as plainly as possible: from sections 2 and 3 of the contract, from a file's
 * keys to the answer, without a look at the compiler and the native evaluator that it is compared with. Slow on purpose.
 *
 * Not here, because nothing is on disk: identities, links, what can't be proven of an open.
 */

export type Operation = 'read' | 'write' | 'exec';

export interface AppMap {
  readonly exe?: string;
  readonly script?: string;
  readonly operations?: readonly Operation[];
  readonly user?: string | number;
  readonly ancestor?: string;
  readonly unit?: string;
  readonly sha256?: string;
  readonly children?: boolean;
  readonly workload?: 'same' | 'host';
  readonly package_manager?: boolean;
}

export interface RuleMap {
  readonly name: string;
  readonly path?: string | readonly string[];
  readonly regex?: string;
  readonly except?: readonly string[];
  readonly behavior: 'watch' | 'block';
  readonly operations?: readonly Operation[];
  readonly apps?: readonly (string | AppMap)[];
  readonly mode?: 'discover' | 'monitor' | 'protect';
  readonly changes?: 'report' | 'quiet';
  readonly runtime?: boolean;
  readonly enabled?: boolean;
}

export interface GroupMap {
  readonly name: string;
  readonly members: { readonly host: true } | { readonly container: { readonly name: string } };
  readonly mode?: 'discover' | 'monitor' | 'protect';
  readonly rules: readonly RuleMap[];
}

export interface ConfigurationMap {
  readonly version: 1;
  readonly sets?: Readonly<Record<string, readonly (string | AppMap)[]>>;
  readonly groups: readonly GroupMap[];
}

export interface Question {
  /** The file's covered names. */
  readonly paths: readonly string[];
  readonly operation: Operation;
  /** `change`: one that has no gate. */
  readonly gate: 'open' | 'change';
  /** Whose rules: the host's, or those of the container named `box`. */
  readonly of: 'host' | 'box';
  /** Whose process it is, where the rules are the container's. */
  readonly origin: 'same' | 'host' | 'container';
  readonly app: string;
  readonly script?: string;
  readonly user?: string;
  readonly unit?: string;
  readonly sha256?: string;
  /** Nearest first; `unknown`: the chain was not seen. */
  readonly ancestors: readonly string[] | 'unknown';
}

/** `not_covered` < `quiet` < … as section 2 orders them. */
const strictness = [
  'not_covered',
  'quiet',
  'learned',
  'accessed',
  'modified',
  'violated',
  'denied',
] as const;
export type Outcome = (typeof strictness)[number];

export interface Judgement {
  readonly outcome: Outcome;
  readonly verdict: 'allow' | 'deny';
  /** `GROUP/RULE`; '' where nothing covers. */
  readonly rule: string;
  readonly reason: string;
}

/** Who is a package manager and who a container runtime, of those that questions name. */
export const managers: readonly string[] = ['/usr/bin/dpkg', '/sbin/apk'];
export const managerScripts: readonly string[] = ['/usr/bin/dnf'];
export const runtimes: readonly string[] = ['/usr/bin/runc', '/usr/bin/containerd-shim-runc-v2'];

/**
 * The answers that are right: one, but where `block` and `watch` rules together cover an open for write. That has two
 * answers, of the open and of the change that follows, and the contract leaves open which of them a question gets.
 */
export function judge(
  configuration: ConfigurationMap,
  question: Question,
  cap?: 'monitor',
): Judgement[] {
  const { of, paths, operation, gate } = question;
  const groups = configuration.groups.filter(({ members }) =>
    of === 'host' ? 'host' in members : 'container' in members,
  );
  const deciding = paths.flatMap((path) =>
    groups.flatMap((group) => {
      const rule = group.rules.find((each) => decides(each, path, operation));
      return rule ? [{ group, rule }] : [];
    }),
  );
  const order = configuration.groups.flatMap((group) => group.rules);
  // The strictest; of ties whoever comes first in the configuration.
  const judgements = deciding
    .toSorted((a, b) => order.indexOf(a.rule) - order.indexOf(b.rule))
    .map(({ group, rule }) => judgeRule(configuration, group, rule, question, cap))
    .toSorted((a, b) => strictness.indexOf(b.outcome) - strictness.indexOf(a.outcome));
  const first = (behavior: 'block' | 'watch') =>
    judgements.find((each) =>
      deciding.some(
        ({ group, rule }) =>
          rule.behavior === behavior && each.rule === `${group.name}/${rule.name}`,
      ),
    );
  const [strictest = notCovered] = judgements;
  if (gate === 'change' || operation !== 'write') return [strictest];
  const both = [first('block'), first('watch')].filter(
    (each) => each?.verdict === strictest.verdict,
  );
  return [strictest, ...both.filter((each) => each !== undefined)];
}

const notCovered: Judgement = { outcome: 'not_covered', verdict: 'allow', rule: '', reason: '' };

function decides(rule: RuleMap, path: string, operation: Operation): boolean {
  if (rule.enabled === false || !operationsOf(rule).includes(operation)) return false;
  if ((rule.except ?? []).some((glob) => matches(glob, path))) return false;
  if (rule.regex !== undefined) return new RegExp(`^(?:${rule.regex})$`, 'su').test(path);
  return [rule.path ?? []].flat().some((glob) => matches(glob, path));
}

function operationsOf(rule: RuleMap): readonly Operation[] {
  return rule.operations ?? (rule.behavior === 'block' ? ['read', 'write', 'exec'] : ['write']);
}

function judgeRule(
  configuration: ConfigurationMap,
  group: GroupMap,
  rule: RuleMap,
  question: Question,
  cap: 'monitor' | undefined,
): Judgement {
  const configured = rule.mode ?? group.mode ?? 'monitor';
  const mode = configured === 'protect' && cap ? cap : configured;
  const listing = listingOf(configuration, rule, question);
  const outcome = outcomeOf(rule, mode, listing === 'listed', question);
  const told = outcome !== 'quiet' && outcome !== 'modified';
  const reason = question.gate === 'change' ? 'not_enforceable' : listing;
  return {
    outcome,
    verdict: outcome === 'denied' ? 'deny' : 'allow',
    rule: `${group.name}/${rule.name}`,
    reason: told ? reason : '',
  };
}

/** The table of section 2. A `watch` rule tells of an open for write when the change comes: that is what it answers. */
function outcomeOf(
  rule: RuleMap,
  mode: 'discover' | 'monitor' | 'protect',
  listed: boolean,
  { gate, operation }: Question,
): Outcome {
  const isChange = gate === 'change' || (rule.behavior === 'watch' && operation === 'write');
  if (isChange && listed) {
    const changes = rule.changes ?? (rule.behavior === 'block' ? 'report' : 'quiet');
    return changes === 'report' ? 'modified' : 'quiet';
  }
  if (listed) return 'quiet';
  if (rule.behavior === 'watch') return isChange ? 'modified' : 'accessed';
  if (isChange) return mode === 'discover' ? 'modified' : 'violated';
  return { discover: 'learned', monitor: 'violated', protect: 'denied' }[mode] as Outcome;
}

function listingOf(
  configuration: ConfigurationMap,
  rule: RuleMap,
  question: Question,
): 'listed' | 'app_not_listed' | 'ancestry_unknown' {
  const entries = (rule.apps ?? []).flatMap((entry) => expand(configuration, entry));
  const answers = entries
    .filter(({ operations }) => (operations ?? operationsOf(rule)).includes(question.operation))
    .map((entry) => lists(entry, question));
  if (answers.includes('yes') || isRuntimeStart(rule, question)) return 'listed';
  return answers.includes('unknown') ? 'ancestry_unknown' : 'app_not_listed';
}

function expand(configuration: ConfigurationMap, entry: string | AppMap): AppMap[] {
  if (typeof entry !== 'string') return [entry];
  if (!entry.startsWith('set:')) return [{ exe: entry }];
  const set = configuration.sets?.[entry.slice(4)] ?? [];
  return set.flatMap((each) => expand(configuration, each));
}

type Answer = 'yes' | 'no' | 'unknown';

/** All keys that are given must hold. */
function lists(entry: AppMap, question: Question): Answer {
  const { ancestors } = question;
  const below = (test: (path: string) => boolean): Answer => {
    if (ancestors === 'unknown') return 'unknown';
    return ancestors.some(test) ? 'yes' : 'no';
  };
  const is = (holds: boolean): Answer => (holds ? 'yes' : 'no');
  const either = (a: Answer, b: Answer): Answer =>
    a === 'yes' || b === 'yes' ? 'yes' : a === 'unknown' || b === 'unknown' ? 'unknown' : 'no';
  const { exe, script, ancestor } = entry;
  const answers: Answer[] = [is(isOfWorkload(entry, question))];
  if (exe !== undefined) {
    const itself = is(matches(exe, question.app));
    answers.push(
      entry.children
        ? either(
            itself,
            below((path) => matches(exe, path)),
          )
        : itself,
    );
  }
  if (script !== undefined) {
    answers.push(is(question.script !== undefined && matches(script, question.script)));
  }
  if (ancestor !== undefined) answers.push(below((path) => matches(ancestor, path)));
  if (entry.package_manager) {
    const itself =
      managers.includes(question.app) || managerScripts.includes(question.script ?? '');
    answers.push(
      either(
        is(itself),
        below((path) => managers.includes(path)),
      ),
    );
  }
  if (entry.user !== undefined) {
    const zero = (user: string) => (user === 'root' ? '0' : user);
    answers.push(
      is(question.user !== undefined && zero(String(entry.user)) === zero(question.user)),
    );
  }
  if (entry.unit !== undefined) answers.push(is(entry.unit === question.unit));
  if (entry.sha256 !== undefined) answers.push(is(entry.sha256.toLowerCase() === question.sha256));
  if (answers.includes('no')) return 'no';
  return answers.includes('unknown') ? 'unknown' : 'yes';
}

/** `workload: same` (the default) or `host`: on the host they are one. */
function isOfWorkload({ workload = 'same' }: AppMap, { of, origin }: Question): boolean {
  return of === 'host' || workload === origin;
}

function isRuntimeStart(rule: RuleMap, { of, origin, operation, app }: Question): boolean {
  if (rule.runtime === false || operation === 'write') return false;
  return of === 'box' && origin === 'host' && runtimes.includes(app);
}

const expressions = new Map<string, RegExp>();

/** Globs of section 3: `*` `?` `[..]` `{a,b}` stay inside a segment, `**` crosses and may match none. */
export function matches(glob: string, path: string): boolean {
  let expression = expressions.get(glob);
  if (expression === undefined) {
    expression = new RegExp(`^(?:${withoutBraces(glob).map(toRegex).join('|')})$`, 'su');
    expressions.set(glob, expression);
  }
  return expression.test(path);
}

/** An escape, a class, or one character. */
const piece = /\\.|\[[!^]?\]?(?:\\.|[^\]])*\]|./gsu;

function withoutBraces(glob: string): string[] {
  const pieces: readonly string[] = glob.match(piece) ?? [];
  const open = pieces.indexOf('{');
  if (open === -1) return [glob];
  const inside: string[] = [''];
  let depth = 1;
  let at = open + 1;
  for (; depth > 0; at++) {
    const each = pieces[at] ?? '';
    if (each === '{') depth += 1;
    if (each === '}') depth -= 1;
    if (each === ',' && depth === 1) inside.push('');
    else if (depth > 0) inside[inside.length - 1] += each;
  }
  const [before, behind] = [pieces.slice(0, open).join(''), pieces.slice(at).join('')];
  return inside.flatMap((each) => withoutBraces(before + each + behind));
}

function toRegex(glob: string): string {
  const pieces = (glob.match(piece) ?? []).map((each) => (each === '\\/' ? '/' : each));
  let text = '';
  for (let at = 0; at < pieces.length; at++) {
    const each = pieces[at] ?? '';
    if (each === '*' && pieces[at + 1] === '*') {
      const from = at;
      while (pieces[at + 1] === '*') at += 1;
      // Between two slashes it may stand for nothing, and one of them.
      if (pieces[from - 1] === '/' && pieces[at + 1] === '/') {
        text += '(?:.*/)?';
        at += 1;
      } else text += '.*';
    } else if (each === '*') text += '[^/]*';
    else if (each === '?') text += '[^/]';
    else if (each.startsWith('[') && each.length > 1) text += `(?!/)${classOf(each)}`;
    else text += quoted(each.startsWith('\\') ? each.slice(1) : each);
  }
  return text;
}

function classOf(text: string): string {
  const turned = text[1] === '!' || text[1] === '^';
  const inside = text.slice(turned ? 2 : 1, -1).match(/\\.|./gsu) ?? [];
  const items = inside.map((each, index) => {
    const between = index > 0 && index < inside.length - 1;
    if (each === '-' && between) return '-';
    return `\\u{${(each.length > 1 && each.startsWith('\\') ? each.slice(1) : each).codePointAt(0)?.toString(16)}}`;
  });
  return `[${turned ? '^' : ''}${items.join('')}]`;
}

function quoted(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`;
}

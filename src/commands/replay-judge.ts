/** Asks the evaluator what a configuration says to recorded events. */
import type { EvaluationAnswer, Evaluator } from '../native/addon.ts';
import { BUILT_IN_GROUP } from '../policy/built-in.ts';
import type { CompiledPolicy, RuleInfo } from '../policy/compile.ts';
import type { Configuration } from '../policy/document.ts';
import { type ExplainQuery, evaluationQuery } from '../policy/explain.ts';
import { host, isMember, type Workload } from '../policy/members.ts';
import { queryFromRecord } from '../policy/record-query.ts';
import type { RecordedEvent } from './recorded-events.ts';

export interface Told {
  readonly outcome: string;
  readonly verdict: 'allow' | 'deny';
  /** `GROUP/RULE`; empty when none covers it. */
  readonly rule: string;
  readonly reason: string;
}

export interface Judgement {
  readonly path: string;
  readonly operation: string;
  readonly app: string;
  readonly user: string;
  readonly was: Told;
  readonly now: Told;
  /** `undecided`: it would be denied, unless what the record doesn't say (a script, a hash) lists the app. */
  readonly change: 'none' | 'denied' | 'allowed' | 'undecided';
  /** The event is of another kind, whatever the verdict. */
  readonly toldDifferently: boolean;
}

/** Judgements that are remembered: most events of a file are of few kinds. */
const MOST_REMEMBERED = 50_000;

/** Reasons for which an event was no open that a gate could have held up, or can't be said to be one. */
const ungated = ['process_gone', 'process_changed', 'found_on_rescan'];

export class ReplayJudge {
  readonly #policy: CompiledPolicy;
  readonly #configuration: Configuration;
  readonly #evaluator: Evaluator;
  readonly #remembered = new Map<string, Judgement>();
  readonly #groups = new Map<string, readonly number[] | undefined>();

  constructor(policy: CompiledPolicy, configuration: Configuration, evaluator: Evaluator) {
    this.#policy = policy;
    this.#configuration = configuration;
    this.#evaluator = evaluator;
  }

  /** Undefined when the event is none that is judged: about the agent itself, or one that stands for many files. */
  judge(recorded: RecordedEvent): Judgement | undefined {
    // No configuration has a say in these.
    const group = text(recorded.attributes, 'security_rule.ruleset.name');
    if (group === BUILT_IN_GROUP) return undefined;
    const key = keyOf(recorded);
    if (key === undefined) return undefined;
    const known = this.#remembered.get(key);
    if (known !== undefined) return known;
    const judgement = this.#judge(recorded);
    if (judgement === undefined) return undefined;
    if (this.#remembered.size >= MOST_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(key, judgement);
    return judgement;
  }

  #judge(recorded: RecordedEvent): Judgement | undefined {
    const query = queryOf(recorded);
    if (query === undefined) return undefined;
    const { attributes, resource } = recorded;
    const groups = this.#groupsOf(resource);
    const answer = this.#ask(query, groups);
    const rule = this.#policy.rules[answer.rule_index];
    const was = wasTold(recorded);
    const denied = answer.verdict === 'deny' && was.verdict === 'allow';
    const allowed = answer.verdict === 'allow' && was.verdict === 'deny';
    const undecided = denied && rule !== undefined && this.#mayBeListed(query, rule, groups);
    return {
      path: text(attributes, 'file.path'),
      operation: text(attributes, 'fileward.operation'),
      app: text(attributes, 'process.executable.path'),
      user: text(attributes, 'process.user.name') || text(attributes, 'process.user.id'),
      was,
      now: nowTold(answer, rule),
      change: undecided ? 'undecided' : denied ? 'denied' : allowed ? 'allowed' : 'none',
      toldDifferently: comparable.includes(was.outcome) && was.outcome !== answer.outcome,
    };
  }

  #ask(query: ExplainQuery, groups: readonly number[] | undefined): EvaluationAnswer {
    const operation = query.operation ?? 'read';
    return this.#evaluator.evaluate(evaluationQuery(query, operation, groups, this.#policy.users));
  }

  /** Does an entry of the rule ask for what records don't say? */
  #mayBeListed(
    query: ExplainQuery,
    rule: RuleInfo,
    groups: readonly number[] | undefined,
  ): boolean {
    if (!query.app) return false;
    return rule.apps.some(({ script, sha256, unit, user }) => {
      const unsaid = {
        ...(script !== undefined && { script }),
        ...(sha256 !== undefined && { sha256 }),
        ...(unit !== undefined && query.unit === undefined && { unit }),
        ...(user !== undefined && query.user === undefined && { user }),
      };
      if (Object.keys(unsaid).length === 0) return false;
      return this.#ask({ ...query, ...unsaid }, groups).verdict === 'allow';
    });
  }

  /** Undefined: those that hold the host. */
  #groupsOf(resource: RecordedEvent['resource']): readonly number[] | undefined {
    const workload = workloadOf(resource);
    if (workload === host) return undefined;
    const key = JSON.stringify(workload);
    let indexes = this.#groups.get(key);
    if (indexes === undefined) {
      const { groups } = this.#configuration.document;
      indexes = [...groups.keys()].filter((index) => {
        const group = groups[index];
        return group !== undefined && isMember(group.members, workload, true);
      });
      this.#groups.set(key, indexes);
    }
    return indexes;
  }
}

/** The container's or the host's name; empty when the record says none. */
export function workloadName({ resource }: RecordedEvent): string {
  return text(resource, 'container.name') || text(resource, 'host.name');
}

/** Events that a rule's outcome stands for one to one: a change is also told beside its open. */
const comparable = ['accessed', 'violated', 'denied'];

function wasTold({ event, attributes }: RecordedEvent): Told {
  const outcome = event.replace(/^fileward\.(file|rule)\./, '');
  const [group, rule] = [
    text(attributes, 'security_rule.ruleset.name'),
    text(attributes, 'security_rule.name'),
  ];
  const denied = outcome === 'denied' || attributes['fileward.verdict'] === 'deny';
  return {
    outcome,
    verdict: denied ? 'deny' : 'allow',
    rule: group && rule ? `${group}/${rule}` : '',
    reason: text(attributes, 'fileward.reason'),
  };
}

function nowTold(answer: EvaluationAnswer, rule: RuleInfo | undefined): Told {
  const { outcome, verdict, reason } = answer;
  return { outcome, verdict, rule: rule ? `${rule.group}/${rule.rule}` : '', reason };
}

function queryOf({ attributes }: RecordedEvent): ExplainQuery | undefined {
  let query: ExplainQuery;
  try {
    query = queryFromRecord({ attributes });
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
  const reason = text(attributes, 'fileward.reason');
  const cgroup = text(attributes, 'process.linux.cgroup');
  const { group: _, ...rest } = query;
  return {
    ...rest,
    ...(cgroup !== '' && { unit: unitOf(cgroup) }),
    // The path is that of a listed app, the file behind it isn't.
    ...(reason === 'identity_mismatch' && { app: '' }),
    ...(ungated.includes(reason) && { gate: 'change' as const }),
  };
}

/** The system manager's unit of a cgroup, as native/kernel/process_files.cc finds it; empty: it is in none. */
function unitOf(cgroup: string): string {
  const [first = '', ...rest] = cgroup.split('/').slice(1);
  if (first === 'user.slice' || !first.endsWith('.slice')) return '';
  const name = rest.find((each) => !each.endsWith('.slice'))?.replace(/^_/, '') ?? '';
  return /\.(service|scope|socket)$/.test(name) ? name : '';
}

/** As far as a record tells; labels are on it only where a collector has put them there. */
function workloadOf(resource: RecordedEvent['resource']): Workload {
  const value = (name: string) => text(resource, name) || undefined;
  const id = value('container.id');
  if (id === undefined) return host;
  const tags = resource['container.image.tags'];
  const tag = Array.isArray(tags) && tags.length > 0 ? `:${tags[0]}` : '';
  const image = value('container.image.name');
  const pod = value('k8s.pod.name');
  return {
    kind: 'container',
    container: {
      keys: {
        id,
        name: value('container.name'),
        image: image && `${image}${tag}`,
        runtime: value('container.runtime.name'),
      },
      ...labelsOf(resource, /^container\.label\.(.*)$/),
    },
    ...(pod !== undefined && {
      kubernetes: {
        keys: {
          pod,
          namespace: value('k8s.namespace.name'),
          container: value('k8s.container.name'),
        },
        ...labelsOf(resource, /^k8s\.pod\.labels?\.(.*)$/),
      },
    }),
  };
}

/** Nothing when there are none: then they are not known. */
function labelsOf(
  resource: RecordedEvent['resource'],
  pattern: RegExp,
): { labels?: Record<string, string> } {
  const found = Object.keys(resource).flatMap((name) => {
    const [, key] = pattern.exec(name) ?? [];
    return key === undefined ? [] : [[key, text(resource, name)] as const];
  });
  return found.length === 0 ? {} : { labels: Object.fromEntries(found) };
}

const judged = /^fileward\.(file\.(accessed|modified|violated|denied)|rule\.learned)$/;
const said = [
  'file.path',
  'fileward.file.protected_path',
  'fileward.file.new_path',
  'fileward.operation',
  'fileward.verdict',
  'fileward.reason',
  'security_rule.ruleset.name',
  'security_rule.name',
  'process.executable.path',
  'process.user.id',
  'process.linux.cgroup',
  'fileward.process.ancestors',
  'fileward.process.origin',
];

/** Events of one key get one answer. */
function keyOf({ event, attributes, resource }: RecordedEvent): string | undefined {
  if (!judged.test(event)) return undefined;
  const workload = resource['container.id'] ?? '';
  return JSON.stringify([event, workload, said.map((name) => attributes[name] ?? null)]);
}

function text(map: Readonly<Record<string, unknown>>, name: string): string {
  const value = map[name];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

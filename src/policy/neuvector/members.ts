/**
 * The criteria of a NeuVector group as `members`. Several criteria of one key hold if any does (all, where every one
 * is negative), those of different keys hold together; labels of pods count as one key there, and so they do here.
 */
import { containerInPod, globsOf } from './criterion.ts';
import type {
  NeuvectorCriterion,
  NeuvectorGroup,
  NeuvectorRule,
  NeuvectorSelector,
} from './schema.ts';
import type { Note, Placed } from './note.ts';
import type { CriterionSource, MembersSource } from '../schema.ts';

export interface ImportedMembers {
  readonly members: MembersSource | MembersSource[];
  readonly notes: readonly Note[];
  /** A criterion was left out that would have kept workloads away. */
  readonly wider: boolean;
}

/** No workload is the host and isn't. */
const nobody: MembersSource = { host: true, not: { host: true } };

type Definitions = ReadonlyMap<string, Placed<NeuvectorGroup>>;

/** @param definitions - the NvGroupDefinitions of the files, by the name of their selector */
export function importMembers(
  rule: Placed<NeuvectorRule>,
  definitions: Definitions,
): ImportedMembers {
  const { selector } = rule.value.spec.target;
  if (selector.name === 'containers')
    return { members: { container: {} }, notes: [], wider: false };
  if (selector.name === 'nodes') return { members: { host: true }, notes: [], wider: false };
  const found = criteriaOf(rule, selector, definitions);
  const importer = new MembersImporter(found.at);
  for (const text of found.notes) {
    importer.note(rule.at(rule.value.spec.target, 'selector'), text);
  }
  for (const list of byKey(found.criteria).values()) importer.add(list);
  if (rule.value.kind === 'NvSecurityRule') importer.limitTo(rule);
  return importer.finish(rule.at(rule.value.spec.target, 'selector'));
}

interface Criteria {
  readonly criteria: readonly NeuvectorCriterion[];
  readonly at: Placed<unknown>['at'];
  readonly notes: readonly string[];
}

function criteriaOf(
  rule: Placed<NeuvectorRule>,
  selector: NeuvectorSelector,
  definitions: Definitions,
): Criteria {
  const { name, criteria } = selector;
  if (criteria && criteria.length > 0) return { criteria, at: rule.at, notes: [] };
  const definition = definitions.get(name);
  if (definition?.value.spec.selector.criteria) {
    return {
      criteria: definition.value.spec.selector.criteria,
      at: definition.at,
      notes: [],
    };
  }
  const at = () => rule.at(selector, 'name');
  const [, service, domain] = /^nv\.(?!ip\.)(.+\.([^.]+))$/.exec(name) ?? [];
  if (service === undefined || domain === undefined) {
    return { criteria: [], at, notes: [`group '${name}' has no criteria in these files`] };
  }
  const criterion = (key: string, value: string) => ({ key, op: '=' as const, value });
  return {
    criteria: [criterion('service', service), criterion('domain', domain)],
    at,
    notes: [`group '${name}' has no criteria in these files; its name says service and domain`],
  };
}

/** What NeuVector counts as one key. */
function byKey(criteria: readonly NeuvectorCriterion[]): Map<string, NeuvectorCriterion[]> {
  const known = ['image', 'node', 'container', 'service', 'domain', 'namespace', 'address'];
  const keyOf = ({ key }: NeuvectorCriterion) =>
    known.includes(key) ? key : key.startsWith('ns:') ? 'label of the namespace' : 'label';
  return Map.groupBy(criteria, keyOf);
}

type Keys = Record<string, CriterionSource>;

class MembersImporter {
  readonly #at: Placed<unknown>['at'];
  readonly #notes: Note[] = [];
  readonly #container: Keys = {};
  readonly #kubernetes: Keys = {};
  /** Any of these. */
  #labels: Keys[] = [];
  #wider = false;
  #impossible = false;

  constructor(at: Placed<unknown>['at']) {
    this.#at = at;
  }

  note(position: Note['position'], text: string): void {
    this.#notes.push({ position, text });
  }

  /** Criteria of one key. */
  add(all: readonly NeuvectorCriterion[]): void {
    const positive = all.filter(({ op }) => !op.startsWith('!'));
    const mixed = positive.length > 0 && positive.length < all.length;
    for (const each of mixed ? all.filter((it) => !positive.includes(it)) : []) {
      this.#say(each, 'is one of several that need not hold: it is left out, so fewer are members');
    }
    const list = mixed ? positive : all;
    const [first] = list;
    if (first === undefined) return;
    switch (first.key) {
      case 'image':
        this.#addPatterns(this.#container, 'image', list);
        break;
      case 'container':
        this.#addContainer(list);
        break;
      case 'domain':
      case 'namespace':
        this.#addPatterns(this.#kubernetes, 'namespace', list);
        break;
      case 'service':
        this.#addService(list);
        break;
      case 'address':
        this.#impossible = true;
        this.#say(first, 'never holds for a container in NeuVector: nobody is a member');
        break;
      case 'node':
        for (const each of list) {
          this.#leaveOut(each, "has no counterpart: give that machine's fileward its own file");
        }
        break;
      default:
        if (!first.key.startsWith('ns:')) this.#addLabels(list);
        else for (const each of list) this.#leaveOut(each, 'has no counterpart');
    }
  }

  /** An NvSecurityRule is about its own namespace. */
  limitTo({ value, at }: Placed<NeuvectorRule>): void {
    const namespace = value.metadata?.namespace;
    if (this.#kubernetes['namespace'] !== undefined || !namespace || !value.metadata) return;
    this.#kubernetes['namespace'] = namespace;
    const text = `no criterion names the domain; an NvSecurityRule is of its namespace, '${namespace}'`;
    this.note(at(value.metadata, 'namespace'), text);
  }

  finish(position: Note['position']): ImportedMembers {
    const empty =
      Object.keys(this.#container).length + Object.keys(this.#kubernetes).length === 0 &&
      this.#labels.length === 0;
    if (empty && !this.#impossible) {
      this.note(position, 'nobody is a member: complete the members');
    }
    const notes = this.#notes;
    if (empty || this.#impossible) return { members: nobody, notes, wider: false };
    const labels = this.#labels.length > 0 ? this.#labels : [undefined];
    const members = labels.map((each) => this.#membersWith(each));
    const [only] = members;
    return {
      members: members.length === 1 && only ? only : members,
      notes,
      wider: this.#wider,
    };
  }

  #membersWith(labels: Keys | undefined): MembersSource {
    const kubernetes = { ...this.#kubernetes, ...(labels && { labels }) };
    return {
      ...(Object.keys(this.#container).length > 0 && { container: this.#container }),
      ...(Object.keys(kubernetes).length > 0 && { kubernetes }),
    };
  }

  #say(criterion: NeuvectorCriterion, what: string): void {
    const { key, op, value } = criterion;
    this.note(this.#at(criterion, 'key'), `criterion ${key} ${op} '${value}' ${what}`);
  }

  #leaveOut(criterion: NeuvectorCriterion, what: string): void {
    this.#wider = true;
    this.#say(criterion, `${what}; it is left out, so more are members`);
  }

  #addPatterns(into: Keys, key: string, list: readonly NeuvectorCriterion[]): void {
    const patterns = this.#patterns(list);
    if (patterns === undefined) return;
    const value = criterionSource(patterns, list);
    if (into[key] === undefined || JSON.stringify(into[key]) === JSON.stringify(value)) {
      into[key] = value;
    } else {
      for (const each of list) this.#leaveOut(each, `comes on top of another criterion of ${key}`);
    }
  }

  #addContainer(list: readonly NeuvectorCriterion[]): void {
    const inPods = list.flatMap((each) => (globsOf(each) ?? [undefined]).map(nameInPod));
    if (inPods.every((name) => name !== undefined)) {
      this.#kubernetes['container'] = criterionSource(inPods, list);
      return;
    }
    for (const each of list) {
      if (each.value === '*' || each.value === 'any') continue;
      const pod = 'k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT';
      this.#say(each, `is about the name that the runtime tells; NeuVector's of a pod is ${pod}`);
    }
    // A name that is kept out there may not be kept out here.
    if (isNegative(list)) this.#wider = true;
    this.#addPatterns(this.#container, 'name', list);
  }

  /** Undefined when none can be said. */
  #patterns(list: readonly NeuvectorCriterion[]): string[] | undefined {
    const said = list.map((each) => ({ each, patterns: globsOf(each) }));
    const lost = said.filter(({ patterns }) => patterns === undefined);
    const negative = isNegative(list);
    for (const { each } of lost) {
      if (negative || lost.length === said.length) this.#leaveOut(each, 'has no counterpart');
      else this.#say(each, 'has no counterpart; it is left out, so fewer are members');
    }
    if (lost.length === said.length) return undefined;
    return [...new Set(said.flatMap(({ patterns }) => patterns ?? []))];
  }

  #addLabels(list: readonly NeuvectorCriterion[]): void {
    const keys = Map.groupBy(list, ({ key }) => key);
    const negative = isNegative(list);
    const found: Keys = {};
    for (const [key, criteria] of keys) {
      const patterns = this.#patterns(criteria);
      if (patterns !== undefined) found[key] = criterionSource(patterns, criteria);
    }
    const [first] = list;
    if (negative && first) {
      this.#wider = true;
      this.#say(
        first,
        'holds for pods without the label too, unlike in NeuVector: more are members',
      );
    }
    const entries = Object.entries(found);
    this.#labels = negative ? [found] : entries.map(([key, value]) => ({ [key]: value }));
    if (!negative && entries.length > 1 && first) {
      this.#say(first, 'is a label of several: NeuVector is content with any of them');
    }
  }

  /** NeuVector's service is `NAME.NAMESPACE`, NAME that of what owns the pod. */
  #addService(list: readonly NeuvectorCriterion[]): void {
    const pods: string[] = [];
    const namespaces: string[] = [];
    for (const each of list) {
      const [, name, namespace] = /^(.+)\.([^.]+)$/.exec(each.value) ?? [];
      if (each.op !== '=' || name === undefined || namespace === undefined) {
        this.#leaveOut(each, 'has no counterpart');
        continue;
      }
      const names = name.endsWith('*') ? [name] : [name, `${name}-*`];
      pods.push(...names);
      namespaces.push(namespace);
      this.#say(each, `is taken as pods named ${names.join(' or ')}; a label is surer`);
    }
    if (pods.length === 0) return;
    this.#kubernetes['pod'] = oneOrMore(pods);
    this.#kubernetes['namespace'] ??= oneOrMore([...new Set(namespaces)]);
  }
}

function nameInPod(glob: string | undefined): string | undefined {
  return glob === undefined ? undefined : containerInPod(glob);
}

function isNegative(list: readonly NeuvectorCriterion[]): boolean {
  return list.every(({ op }) => op.startsWith('!'));
}

function criterionSource(
  patterns: readonly string[],
  list: readonly NeuvectorCriterion[],
): CriterionSource {
  return isNegative(list) ? { not: oneOrMore(patterns) } : oneOrMore(patterns);
}

function oneOrMore(list: readonly string[]): string | string[] {
  const [only] = list;
  return list.length === 1 && only !== undefined ? only : [...list];
}

/** Pairs learned on many nodes, put together from the records that their collectors wrote. */
import { parse } from 'yaml';
import { type AppKind, type Learned, type LearnedPair, pairKey } from './learned-pair.ts';

/** What a record of the event `fileward.rule.learned` says. */
export interface LearnedRecord {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
  readonly timeMs?: number;
}

const MOST_PAIRS = 100_000;
const MOST_NODES = 1000;
const MOST_EXAMPLES = 5;
const MOST_TEXT = 512;

type Merged = { -readonly [K in keyof LearnedPair]: LearnedPair[K] } & { nodes: string[] };

export class MergedPairs {
  readonly nodes = new Set<string>();
  readonly #pairs = new Map<string, Merged>();
  readonly #kindOfName: (app: string) => AppKind;
  readonly #most: number;

  /** @param kindOfName - what is known here of an app's name, which an older agent may not have known */
  constructor(kindOfName: (app: string) => AppKind, most = MOST_PAIRS) {
    this.#kindOfName = kindOfName;
    this.#most = most;
  }

  /** Records of pairs beyond the most that are kept. */
  beyond = 0;

  /** False when it does not say what it must. */
  add({ attributes, resource, timeMs }: LearnedRecord): boolean {
    const text = (name: string) => textOf(attributes[name]);
    const [group, rule] = [text('security_rule.ruleset.name'), text('security_rule.name')];
    const [app, operation] = [text('process.executable.path'), text('fileward.operation')];
    if (!group || !rule || !app || !isOperation(operation)) return false;
    const entry = entryOf(text('fileward.rule.yaml'));
    const key = {
      group,
      rule,
      app,
      operation,
      user: textOf(entry['user']),
      origin: originOf(text('fileward.process.origin')),
    };
    const packageManager = entry['package_manager'] === true ? 'a package manager' : '';
    const name = pairKey(key);
    let pair = this.#pairs.get(name);
    if (pair === undefined) {
      if (this.#pairs.size >= this.#most) {
        this.beyond += 1;
        return true;
      }
      pair = {
        ...key,
        id: this.#pairs.size + 1,
        kind: 'binary',
        packageManager,
        count: 0,
        // Of no record yet.
        firstMs: Infinity,
        lastMs: 0,
        users: [],
        paths: [],
        workloads: [],
        nodes: [],
        policy: text('security_rule.version'),
        fingerprint: '',
      };
      this.#pairs.set(name, pair);
    }
    const node = textOf(resource['host.name'] ?? resource['k8s.node.name'] ?? resource['host.id']);
    const container = textOf(resource['container.name']);
    const image = textOf(resource['container.image.name']);
    pair.count += 1;
    pair.kind = broader(
      pair.kind,
      broader(kindOf(text('fileward.app.kind')), this.#kindOfName(app)),
    );
    if (packageManager !== pair.packageManager) {
      pair.packageManager = 'a package manager';
      pair.alsoAlone = true;
    }
    if (timeMs !== undefined) {
      pair.firstMs = Math.min(pair.firstMs, timeMs);
      pair.lastMs = Math.max(pair.lastMs, timeMs);
    }
    this.nodes.add(node);
    pair.nodes = withExample(pair.nodes, node, MOST_NODES);
    pair.users = withExample(pair.users, text('process.user.name'), MOST_EXAMPLES);
    pair.paths = withExample(pair.paths, text('file.path'), MOST_EXAMPLES);
    const where = image === '' ? container : `${container} (${image})`;
    pair.workloads = withExample(pair.workloads, where, MOST_EXAMPLES);
    return true;
  }

  learned({ group, rule }: { readonly group?: string; readonly rule?: string }): Learned {
    const pairs = [...this.#pairs.values()]
      .filter((pair) => pair.group === (group ?? pair.group) && pair.rule === (rule ?? pair.rule))
      .map((pair) => ({ ...pair, firstMs: Math.min(pair.firstMs, pair.lastMs) }));
    return { pairs, rules: [], refusals: [] };
  }
}

/** The first app of the text to paste; the rest of what an entry says is in the attributes. */
function entryOf(yaml: string): Readonly<Record<string, unknown>> {
  try {
    const entry: unknown = parse(yaml)?.overrides?.[0]?.apps?.add?.[0];
    return typeof entry === 'object' && entry !== null ? { ...entry } : {};
  } catch {
    return {};
  }
}

function withExample(list: readonly string[], text: string, most: number): string[] {
  const short = text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}…` : text;
  return short === '' || list.length >= most || list.includes(short) ? [...list] : [...list, short];
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function isOperation(text: string): text is LearnedPair['operation'] {
  return text === 'read' || text === 'write' || text === 'exec';
}

function originOf(text: string): LearnedPair['origin'] {
  return text === 'host' || text === 'container' ? text : 'same';
}

function broader(a: AppKind, b: AppKind): AppKind {
  return a === 'binary' ? b : a;
}

/** What is not said to be a plain program is not taken for one. */
function kindOf(text: string): AppKind {
  return text === 'binary' || text === 'multicall' ? text : 'interpreter';
}

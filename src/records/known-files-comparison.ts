/**
 * What the start of the agent found different, worked off in parts: each difference becomes a change to tell or is
 * known without a word. Reads files where only their content can tell, so it takes as long as that takes.
 */
import {
  changeOf,
  type Difference,
  type HashOf,
  isReplaced,
  renamesAmong,
} from './known-files-compare.ts';
import type { Found } from './known-files-messages.ts';
import type { Update } from './known-files-store.ts';

export interface Part {
  readonly found: readonly Found[];
  /** To be known when all of `found` is told. */
  readonly updates: readonly Update[];
}

export interface ComparisonOptions {
  /** False: it came, went or is another file because of a mount; nobody changed it. */
  readonly isComparable: (path: Buffer) => boolean;
  readonly hashOf: HashOf;
}

interface Item extends Difference {
  /** The name that the file had. */
  readonly from?: Difference;
  readonly silent: boolean;
}

const AT_ONCE = 100;

export class Comparison {
  readonly #hashOf: HashOf;
  readonly #items: Item[] = [];
  /** Of a file with several covered names, the first tells what happened to it. */
  readonly #told = new Set<string>();
  #next = 0;

  constructor(differences: readonly Difference[], { isComparable, hashOf }: ComparisonOptions) {
    this.#hashOf = hashOf;
    const comparable = new Set(differences.filter(({ path }) => isComparable(path)));
    const gone = [...comparable].filter(({ now }) => now === undefined);
    const arrived = [...comparable].filter(
      (each) => each.now !== undefined && (each.known === undefined || isReplaced(each)),
    );
    const renames = renamesAmong(gone, arrived);
    const renamed = new Set(renames.values());
    for (const each of differences) {
      const from = renames.get(each);
      if (renamed.has(each)) continue;
      this.#items.push({ ...each, ...(from && { from }), silent: !comparable.has(each) });
    }
  }

  get size(): number {
    return this.#items.length;
  }

  /** The next part; undefined behind the last. */
  async next(): Promise<Part | undefined> {
    const items = this.#items.slice(this.#next, this.#next + AT_ONCE);
    if (items.length === 0) return undefined;
    this.#next += items.length;
    const found: Found[] = [];
    const updates: Update[] = [];
    for (const item of items) {
      const { operation, replaced, sha256 } = item.silent ? {} : await this.#changeOf(item);
      if (item.from !== undefined) updates.push({ path: item.from.path, state: undefined });
      updates.push({ path: item.path, state: item.now?.state?.bytes, sha256 });
      if (operation === undefined || this.#isTold(item)) continue;
      const before = (item.from ?? item).known?.sha256;
      found.push({
        operation,
        path: item.from?.path ?? item.path,
        ...(item.from && { newPath: item.path }),
        ...(replaced && { replaced }),
        ...(item.now?.state && { ruleIndex: item.now.ruleIndex, state: item.now.state.bytes }),
        ...(sha256 && { sha256: sha256.toString('hex') }),
        ...(before && { sha256Before: before.toString('hex') }),
      });
    }
    return { found, updates };
  }

  async #changeOf(item: Item): ReturnType<typeof changeOf> {
    const { known, now, from } = item;
    if (now === undefined) return { operation: 'delete' };
    if (known !== undefined && from === undefined) return changeOf(item, this.#hashOf);
    const sha256 = await this.#hashOf(now);
    return {
      operation: from === undefined ? 'create' : 'rename',
      ...(known !== undefined && { replaced: true }),
      ...(sha256 && { sha256 }),
    };
  }

  #isTold({ known, now, from }: Item): boolean {
    if (known === undefined || now?.state === undefined || from !== undefined) return false;
    const file = `${now.dev}:${now.state.ino}`;
    if (this.#told.has(file)) return true;
    this.#told.add(file);
    return false;
  }
}

/** The attribute names of the semantic conventions, as their package declares them, with what is deprecated. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Conventions {
  readonly names: ReadonlySet<string>;
  readonly deprecated: ReadonlySet<string>;
}

/** Types and values say nothing of it: a deprecation stands in the comments only. */
export function readConventions(): Conventions {
  const names = new Set<string>();
  const deprecated = new Set<string>();
  const main = fileURLToPath(import.meta.resolve('@opentelemetry/semantic-conventions'));
  for (const kind of ['stable', 'experimental']) {
    const text = readFileSync(main.replace(/[^/]+$/, `${kind}_attributes.d.mts`), 'utf8');
    const declarations = text.matchAll(
      /\/\*\*((?:(?!\*\/).)*)\*\/\s*declare const ATTR_\w+\s*[:=]\s*"([^"]+)"/gs,
    );
    for (const [, comment = '', name = ''] of declarations) {
      names.add(name);
      if (comment.includes('@deprecated')) deprecated.add(name);
    }
  }
  return { names, deprecated };
}

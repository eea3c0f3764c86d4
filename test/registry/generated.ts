/** The files that are made from the telemetry registry, each as it should be. */
import { readFileSync } from 'node:fs';
import { namesSource } from './names.ts';
import { readRegistry } from './registry.ts';
import { withTables } from './tables.ts';

const docs = new URL('../../docs/telemetry.md', import.meta.url);
const names = new URL('../../src/records/names.ts', import.meta.url);

export function generated(): ReadonlyMap<URL, string> {
  const registry = readRegistry();
  return new Map([
    [names, namesSource(registry)],
    [docs, withTables(readFileSync(docs, 'utf8'), registry)],
  ]);
}

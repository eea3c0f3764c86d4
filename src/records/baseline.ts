/** Which files to hash at the start, so that a first change can say what was there before. */
import { lstatSync } from 'node:fs';
import { opendir } from 'node:fs/promises';
import type { Evaluator } from '../native/addon.ts';
import type { RuleInfo } from '../policy/compile.ts';

/** A rule over a whole tree is not worth reading it: what changes there is known from its first change on. */
const MOST_FILES_PER_RULE = 500;
const MOST_ENTRIES_PER_RULE = 5000;
const MOST_BYTES = 64 * 1024 * 1024;
const LARGEST_FILE = 1024 * 1024;

/**
 * Small files that rules with `write` cover, as far as a short look at their folders finds them. The evaluator says what
 * is covered, so that a pattern has one meaning.
 */
export async function baselineFiles(
  rules: readonly RuleInfo[],
  evaluator: Evaluator,
): Promise<string[]> {
  const found = new Set<string>();
  let bytesLeft = MOST_BYTES;
  for (const rule of rules) {
    if (!rule.hash || !rule.operations.includes('write')) continue;
    let filesLeft = MOST_FILES_PER_RULE;
    for (const pattern of rule.source.path) {
      for await (const file of filesNear(pattern)) {
        const size = sizeOf(file);
        if (found.has(file) || size > LARGEST_FILE || !covers(evaluator, file)) continue;
        if (filesLeft-- <= 0 || bytesLeft < size) break;
        bytesLeft -= size;
        found.add(file);
      }
    }
  }
  return [...found];
}

function covers(evaluator: Evaluator, path: string): boolean {
  const query = { paths: [path], operation: 'write', exe: '/', gate: 'change' } as const;
  return evaluator.evaluate(query).outcome !== 'not_covered';
}

/** The file itself, or what is below the literal part of a pattern, as deep as the pattern goes. */
async function* filesNear(pattern: string): AsyncGenerator<string> {
  const segments = pattern.split('/');
  const firstGlob = segments.findIndex((segment) => /[*?[\]{}\\]/.test(segment));
  if (firstGlob === -1) {
    yield pattern;
    return;
  }
  const depth = pattern.includes('**') ? Number.POSITIVE_INFINITY : segments.length - firstGlob - 1;
  const folders = [{ path: segments.slice(0, firstGlob).join('/') || '/', depth }];
  let entriesLeft = MOST_ENTRIES_PER_RULE;
  for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
    try {
      for await (const entry of await opendir(folder.path)) {
        if (entriesLeft-- <= 0) return;
        const path = `${folder.path === '/' ? '' : folder.path}/${entry.name}`;
        if (entry.isFile()) yield path;
        else if (entry.isDirectory() && folder.depth > 0) {
          folders.push({ path, depth: folder.depth - 1 });
        }
      }
    } catch {
      // Absent or gone: no content to compare with.
    }
  }
}

/** Infinite for what is no regular file. */
function sizeOf(path: string): number {
  try {
    const status = lstatSync(path);
    return status.isFile() ? status.size : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

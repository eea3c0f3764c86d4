/** Puts a file where this process may not write one: it is made outside and moved in, which has no gate. */
import { renameSync } from 'node:fs';
import path from 'node:path';
import type { Scratch } from './scratch.ts';

let made = 0;

export function place(scratch: Scratch, name: string, content = `${name}\n`): string {
  const outside = scratch.write(path.join('.outside', String(made++)), content);
  const inside = scratch.path(name);
  renameSync(outside, inside);
  return inside;
}

/** What the benchmarks print, and the programs they run. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';

const folder = mkdtempSync('/tmp/fileward-bench-');
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Compiles test/bench/NAME.c and returns the program's path. */
export function program(name: string): string {
  const file = path.join(folder, name);
  const source = path.join(import.meta.dirname, `${name}.c`);
  execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-static', '-o', file, source]);
  return file;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    console.log(cells.join('  '));
  }
}

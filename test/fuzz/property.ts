/**
 * How many inputs the properties try, and from where: the same ones every time in CI, so that it fails for a change and
 * not for its luck; more, and others, by hand:
 *
 *     FILEWARD_FUZZ_RUNS=200 FILEWARD_FUZZ_SEED=$RANDOM node --test test/unit/policy/evaluator.property.test.ts
 *
 * What fails is told with its seed and made as small as it goes.
 */
import type fc from 'fast-check';

const times = Number(process.env['FILEWARD_FUZZ_RUNS'] ?? 1);
const seed = Number(process.env['FILEWARD_FUZZ_SEED'] ?? 5);

/** For `fc.assert`: `runs` inputs, times FILEWARD_FUZZ_RUNS. */
export function tries<T>(runs: number): fc.Parameters<T> {
  return { numRuns: runs * times, seed, endOnFailure: false };
}

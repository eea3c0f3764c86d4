/** A minute of mixed load: every verdict right, memory, descriptors and marks flat. 30 minutes of it: docs/endurance.md. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { Held } from './load/held.ts';
import { middle, type Soak, soak } from './load/soak.ts';

const seconds = Number(process.env['FILEWARD_SOAK_SECONDS'] ?? 60);

describe(`${seconds} s of mixed load`, () => {
  let result: Soak;
  before(async () => {
    // Nobody is let through for having waited for a busy machine: it would hide a wrong verdict.
    result = await soak({ seconds, deadlineMs: 30_000 });
  });

  it('had no wrong verdict', () => {
    const { waits, wrongInside } = result;
    assert.equal(waits.wrong, 0, waits.firstWrong);
    assert.equal(waits.letThrough, 0);
    assert.deepEqual(wrongInside, []);
    assert.ok(waits.denied > 1000, JSON.stringify(waits));
  });

  it('was told, or told to be lost', () => {
    if (result.lost.length > 0) return;
    assert.ok(result.deniedTold >= result.denied, `${result.deniedTold} of ${result.denied}`);
  });

  /** The second half of what is left when it has warmed up, beside the first. */
  const grown = (of: keyof Held): [number, number] => [
    middle(result.samples, of, 0.3, 0.65),
    middle(result.samples, of, 0.65, 1),
  ];

  it('left memory, descriptors and marks flat', () => {
    const [memory, memoryLater] = grown('memoryMib');
    assert.ok(memoryLater < memory * 1.25 + 20, `${memory} MiB, then ${memoryLater}`);
    const [descriptors, descriptorsLater] = grown('descriptors');
    assert.ok(descriptorsLater < descriptors + 20, `${descriptors}, then ${descriptorsLater}`);
    const [guardian, guardianLater] = grown('guardianMib');
    assert.ok(guardianLater < guardian + 2, `guardian: ${guardian} MiB, then ${guardianLater}`);
    const [marks, marksLater] = grown('marks');
    assert.ok(marksLater < marks + 20, `${marks}, then ${marksLater}`);
  });

  it('left nothing behind', () => {
    assert.equal(result.after.marks, result.before.marks);
    assert.ok(result.after.descriptors <= result.before.descriptors + 10);
  });
});

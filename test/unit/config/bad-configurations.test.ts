import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadConfiguration } from '../../../src/config/load.ts';
import { formatProblem } from '../../../src/config/problem.ts';
import { badConfigurations } from './bad-configurations.ts';

describe('bad configurations', () => {
  let folder = '';
  let file = '';

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fileward-bad-'));
    file = join(folder, 'fileward.config.yaml');
    await writeFile(join(folder, 'tool'), '#!/usr/bin/env python3\n');
  });

  after(() => rm(folder, { recursive: true }));

  for (const [what, text, problems] of badConfigurations) {
    it(what, async () => {
      await writeFile(file, text.replaceAll('DIR', folder));
      const result = await loadConfiguration({ file });
      assert.equal(result.ok, false);
      assert.deepEqual(
        result.ok ? [] : result.problems.map(formatProblem),
        problems.map((problem) => `${file}:${problem.replaceAll('DIR', folder)}`),
      );
    });
  }

  it('are at least eighty', () => {
    assert.ok(badConfigurations.length >= 80);
  });
});

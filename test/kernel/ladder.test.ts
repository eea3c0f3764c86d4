/** Without a feature of the kernel: what is still denied and detected, and that the agent says what is not. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { everything, type Rung, refused, rungs } from '../kernels/ladder.ts';
import { type Survey, survey } from '../kernels/survey.ts';
import { ladderSection, sectionOf } from '../kernels/table.ts';
import { run } from './children.ts';
import { Agent, commandLine } from './harness.ts';
import { Scratch } from './scratch.ts';

const page = path.resolve(import.meta.dirname, '../../docs/kernels.md');
/** Of a change by a process that has gone before a busy machine looked, the record says so: once more then. */
const tries = 3;

function expected({ differs }: Rung): Survey['outcomes'] {
  return { ...everything, ...differs };
}

describe('without', { concurrency: 2 }, () => {
  for (const rung of rungs) {
    const { without, told } = rung;
    it(without.join(', ') || 'anything missing', async () => {
      let found: Survey | undefined;
      for (let trial = 0; trial < tries; trial++) {
        found = await survey({ without });
        if (JSON.stringify(found.outcomes) === JSON.stringify(expected(rung))) break;
      }
      assert.deepEqual(found?.outcomes, expected(rung));
      const says = found?.told ?? [];
      assert.ok(told === undefined || says.some((text) => text.includes(told)), says.join('\n'));
      assert.equal(says.length === 0, told === undefined, says.join('\n'));
    });
  }
});

describe('where opens can not be denied', () => {
  for (const feature of refused) {
    it(`without ${feature} a rule that blocks is refused, not weakened`, async () => {
      const scratch = new Scratch();
      const agent = await Agent.start(
        scratch,
        { groups: [{ name: 'host', members: { host: true }, mode: 'protect', rules: [] }] },
        { env: { FILEWARD_WITHOUT: feature }, waitForReady: false },
      );
      const { code } = await agent.exited;
      assert.equal(code, 3, agent.stderr);
      assert.match(agent.stderr, new RegExp(`rule settle blocks, .* \\(no ${feature}\\)`));
      scratch.remove();
    });
  }

  it('doctor says so, with status 3', async () => {
    const [node, args] = commandLine(['doctor', '--json']);
    const { code, stdout } = await run(node, args, {
      env: { FILEWARD_WITHOUT: 'permission_events' },
    });
    assert.equal(code, 3);
    const answers = JSON.parse(stdout).operations.map(({ answer }: { answer: string }) => answer);
    assert.ok(!answers.includes('enforced'));
  });
});

it('the table in docs/kernels.md is the one that is tested (write it: node test/kernels/table.ts --ladder)', () => {
  assert.equal(sectionOf(readFileSync(page, 'utf8'), 'ladder'), ladderSection());
});

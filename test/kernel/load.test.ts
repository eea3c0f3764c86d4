/**
 * Whatever goes wrong with the agent while files are opened: no opener waits for it, no verdict is wrong, and every
 * refusal is in a record or told to be lost. Small amounts; test/bench/endurance.bench.ts takes those of the issue, and
 * measures how long the longest open took.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openInChild } from './children.ts';
import { type Amounts, failures, opensAtOnce } from './load/failures.ts';
import { LoadSite } from './load/site.ts';

const amounts: Amounts = { seconds: 1, loopSeconds: 3, heapMib: 300, reloads: 20, atOnce: 2_000 };
// Nobody may be allowed for having waited: that would hide a wrong verdict.
const deadlineMs = 30_000;

for (const { name, site: options = {}, measure } of failures) {
  it(`${name}: nobody waits, nobody is answered wrongly, nothing is left out`, async () => {
    const site = await LoadSite.make({ deadlineMs, ...options });
    try {
      const waits = await measure(site, amounts);
      assert.equal(waits.wrong, 0, `${waits.wrong} of ${waits.opens} opens: ${waits.firstWrong}`);
      assert.equal(waits.letThrough, 0);
      assert.ok(waits.denied > 0);
      assert.ok(waits.longestUs < deadlineMs * 1000);
      assert.equal(await openInChild(site.secret, 'O_RDONLY'), 'EPERM');
      assert.deepEqual(await site.agent.stop(), { code: 0, signal: null });
      if (!site.tells) return;
      const { denied, lost } = site.told();
      assert.ok(denied + lost > site.denied, `${denied} told, ${lost} lost, ${site.denied} denied`);
    } finally {
      await site.remove();
    }
  });
}

it('10,000 opens at once, more than can be decided in time: each is refused or let through, and told', async () => {
  const site = await LoadSite.make({ deadlineMs: 100 });
  try {
    const waits = await opensAtOnce(site, { ...amounts, atOnce: 10_000 });
    assert.equal(waits.wrong, 0, waits.firstWrong);
    assert.equal(waits.denied + waits.letThrough, 10_000);
    assert.equal(await openInChild(site.secret, 'O_RDONLY'), 'EPERM');
    await site.agent.stop();
    const { denied, overdue, lost } = site.told();
    assert.ok(denied + overdue + lost >= 10_000, `${denied} + ${overdue} + ${lost}`);
  } finally {
    await site.remove();
  }
});

/**
 * How long openers wait when the agent stops, dies or comes back, and when its guardian does: the longest wait of all
 * opens around each event, several rounds each. The deadline is the default, 100 ms; the promise is 50 ms more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { GuardedSite, Hold, threadsOf } from '../kernel/guardian-site.ts';
import type { Agent } from '../kernel/harness.ts';
import { OpenLoad, together, type Waits } from '../kernel/load/open-load.ts';
import { printTable } from './table.ts';

const rounds = 5;
const site = new GuardedSite();
const configuration = site.configuration(true, '100ms');
let agent: Agent = await site.start({}, configuration);

/** Openers of a file that denies by default and of one that allows, while `cause` runs. */
async function during(cause: () => Promise<unknown>): Promise<Waits> {
  const loads = await Promise.all(
    [site.sealed, site.lenient].map((file) =>
      OpenLoad.running({ files: { [file]: 'any' }, threads: 4, pauseUs: 1000 }),
    ),
  );
  await sleep(300);
  await cause();
  await sleep(500);
  return together(await Promise.all(loads.map((load) => load.end())));
}

const events: [string, () => Promise<unknown>][] = [
  ['nothing', async () => sleep(500)],
  [
    'agent SIGSTOP, 1 s, SIGCONT',
    async () => {
      agent.signal('SIGSTOP');
      await sleep(1000);
      agent.signal('SIGCONT');
    },
  ],
  [
    'decision thread held for 1 s',
    async () => {
      await using _ = await Hold.begin('hold', ...threadsOf(agent.pid, 'fw-decision'));
      await sleep(1000);
    },
  ],
  [
    'agent SIGKILL, another takes over',
    async () => {
      await agent.stop('SIGKILL');
      agent = await site.start({}, configuration);
    },
  ],
  ['guardian SIGKILL', async () => process.kill(await site.guardian(), 'SIGKILL')],
  [
    'guardian SIGSTOP',
    async () => {
      process.kill(await site.guardian(), 'SIGSTOP');
      await sleep(2000);
    },
  ],
  [
    'agent SIGTERM, another starts',
    async () => {
      await agent.stop();
      agent = await site.start({}, configuration);
    },
  ],
];

const rows = [['', 'opens', 'median ms', 'p99 ms', 'longest ms']];
const ms = (us: number) => (us / 1000).toFixed(us < 1000 ? 3 : 1);
try {
  for (const [name, cause] of events) {
    const all: Waits[] = [];
    for (let round = 0; round < rounds; round++) all.push(await during(cause));
    const { opens, medianUs, p99Us, longestUs } = together(all);
    rows.push([name, String(opens), ms(medianUs), ms(p99Us), ms(longestUs)]);
  }
  printTable(rows);
} finally {
  await site.guardian().catch(() => 0);
  await site.remove(agent);
}

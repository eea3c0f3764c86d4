/**
 * How long the longest open takes while something goes wrong with the agent, in the amounts that the issue of it names:
 * a JavaScript loop of 30 s, a heap of 2 GB, 1,000 reloads, 10,000 opens at once; with the deadline that everybody has.
 * Writes its table into docs/endurance.md.
 */
import { failures } from '../kernel/load/failures.ts';
import { type Held, heldBy } from '../kernel/load/held.ts';
import { LoadSite } from '../kernel/load/site.ts';
import { writeTable } from './docs-table.ts';
import { printTable } from './table.ts';

const amounts = { seconds: 10, loopSeconds: 30, heapMib: 2048, reloads: 1000, atOnce: 10_000 };
const deadlineMs = 100;
const milliseconds = (microseconds: number): string => (microseconds / 1000).toFixed(1);

const rows = [
  [
    'what goes wrong',
    'opens',
    'longest, ms',
    'p99, ms',
    'refused wrongly',
    'let through',
    'refused',
    'told',
    'told as lost',
    'MiB',
    'descriptors',
    'marks',
  ],
];
for (const { name, site: options = {}, measure } of failures) {
  const site = await LoadSite.make({ deadlineMs, ...options });
  const before = heldBy(site.agent.pid);
  const waits = await measure(site, amounts);
  const after = heldBy(site.agent.pid);
  await site.agent.stop();
  const { denied, lost } = site.told();
  const change = (of: (held: Held) => number): string =>
    [before, after].map((held) => of(held).toFixed(0)).join(' → ');
  const row = [
    name,
    String(waits.opens),
    milliseconds(waits.longestUs),
    milliseconds(waits.p99Us),
    String(waits.wrong),
    String(waits.letThrough),
    String(site.denied),
    site.tells ? String(denied) : '-',
    site.tells ? String(lost) : '-',
    change((held) => held.memoryMib),
    change((held) => held.descriptors),
    change((held) => held.marks),
  ];
  rows.push(row);
  console.log(row.join(', '));
  await site.remove();
}
printTable(rows);
writeTable('failures', rows);

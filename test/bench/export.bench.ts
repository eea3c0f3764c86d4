/**
 * What a record costs on its way through the outbox, disk included, to a collector on this machine, beside the stock
 * SDK path made lossless, in one run; and what becomes of 50,000 records a second for a minute.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { missingBackends } from '../backends/programs.ts';
import { stopServers } from '../backends/server-process.ts';
import { startCollector } from '../backends/servers.ts';
import type { Measured } from './export-producer.ts';
import { median, printTable } from './table.ts';

const records = 100_000;
const rounds = 3;
const offeredRate = 50_000;
const offeredSeconds = 60;
const lifetimeMs = 300_000;

function script(name: string): string[] {
  return ['--disable-warning=ExperimentalWarning', path.join(import.meta.dirname, name)];
}

/** The counting collector, in a process of its own. */
class Sink {
  readonly url: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    child: ChildProcessByStdio<Writable, Readable, null>,
    lines: AsyncIterator<string>,
    port: string,
  ) {
    this.#child = child;
    this.#lines = lines;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(): Promise<Sink> {
    const child = spawn(process.execPath, script('counting-collector.ts'), {
      stdio: ['pipe', 'pipe', 'inherit'],
      timeout: lifetimeMs,
      killSignal: 'SIGKILL',
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return new Sink(child, lines, String((await lines.next()).value));
  }

  async count(): Promise<number> {
    this.#child.stdin.write('\n');
    return Number((await this.#lines.next()).value);
  }

  async close(): Promise<void> {
    this.#child.stdin.end();
    await once(this.#child, 'close');
  }
}

async function produce(...args: (string | number)[]): Promise<Measured> {
  const child = spawn(process.execPath, [...script('export-producer.ts'), ...args.map(String)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: lifetimeMs,
    killSignal: 'SIGKILL',
  });
  return JSON.parse(await text(child.stdout));
}

interface Row {
  readonly name: string;
  readonly rate: number;
  readonly cpuMicroseconds: number;
  readonly mebibytes: number;
}

/** In turns, so that a change of the machine's speed meets both. */
async function compare(collector: string, url: () => Promise<string>): Promise<void> {
  const sides = { stock: [] as Measured[], ours: [] as Measured[] };
  for (let round = 0; round < rounds; round++) {
    for (const side of ['stock', 'ours'] as const) {
      const measured = await produce(side, await url(), records);
      if (measured.exported !== records) throw new Error(`${side}: ${JSON.stringify(measured)}`);
      sides[side].push(measured);
    }
  }
  const row = (name: string, of: readonly Measured[]): Row => ({
    name,
    rate: records / median(of.map(({ seconds }) => seconds)),
    cpuMicroseconds: (median(of.map(({ cpuSeconds }) => cpuSeconds)) / records) * 1e6,
    mebibytes: median(of.map(({ mebibytes }) => mebibytes)),
  });
  const stock = row('stock SDK, in memory', sides.stock);
  const rows = [stock, row('fileward, on disk until acknowledged', sides.ours)];
  console.log(`\n${records} records of some 1.4 KB to ${collector}; median of ${rounds} rounds`);
  printTable([
    ['', 'records/s', 'CPU µs/record', 'peak MiB', 'x rate', 'x CPU'],
    ...rows.map(({ name, rate, cpuMicroseconds, mebibytes }) => [
      name,
      rate.toFixed(0),
      cpuMicroseconds.toFixed(1),
      mebibytes.toFixed(0),
      (rate / stock.rate).toFixed(2),
      (cpuMicroseconds / stock.cpuMicroseconds).toFixed(2),
    ]),
  ]);
}

async function offer(): Promise<void> {
  const sink = await Sink.start();
  const measured = await produce('offered', sink.url, offeredSeconds, offeredRate);
  const arrived = await sink.count();
  await sink.close();
  const { offered, exported, lost, unaccounted, seconds, cpuSeconds, mebibytes } = measured;
  console.log(`\n${offeredRate} records a second offered for ${offeredSeconds} s`);
  printTable([
    ['records', 'number'],
    ['offered', String(offered)],
    ['acknowledged', String(exported)],
    ...Object.entries(lost).map(([reason, number]) => [`lost: ${reason}`, String(number)]),
    ['unaccounted', String(unaccounted)],
    ['arrived, with duplicates', String(arrived)],
    ['acknowledged a second', (exported / seconds).toFixed(0)],
    ['CPU µs per offered record', ((cpuSeconds / offered) * 1e6).toFixed(1)],
    ['peak MiB', mebibytes.toFixed(0)],
  ]);
  if (unaccounted !== 0 || arrived < exported) throw new Error('records are not accounted for');
}

const sink = await Sink.start();
await compare('a collector that counts', async () => sink.url);
await sink.close();
if (missingBackends()) {
  console.log(`\nno real collector: ${missingBackends()}`);
} else {
  const overrides = {
    service: {
      pipelines: { 'logs/alert': { exporters: ['debug'] }, 'logs/bulk': { exporters: ['debug'] } },
    },
  };
  const collector = await startCollector({ overrides });
  await compare('the OpenTelemetry Collector', async () => collector.grpcUrl);
  await stopServers();
}
await offer();

/**
 * The thread behind the outbox: owns what waits (`Holding`, with the database) and the connections to the collector (one
 * sender a lane). The main thread hands it chunks and never waits for it; it answers with reports, one for all that
 * changed in a turn. It must not make records: what was lost it tells, and the pipeline makes the record of it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { LANES, type Lane } from './chunk.ts';
import { Holding } from './holding.ts';
import { LaneSender } from './lane-sender.ts';
import type { FromWorker, ToWorker, WorkerData } from './outbox-messages.ts';
import { transportOf } from './transport-of.ts';

const { file, scope, settings, taken } = workerData as WorkerData;
const takenBytes = new BigUint64Array(taken);

let isReportDue = false;
/** Main-thread questions that can't be answered yet. */
const waiting = new Map<number, () => boolean>();

const holding = new Holding({
  file,
  limitBytes: settings.limitBytes,
  onReady: (lane) => senders.get(lane)?.wake(),
  onChange: reportSoon,
});
const collector = { refusedInARow: 0 };
const senders = new Map<Lane, LaneSender>(
  LANES.map((lane) => [
    lane,
    new LaneSender({
      lane,
      holding,
      scope,
      collector,
      transport: transportOf('logs', settings.export),
      onChange: reportSoon,
    }),
  ]),
);
parentPort?.on('message', take);
holding.open();
reportSoon();

function take(message: ToWorker): void {
  switch (message.kind) {
    case 'chunk': {
      const { number, chunk } = message;
      Atomics.add(takenBytes, 0, BigInt(chunk.body.length));
      holding.add(number, chunk);
      return;
    }
    case 'configure': {
      const { limitBytes, export: settings } = message.settings;
      holding.limitBytes = limitBytes;
      collector.refusedInARow = 0;
      for (const sender of senders.values()) sender.use(transportOf('logs', settings));
      return;
    }
    case 'settle': {
      const { lastChunk } = holding;
      waiting.set(message.id, () => holding.isSettled(lastChunk));
      holding.commit();
      break;
    }
    case 'flush':
      waiting.set(message.id, () => holding.isEmpty);
      holding.commit();
      for (const sender of senders.values()) sender.hurry();
      break;
    case 'stop':
      for (const [lane, sender] of senders) {
        const undelivered = sender.stop();
        if (lane === 'accessed') holding.dropAccessed(undelivered);
      }
      waiting.set(message.id, () => true);
      break;
    case 'close':
      holding.close();
      waiting.set(message.id, () => true);
      break;
  }
  reportSoon();
}

function reportSoon(): void {
  if (isReportDue) return;
  isReportDue = true;
  setImmediate(report);
}

/** Then the answers to which the report belongs. */
function report(): void {
  isReportDue = false;
  const all = [...senders.values()];
  post({
    kind: 'report',
    ...holding.report(),
    retries: all.reduce((sum, { retries }) => sum + retries, 0),
    problem: all.find(({ problem }) => problem !== '')?.problem ?? '',
  });
  for (const [id, isDone] of waiting) {
    if (!isDone()) continue;
    waiting.delete(id);
    post({ kind: 'done', id });
  }
}

function post(message: FromWorker): void {
  parentPort?.postMessage(message);
}

/**
 * Loaded into an agent by NODE_OPTIONS=--import: on SIGUSR2 its JavaScript thread does what the file named by
 * FILEWARD_TEST_FAULT says, and then writes `done` into it.
 *   loop SECONDS     runs without ever returning to the event loop
 *   heap MIB         fills that much heap with small objects and collects garbage, twice
 *   descriptors N    opens so many files, or as many as it can, and keeps them; 0 gives them back
 *   warnings N       has Node.js warn of something so many times
 */
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread } from 'node:worker_threads';

const file = process.env['FILEWARD_TEST_FAULT'] ?? '';
const kept: number[] = [];

function loop(seconds: number): void {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end);
}

function fillHeap(mebibytes: number): void {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const all: object[][] = [];
  while (process.memoryUsage().heapUsed < mebibytes * 1024 * 1024) {
    const some: object[] = [];
    for (let i = 0; i < 200_000; i++) some.push({ i, text: [i], next: some });
    all.push(some);
  }
  collect();
  collect();
  all.length = 0;
}

function takeDescriptors(count: number): void {
  for (const fd of kept.splice(0)) closeSync(fd);
  try {
    for (let i = 0; i < count; i++) kept.push(openSync('/dev/null', 'r'));
  } catch {
    // all that there are
  }
}

function warn(count: number): void {
  for (let i = 0; i < count; i++) process.emitWarning(`warning ${i}`);
}

const faults: Readonly<Record<string, (amount: number) => void>> = {
  loop,
  heap: fillHeap,
  descriptors: takeDescriptors,
  warnings: warn,
};

/** Where there is no descriptor left, with some of those that were taken. */
function withRoom<T>(work: () => T): T {
  for (;;) {
    try {
      return work();
    } catch (error) {
      const spare = kept.pop();
      if (spare === undefined) throw error;
      closeSync(spare);
    }
  }
}

if (isMainThread) {
  process.on('SIGUSR2', () => {
    const [what = '', amount = ''] = withRoom(() => readFileSync(file, 'utf8')).split(' ');
    // Opened before: there may be none left then.
    const done = withRoom(() => openSync(file, 'w'));
    faults[what]?.(Number(amount));
    writeFileSync(done, 'done');
    closeSync(done);
  });
}

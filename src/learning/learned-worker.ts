/**
 * The worker thread of learned.db: owns the connection, writes one update at a time and answers each. No connection is
 * used after an error: the next update opens a new one.
 */
import { existsSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { Reply } from './learned-keeper.ts';
import { isCorrupt, LearnedStore, type LearnedUpdate, setFileAside } from './learned-store.ts';

const { file, ...given } = workerData as { readonly file: string; readonly unread: boolean };
let { unread } = given;
let store: LearnedStore | undefined;

parentPort?.on('message', (update: LearnedUpdate) => parentPort?.postMessage(write(update)));

function write(update: LearnedUpdate): Reply {
  try {
    // Its ids are not known: written into, it would say of one pair what was learned of another.
    if (unread && existsSync(file)) setFileAside(file);
    unread = false;
    store ??= new LearnedStore(file);
    store.write(update);
    return { written: true };
  } catch (error) {
    try {
      store?.close();
      store = undefined;
      if (!isCorrupt(error)) return { problem: String(error) };
      setFileAside(file);
      return { damaged: String(error) };
    } catch (other) {
      store = undefined;
      return { problem: String(other) };
    }
  }
}

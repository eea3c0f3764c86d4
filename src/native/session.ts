/**
 * The drain loop: takes event records from a native session whenever it wakes us, slice by slice, so that a burst never
 * holds the event loop for long.
 */
import { setImmediate as setImmediatePromise } from 'node:timers/promises';
import type { Native, Session, SessionOptions } from './addon.ts';
import { EventBatch } from './event-batch.ts';

/** Some 500 records of usual length, and more than the longest one (kMaxRecordBytes, 62 KB). */
const sliceBytes = 128 * 1024;
/** So many hold all that two full rings do (kRingBytes, 16 MiB each): what comes meanwhile isn't waited for. */
const mostSlices = (2 * 16 * 1024 * 1024) / sliceBytes;

export interface EventSessionOptions extends Omit<SessionOptions, 'onWake'> {
  /** Gets each slice; the batch is valid until this returns. */
  readonly onBatch: (batch: EventBatch) => void;
}

export interface EventSession extends Omit<Session, 'drain'> {
  /** Hands over at once all that waits, for a flush. */
  drainNow(): void;
  /** Hands over what waits now, slice by slice. */
  drain(): Promise<void>;
}

/**
 * Opens a native session whose records go to `onBatch`. `close()` hands over what was left before it returns.
 * @throws Error with code, errno and syscall (e.g. EPERM of fanotify_init) when the machine can't do it.
 */
export function openEventSession(native: Native, options: EventSessionOptions): EventSession {
  const { onBatch, ...rest } = options;
  const buffer = new Uint8Array(sliceBytes);
  let scheduled = false;

  function drainSlice(): boolean {
    const bytes = session.drain(buffer);
    if (bytes === 0) return false;
    onBatch(new EventBatch(buffer.subarray(0, bytes), native.failureNames));
    return true;
  }
  function drainNow(): void {
    while (drainSlice());
  }
  async function drain(): Promise<void> {
    for (let slice = 0; slice < mostSlices && drainSlice(); slice++) await setImmediatePromise();
  }
  function turn(): void {
    scheduled = false;
    // A batch that throws must not end the loop: the rest is scheduled before the error goes up.
    let more = true;
    try {
      more = drainSlice();
    } finally {
      if (more) schedule();
    }
  }
  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(turn);
  }

  const session = native.openSession({ ...rest, onWake: schedule });
  return {
    setRuleset: (json, version, workloads) => session.setRuleset(json, version, workloads),
    setWorkloads: (workloads) => session.setWorkloads(workloads),
    stats: () => session.stats(),
    release: (path) => session.release(path),
    coveredFiles: () => session.coveredFiles(),
    drainNow,
    drain,
    close() {
      const ended = session.close();
      drainNow();
      return ended;
    },
  };
}

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Native, Session, SessionOptions } from '../../../src/native/addon.ts';
import { type EventSession, openEventSession } from '../../../src/native/session.ts';
import { encodeEvent } from './event-record.ts';

/** A session that is fed by the test: each inner list is what one call of `drain` gives. */
class FakeSession {
  readonly slices: Buffer[] = [];
  closed = false;
  wake: () => void = () => assert.fail('woken before it was opened');

  open(onPath: (path: string) => void): EventSession {
    const session: Partial<Session> = {
      drain: (buffer) => {
        const slice = this.slices.shift();
        if (slice === undefined) return 0;
        buffer.set(slice);
        return slice.length;
      },
      close: () => {
        this.closed = true;
        this.slices.push(encodeEvent({ kind: 1 }, { path: '/last' }));
        return true;
      },
    };
    const native: Partial<Native> = {
      failureNames: [],
      openSession: (options: SessionOptions) => {
        this.wake = options.onWake;
        return session as Session;
      },
    };
    return openEventSession(native as Native, {
      onBatch: (batch) => {
        while (batch.next()) onPath(batch.pathText);
      },
      onCoverage: () => {},
      onFatal: (error) => assert.fail(error),
      collectArgs: false,
    });
  }

  put(...paths: string[]): void {
    this.slices.push(Buffer.concat(paths.map((path) => encodeEvent({ kind: 1 }, { path }))));
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe('an event session', () => {
  it('hands over one slice a turn, in order', async () => {
    const seen: string[] = [];
    const fake = new FakeSession();
    fake.open((path) => seen.push(path));
    fake.put('/1', '/2');
    fake.put('/3');
    fake.wake();
    assert.deepEqual(seen, [], 'not inside the wake-up');
    await turn();
    assert.deepEqual(seen, ['/1', '/2'], 'timers and sockets have their turn between slices');
    await turn();
    assert.deepEqual(seen, ['/1', '/2', '/3']);
  });

  it('takes a second wake-up before the first was served as one', async () => {
    const seen: string[] = [];
    const fake = new FakeSession();
    fake.open((path) => seen.push(path));
    fake.put('/1');
    fake.put('/2');
    fake.wake();
    fake.wake();
    await turn();
    assert.deepEqual(seen, ['/1']);
  });

  it('hands over at once on drainNow, and the rest on close', () => {
    const seen: string[] = [];
    const fake = new FakeSession();
    const session = fake.open((path) => seen.push(path));
    fake.put('/1');
    fake.put('/2');
    session.drainNow();
    assert.deepEqual(seen, ['/1', '/2']);
    session.close();
    assert.ok(fake.closed);
    assert.deepEqual(seen, ['/1', '/2', '/last']);
  });
});

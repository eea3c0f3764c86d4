import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { AliveFile } from '../../../src/control/alive.ts';

const now = () => Promise.resolve(BigInt(Date.now()) * 1_000_000n);
const folder = mkdtempSync(path.join(tmpdir(), 'fileward-alive-'));
const file = path.join(folder, 'alive');
after(() => rmSync(folder, { recursive: true }));

describe('the alive file', () => {
  it('says nothing at the first start and after an end in order', () => {
    for (let start = 0; start < 2; start++) {
      const alive = new AliveFile(folder);
      assert.equal(alive.crashedNs, undefined);
      alive.begin(now);
      assert.equal(statSync(file).mode & 0o777, 0o600);
      alive.end(true);
      assert.equal(existsSync(file), false);
    }
  });

  it('stays when something could not be told in the end', () => {
    const alive = new AliveFile(folder);
    alive.begin(now);
    alive.end(false);
    const next = new AliveFile(folder);
    assert.ok(next.crashedNs !== undefined);
    next.begin(now);
    next.end(true);
    assert.equal(existsSync(file), false);
  });

  it('says since when nobody looked, until the crash was told', () => {
    const crashed = new AliveFile(folder);
    crashed.begin(now);
    // An agent that is killed does not end it; this process has to let go of the timer.
    crashed.end(true);
    new AliveFile(folder).begin(now);
    utimesSync(file, 1000, 1000);
    const killedEarly = new AliveFile(folder);
    assert.equal(killedEarly.crashedNs, 1000n * 1_000_000_000n);
    killedEarly.end(true);
    assert.equal(new AliveFile(folder).crashedNs, 1000n * 1_000_000_000n);
  });

  it('is touched while the agent lives', async () => {
    const alive = new AliveFile(folder);
    alive.begin(now);
    utimesSync(file, 1000, 1000);
    const deadline = Date.now() + 30_000;
    while (statSync(file).mtimeMs === 1_000_000 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.ok(statSync(file).mtimeMs > 1_000_000);
    alive.end(true);
  });

  it('goes no further than what is told for certain', async () => {
    const alive = new AliveFile(folder);
    let asked = 0;
    alive.begin(async () => {
      asked += 1;
      return asked === 1 ? undefined : 5_000_000_000n;
    });
    const began = statSync(file).mtimeMs;
    assert.ok(Math.abs(began - Date.now()) < 60_000);
    const deadline = Date.now() + 30_000;
    while (asked < 2 || statSync(file).mtimeMs === began) {
      assert.ok(Date.now() < deadline);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(statSync(file).mtimeMs, 5000);
    alive.end(true);
  });
});

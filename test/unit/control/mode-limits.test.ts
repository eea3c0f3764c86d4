import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { breakGlass, ModeLimits } from '../../../src/control/mode-limits.ts';
import { StateDirectory } from '../../../src/control/state-directory.ts';

let folder: string;
let now: number;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'fileward-limits-'));
  now = Date.parse('2026-01-01T00:00:00Z');
});
afterEach(() => rmSync(folder, { recursive: true }));

function limits(env: NodeJS.ProcessEnv = {}): ModeLimits {
  return new ModeLimits(new StateDirectory(folder, () => true), env, () => now);
}

describe('break glass', () => {
  it('is the variable or the word on the kernel command line, and nothing like it', () => {
    assert.equal(breakGlass({ FILEWARD_MODE: 'monitor' }, ''), 'FILEWARD_MODE=monitor');
    assert.match(breakGlass({}, 'quiet fileward.mode=monitor ro'), /kernel command line/);
    assert.equal(breakGlass({ FILEWARD_MODE: 'protect' }, 'quiet'), '');
    assert.equal(breakGlass({}, 'xfileward.mode=monitor fileward.mode=monitors'), '');
  });

  it('caps every rule', () => {
    assert.equal(limits({ FILEWARD_MODE: 'monitor' }).cap('host', 'shadow'), 'monitor');
  });
});

describe('a pause', () => {
  it('caps what it names and nothing else', () => {
    const it = limits();
    it.pause({ group: 'host', rule: 'shadow', for_ms: 1000, reason: 'r' });
    assert.equal(it.cap('host', 'shadow'), 'monitor');
    assert.equal(it.cap('host', 'other'), undefined);
    assert.equal(it.cap('web', 'shadow'), undefined);
  });

  it('without a target caps everything', () => {
    const it = limits();
    it.pause({ for_ms: 1000, reason: 'r' });
    assert.equal(it.cap('host', 'shadow'), 'monitor');
  });

  it('outlives the agent and ends at its time', () => {
    limits().pause({ group: 'host', for_ms: 60_000, reason: 'backup' });
    const restarted = limits();
    assert.equal(restarted.cap('host', 'any'), 'monitor');
    assert.equal(restarted.untilNext(), 60_000);
    now += 60_000;
    assert.deepEqual(
      restarted.takeEnded().map((pause) => pause.reason),
      ['backup'],
    );
    assert.equal(restarted.cap('host', 'any'), undefined);
    assert.equal(limits().pauses.length, 0);
  });

  it('of the same target is replaced by a new one', () => {
    const it = limits();
    it.pause({ group: 'host', for_ms: 60_000, reason: 'a' });
    it.pause({ group: 'host', for_ms: 1_000, reason: 'b' });
    assert.deepEqual(
      it.pauses.map((pause) => pause.reason),
      ['b'],
    );
  });

  it('is ended by its target, or with all others by none', () => {
    const it = limits();
    it.pause({ group: 'host', for_ms: 60_000, reason: 'a' });
    it.pause({ group: 'web', for_ms: 60_000, reason: 'b' });
    assert.throws(() => it.resume({ group: 'db' }), { status: 1 });
    assert.equal(it.resume({ group: 'host' }).length, 1);
    assert.equal(it.resume({}).length, 1);
    assert.throws(() => it.resume({}), { status: 1 });
  });
});

describe('confirmation', () => {
  it('falls back in its time, and only what was not confirmed', () => {
    const it = limits();
    assert.deepEqual(it.awaitConfirmation(new Set(['host', 'web']), 1000), ['host', 'web']);
    assert.equal(it.cap('host', 'r'), undefined);
    now += 999;
    assert.deepEqual(it.takeUnconfirmed(), []);
    now += 1;
    assert.deepEqual(it.takeUnconfirmed(), ['host', 'web']);
    assert.equal(it.cap('host', 'r'), 'monitor');
    assert.equal(it.cap('db', 'r'), undefined);
    assert.throws(() => it.confirm(), /too late: host, web/);
  });

  it('is remembered over a restart, and a group that newly protects needs its own', () => {
    const first = limits();
    first.awaitConfirmation(new Set(['host']), 1000);
    assert.deepEqual(first.confirm(), ['host']);
    const second = limits();
    assert.deepEqual(second.awaitConfirmation(new Set(['host', 'web']), 1000), ['web']);
    now += 1000;
    assert.deepEqual(second.takeUnconfirmed(), ['web']);
    assert.equal(second.cap('host', 'r'), undefined);
  });

  it('does not start anew with each reload of the same groups', () => {
    const it = limits();
    it.awaitConfirmation(new Set(['host']), 1000);
    now += 600;
    it.awaitConfirmation(new Set(['host']), 1000);
    assert.equal(it.untilNext(), 400);
  });

  it('is forgotten when the group stops protecting', () => {
    const it = limits();
    it.awaitConfirmation(new Set(['host']), 1000);
    it.confirm();
    it.awaitConfirmation(new Set(), 1000);
    assert.deepEqual(it.awaitConfirmation(new Set(['host']), 1000), ['host']);
  });

  it('that nothing waits for is said so', () => {
    assert.throws(() => limits().confirm(), { status: 1, message: /nothing waits/ });
  });
});

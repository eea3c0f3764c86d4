import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { GuardianKeeper } from '../../../src/control/guardian-keeper.ts';
import type { GuardianStats } from '../../../src/native/addon.ts';
import type { About } from '../../../src/records/agent-records.ts';
import type { Loss } from '../../../src/records/loss.ts';
import { guardianStats } from '../native/guardian-stats.ts';

const SECOND = 1_000_000_000n;
const START = 1_790_000_000n * SECOND;

interface Told {
  readonly event: string;
  readonly body: string;
  readonly about: About;
}

/** A keeper whose second hand and numbers the test turns. */
class Turned {
  readonly told: Told[] = [];
  readonly losses: Loss[] = [];
  enforcing = true;
  readonly keeper: GuardianKeeper;
  #second = 0;
  #guardian: GuardianStats = guardianStats();
  #late = 0n;

  constructor(t: TestContext) {
    this.keeper = new GuardianKeeper({
      log: pino({ enabled: false }),
      stats: () => ({ guardian: this.#guardian, failures: { deadline: this.#late } }),
      tell: (event, body, about) => this.told.push({ event, body, about }),
      lost: (loss) => this.losses.push(loss),
      onEnforcing: (enforcing) => (this.enforcing = enforcing),
      clock: {
        nowMs: () => this.#second * 1000,
        nowNs: () => START + BigInt(this.#second) * SECOND,
      },
    });
    t.after(() => this.keeper.close());
  }

  at(second: number, guardian: Partial<GuardianStats> = {}, late = this.#late): void {
    this.#second = second;
    const { episodes = [] } = guardian;
    const count = this.#guardian.episode_count + episodes.length;
    this.#guardian = { ...this.#guardian, ...guardian, episode_count: count };
    this.#late = late;
    this.keeper.check();
  }

  /** What was told since the last call. */
  take(): string[] {
    return this.told.splice(0).map(({ event, about }) => {
      const { error_type: type, firstSeen = '', lastSeen = '', allowed, denied, count } = about;
      const numbers = [allowed, denied, count].filter((each) => each !== undefined);
      return [event.replace('fileward.enforcement.', ''), type, firstSeen, lastSeen, ...numbers]
        .filter((each) => each !== '')
        .join(' ');
    });
  }
}

const since = (second: number) => START + BigInt(second) * SECOND;

describe('the guardian keeper', () => {
  it('has nothing to tell as long as the agent answers', (t) => {
    const test = new Turned(t);
    for (let second = 1; second < 30; second++) test.at(second);
    assert.deepEqual([test.take(), test.losses, test.keeper.troubles], [[], [], []]);
    assert.equal(test.enforcing, true);
  });

  it('tells who stands in when it begins and when it is over', (t) => {
    const test = new Turned(t);
    test.at(1, { standing_in: 'canary', since_ns: since(1) });
    test.at(2, { answered: { allowed: 3n, denied: 1n } });
    assert.deepEqual(test.take(), [`degraded canary ${since(1)}`]);
    assert.equal(test.enforcing, false);
    assert.equal(test.keeper.troubles.length, 1);
    const episode = { reason: 'canary', from_ns: since(1), to_ns: since(6) } as const;
    const answers = { allowed: 5n, denied: 1n };
    test.at(6, { standing_in: '', answered: answers, episodes: [{ ...episode, ...answers }] });
    test.at(7);
    assert.deepEqual(test.take(), [`restored canary ${since(1)} ${since(6)} 5 1`]);
    assert.deepEqual([test.enforcing, test.keeper.troubles], [true, []]);
    assert.deepEqual(
      test.losses.map(({ reason, stage, count }) => `${reason} ${stage} ${count}`),
      ['deadline kernel 4', 'deadline kernel 2'],
    );
  });

  it('tells both afterwards when it could not look meanwhile', (t) => {
    const test = new Turned(t);
    test.at(1);
    const stopped = { reason: 'not_reading', allowed: 7n, denied: 2n } as const;
    const episodes = [
      { ...stopped, from_ns: since(2), to_ns: since(60) },
      { ...stopped, from_ns: since(61), to_ns: since(90), denied: 0n },
    ];
    test.at(100, { episodes, answered: { allowed: 14n, denied: 2n } });
    assert.deepEqual(test.take(), [
      `degraded not_reading ${since(2)} 7 2`,
      `restored not_reading ${since(2)} ${since(60)} 7 2`,
      `degraded not_reading ${since(61)} 7 0`,
      `restored not_reading ${since(61)} ${since(90)} 7 0`,
    ]);
    assert.deepEqual(test.losses, [
      { reason: 'deadline', stage: 'kernel', count: 16, fromNs: since(1), toNs: since(100) },
    ]);
  });

  it('tells one that is over and the one that goes on', (t) => {
    const test = new Turned(t);
    test.at(1, { standing_in: 'canary', since_ns: since(1) });
    test.take();
    const over = { reason: 'canary', from_ns: since(1), to_ns: since(6) } as const;
    const episodes = [{ ...over, allowed: 0n, denied: 0n }];
    test.at(9, { standing_in: 'not_reading', since_ns: since(8), episodes });
    assert.deepEqual(test.take(), [
      `restored canary ${since(1)} ${since(6)} 0 0`,
      `degraded not_reading ${since(8)}`,
    ]);
  });

  it('tells late verdicts once, until none has been late for ten seconds', (t) => {
    const test = new Turned(t);
    test.at(1);
    test.at(2, {}, 2n);
    test.at(3, { late: 1n });
    test.at(9);
    assert.deepEqual(test.take(), [`degraded deadline ${since(1)} 2`]);
    test.at(13);
    assert.deepEqual(test.take(), [`restored deadline ${since(1)} ${since(3)} 3`]);
    assert.deepEqual(test.losses, []);
  });

  it('takes what is late while the guardian stands in for part of that', (t) => {
    const test = new Turned(t);
    test.at(1, { standing_in: 'not_reading', since_ns: since(1) }, 4n);
    const over = { reason: 'not_reading', from_ns: since(1), to_ns: since(2) } as const;
    const episodes = [{ ...over, allowed: 0n, denied: 0n }];
    test.at(2, { standing_in: '', episodes }, 5n);
    test.at(3);
    assert.deepEqual(
      test.take().map((each) => each.split(' ')[1]),
      ['not_reading', 'not_reading'],
    );
  });

  it('tells that the guardian is gone, also when another stands already', (t) => {
    const test = new Turned(t);
    test.at(1, { pid: 0 });
    test.at(2);
    assert.deepEqual(test.take(), [`degraded no_guardian ${since(0)}`]);
    assert.equal(test.keeper.troubles.length, 1);
    test.at(3, { pid: 8, restarts: 1 });
    assert.deepEqual(test.take(), [`restored no_guardian ${since(0)} ${since(3)}`]);
    test.at(4, { pid: 9, restarts: 2 });
    assert.deepEqual(test.take(), [
      `degraded no_guardian ${since(3)}`,
      `restored no_guardian ${since(3)} ${since(4)}`,
    ]);
    assert.equal(test.enforcing, true);
  });

  it('tells what was done for an agent that had died, and what was lost with it', (t) => {
    const test = new Turned(t);
    test.at(9);
    test.keeper.tellLegacy({ agent: 5, sinceNs: since(3), allowed: 2, denied: 4 });
    assert.deepEqual(test.take(), [
      `degraded agent_gone ${since(3)} 2 4`,
      `restored agent_gone ${since(3)} ${since(9)} 2 4`,
    ]);
    assert.deepEqual(test.losses, [
      { reason: 'deadline', stage: 'kernel', count: 6, fromNs: since(3), toNs: since(9) },
    ]);
  });

  it('tells that it cannot know all files', (t) => {
    const test = new Turned(t);
    test.at(1, { deny_table: { entries: 9, full: true } });
    test.at(2);
    assert.equal(test.keeper.troubles.length, 1);
    test.at(3, { deny_table: { entries: 9, full: false } });
    assert.deepEqual(
      test.told.map(({ event, about }) => `${event} ${about.error_type}`),
      ['fileward.coverage.degraded deny_table_full', 'fileward.coverage.restored deny_table_full'],
    );
    assert.deepEqual(test.keeper.troubles, []);
  });

  it('says nothing after its end', (t) => {
    const test = new Turned(t);
    test.keeper.close();
    test.keeper.close();
    assert.deepEqual(test.take(), []);
  });
});

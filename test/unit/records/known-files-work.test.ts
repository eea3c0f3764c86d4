/** The known files at work, with their worker and database; what the native core and the pipeline would do is said. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadNative } from '../../../src/native/load.ts';
import {
  type ComparedFiles,
  KnownFiles,
  type KnownFilesOptions,
} from '../../../src/records/known-files.ts';
import { rule, ruleset } from '../native/rulesets.ts';
import { coveredBytes, type Files } from './covered-files.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fileward-known-'));
after(() => rmSync(folder, { recursive: true }));

const native = loadNative();
const policy = JSON.stringify(
  ruleset([[rule({ name: 'all', path: ['/**'], operations: ['write'] })]]),
);

const ownRule = 7;

class Run {
  readonly told: string[] = [];
  readonly degraded: string[] = [];
  restored = 0;
  compared: ComparedFiles | undefined;
  /** What changed since the last look. */
  changes: Files = {};
  readonly knownFiles: KnownFiles;

  constructor(
    file: string,
    files: Files,
    options: Partial<KnownFilesOptions> & { readonly leftOut?: number } = {},
    json = policy,
  ) {
    const looks = [coveredBytes(files, true, options.leftOut)];
    this.knownFiles = new KnownFiles({
      file,
      session: {
        coveredFiles: async () => looks.shift() ?? this.#takeChanges(),
        drain: async () => {},
      },
      pipeline: {
        found: ({ operation, path: name }) => this.told.push(`${operation} ${Buffer.from(name)}`),
        learnHashes: () => {},
        notTold: () => new Set(),
        takeHashes: () => [],
      },
      settled: async () => {},
      createEvaluator: (before) => native.createEvaluator(before.json, before.resolved),
      onCompared: (about) => {
        this.compared = about;
      },
      onDegraded: (reason, _body, error) => this.degraded.push(`${reason}: ${error}`),
      onRestored: () => {
        this.restored += 1;
      },
      ...options,
    });
    this.knownFiles.usePlan({
      policy: { json, resolved: {} },
      hashed: [false],
      own: [ownRule],
      largestHash: 0,
    });
    this.knownFiles.start();
  }

  #takeChanges(): Buffer<ArrayBuffer> {
    const bytes = coveredBytes(this.changes, false);
    this.changes = {};
    return bytes;
  }

  /** Ends it when it has compared. */
  async finish(): Promise<this> {
    await until(() => this.compared !== undefined);
    await this.knownFiles.end();
    return this;
  }
}

async function until(holds: () => boolean): Promise<void> {
  const end = Date.now() + 30_000;
  while (!holds()) {
    assert.ok(Date.now() < end, `never: ${holds}`);
    await sleep(10);
  }
}

describe('a database that can not be used at the start', () => {
  it('is tried again until it can: it is said once, nothing is forgotten and nothing told twice', async () => {
    const state = path.join(folder, 'state');
    const file = path.join(state, 'known-files.db');
    mkdirSync(state);
    await new Run(file, { '/a': {}, '/b': {} }).finish();
    renameSync(state, `${state}-away`);
    const now = { '/a': { size: 6 }, '/b': {}, '/c': {} };
    const run = new Run(file, now);
    await until(() => run.degraded.length > 0);
    run.changes = { '/d': {} };
    // Behind the second try.
    await sleep(1500);
    assert.equal(run.compared, undefined);
    renameSync(`${state}-away`, state);
    await run.finish();
    assert.deepEqual(run.told, ['write /a', 'create /c']);
    assert.match(run.degraded.join(), /^known_files_failed: [^,]*ENOENT/);
    assert.equal(run.degraded.length, 1);
    assert.equal(run.restored, 1);
    const next = await new Run(file, { ...now, '/d': {} }).finish();
    assert.deepEqual(next.told, []);
    assert.deepEqual(next.degraded, []);
  });

  it('does not hold up the end', async () => {
    const run = new Run(path.join(folder, 'nowhere/known-files.db'), { '/a': {} });
    await until(() => run.degraded.length > 0);
    await run.knownFiles.end();
    assert.equal(run.restored, 0);
    assert.equal(run.degraded.length, 1);
  });
});

describe("the agent's own files", () => {
  it('are not compared: the last to write them was the agent', async () => {
    const file = path.join(folder, 'own.db');
    const mine = { '/state/a': { rule_index: ownRule }, '/state/b': { rule_index: ownRule } };
    const first = new Run(file, { '/a': {}, ...mine });
    await until(() => first.compared !== undefined);
    first.changes = { '/state/a': { rule_index: ownRule, size: 9 } };
    await first.finish();
    const now = { '/a': {}, '/state/a': { rule_index: ownRule, size: 10 } };
    assert.deepEqual((await new Run(file, now).finish()).told, []);
    // Under a rule of the user's it is as new.
    const users = await new Run(file, { '/a': {}, '/state/a': {} }).finish();
    assert.deepEqual(users.told, ['create /state/a']);
  });
});

describe('more covered files than there is room for', () => {
  it('are said to be so, once, with their number', async () => {
    const run = new Run(
      path.join(folder, 'many.db'),
      { '/a': {} },
      {
        leftOut: 3,
        onDegraded: (reason, body) => run.degraded.push(`${reason}: ${body}`),
      },
    );
    await run.finish();
    assert.deepEqual(run.degraded, [
      'known_files_limit: Of 4 covered files the last 3, by name, are too many: their changes while no agent runs will not be told',
    ]);
  });
});

describe('the policy of an earlier agent', () => {
  it('that can not be read is said, and the present one takes its place', async () => {
    const file = path.join(folder, 'policy.db');
    await new Run(file, { '/a': {} }, {}, 'not a policy').finish();
    const run = await new Run(file, { '/a': {}, '/b': {} }).finish();
    assert.deepEqual(run.told, ['create /b']);
    assert.match(String(run.compared?.policyBefore), /Error/);
    assert.deepEqual(run.degraded, []);
    const next = await new Run(file, { '/a': {} }).finish();
    assert.deepEqual(next.told, ['delete /b']);
    assert.equal(next.compared?.policyBefore, undefined);
  });
});

describe('an end that comes while something is under way', () => {
  it('cuts it off without a word of failure', async () => {
    let settle = (): void => {};
    const settled = () => new Promise<void>((resolve) => (settle = resolve));
    const file = path.join(folder, 'end.db');
    const run = new Run(file, { '/a': {} }, { settled });
    await until(() => run.compared !== undefined);
    run.changes = { '/a': { size: 6 } };
    await run.knownFiles.end();
    settle();
    await sleep(100);
    assert.deepEqual(run.degraded, []);
    const next = await new Run(file, { '/a': { size: 6 } }).finish();
    assert.deepEqual(next.told, ['write /a']);
  });
});

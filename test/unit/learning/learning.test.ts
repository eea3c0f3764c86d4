/** Learning as the agent has it: what it says of itself, and what a restart gives back. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { LearnedStore } from '../../../src/learning/learned-store.ts';
import { LEARNED_FILE, Learning } from '../../../src/learning/learning.ts';
import { loadNative } from '../../../src/native/load.ts';
import { configurationOf } from '../records/support.ts';
import { rule, sighting } from './support.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fileward-learning-'));
after(() => rmSync(folder, { recursive: true }));

function learningIn(state: string) {
  const told: string[] = [];
  const learning = new Learning({
    file: path.join(state, LEARNED_FILE),
    appKind: () => 'binary',
    exeNames: () => 1,
    onDegraded: ({ error_type, group, detail }) => told.push(`${error_type} ${group}: ${detail}`),
    onRestored: ({ error_type, group }) => told.push(`over: ${error_type} ${group}`),
  });
  return { learning, told };
}

describe('learning', () => {
  const data = rule('data');
  const configuration = configurationOf([data], { mode: 'discover' });

  it('knows after a restart how many pairs each group has', async () => {
    const state = mkdtempSync(path.join(folder, 'state-'));
    const { learning } = learningIn(state);
    assert.deepEqual([...learning.usePolicy(configuration, 'hash')], [['host', 0]]);
    for (const app of ['/a', '/b']) learning.pairs.add(sighting(data, { app }));
    await learning.close();
    const again = learningIn(state).learning;
    assert.deepEqual([...again.usePolicy(configuration, 'hash')], [['host', 2]]);
    assert.equal(again.page(undefined).pairs[0]?.policy, '3f2c1ab');
    await again.close();
  });

  it('says that what was learned is damaged, and goes on', async () => {
    const state = mkdtempSync(path.join(folder, 'state-'));
    writeFileSync(path.join(state, LEARNED_FILE), 'nonsense'.repeat(1000));
    const { learning, told } = learningIn(state);
    assert.match(
      told.join(),
      /^learned_failed undefined: what was learned could not be read, and was set aside/,
    );
    assert.ok(existsSync(path.join(state, `${LEARNED_FILE}.broken`)));
    assert.ok(learning.pairs.add(sighting(data)));
    await learning.close();
  });

  it('goes on in memory when its file can not be used, and keeps it all when it can be', async () => {
    const state = mkdtempSync(path.join(folder, 'state-'));
    const file = path.join(state, LEARNED_FILE);
    // What is in the way can't be moved: there is no room for it beside.
    mkdirSync(file);
    writeFileSync(`${file}.broken`, 'earlier');
    const { learning, told } = learningIn(state);
    assert.match(told.join(), /^learned_failed undefined: what is learned can't be kept/);
    assert.ok(learning.pairs.add(sighting(data)));
    rmSync(`${file}.broken`);
    await learning.close();
    assert.deepEqual(told.slice(1), ['over: learned_failed undefined']);
    assert.ok(statSync(`${file}.broken`).isDirectory());
    const again = learningIn(state);
    assert.deepEqual([again.told, again.learning.page(undefined).pairs.length], [[], 1]);
    await again.learning.close();
  });

  it('sets aside what it could not read, for its ids are not known', async () => {
    const state = mkdtempSync(path.join(folder, 'state-'));
    const file = path.join(state, LEARNED_FILE);
    const store = new LearnedStore(file);
    const { learning, told } = learningIn(state);
    assert.match(told.join(), /learned_failed.*locked/);
    store.close();
    learning.pairs.add(sighting(data));
    await learning.close();
    assert.deepEqual(told.slice(1), ['over: learned_failed undefined']);
    assert.ok(existsSync(`${file}.broken`));
  });

  it('says that a group is full, and when it is not any more', async () => {
    const { learning, told } = learningIn(mkdtempSync(path.join(folder, 'state-')));
    for (let i = 0; i < 5100; i += 1) learning.pairs.add(sighting(data, { app: `/opt/${i}` }));
    assert.equal(told.length, 1);
    assert.match(told[0] ?? '', /^learned_limit host: group host has learned as much as it may/);
    learning.usePolicy(configurationOf([rule('other')]), 'hash');
    assert.deepEqual(told.slice(1), ['over: learned_limit host']);
    await learning.close();
  });
});

describe('a running program', () => {
  it('says how many names its file has, and that it has none any more', async () => {
    const { exeNames } = loadNative();
    const file = path.join(folder, 'sleep');
    copyFileSync('/bin/sleep', file);
    linkSync(file, `${file}-2`);
    const child = spawn(file, ['60']);
    try {
      await once(child, 'spawn');
      const pid = child.pid ?? assert.fail();
      assert.equal(exeNames(pid), 2);
      rmSync(file);
      rmSync(`${file}-2`);
      assert.equal(exeNames(pid), 0);
    } finally {
      child.kill();
    }
    assert.equal(exeNames(0x7fffffff), null);
  });
});

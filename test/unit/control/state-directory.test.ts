import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import { StateDirectory } from '../../../src/control/state-directory.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'fileward-state-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const schema = z.object({ one: z.number() });
const modeOf = (file: string) => statSync(file).mode & 0o777;

describe('the state directory', () => {
  it('is made with mode 0700, its files with 0600', () => {
    const state = new StateDirectory(path.join(folder, 'a', 'b'), () => true);
    state.write('x.json', { one: 1 });
    assert.equal(modeOf(state.path), 0o700);
    assert.equal(modeOf(path.join(state.path, 'x.json')), 0o600);
    assert.deepEqual(readdirSync(state.path), ['x.json']);
    assert.deepEqual(state.read('x.json', schema), { one: 1 });
    assert.equal(state.read('absent.json', schema), undefined);
  });

  it('sets a broken file aside, says so and goes on', () => {
    const broken: string[] = [];
    const state = new StateDirectory(
      folder,
      () => true,
      (file) => broken.push(file),
    );
    for (const text of ['{', '{"one":"two"}']) {
      writeFileSync(path.join(folder, 'x.json'), text);
      assert.equal(state.read('x.json', schema), undefined);
    }
    assert.equal(broken.length, 2);
    assert.deepEqual(readdirSync(folder), ['x.json.broken']);
  });

  it('closes an empty folder that was open to others', () => {
    chmodSync(folder, 0o755);
    new StateDirectory(folder, () => true);
    assert.equal(modeOf(folder), 0o700);
  });

  it('leaves a folder with other things in it as it is, and refuses it', () => {
    chmodSync(folder, 0o755);
    writeFileSync(path.join(folder, 'photo.jpg'), '');
    assert.throws(() => new StateDirectory(folder, () => true), { status: 2 });
    assert.equal(modeOf(folder), 0o755);
  });

  it('says that another agent has it', () => {
    assert.throws(() => new StateDirectory(folder, () => false), {
      status: 3,
      message: /another fileward agent is running/,
    });
  });
});

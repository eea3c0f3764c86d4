import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { CoveredFiles, stateBytes } from '../../../src/native/covered-files.ts';
import { type Difference, isSame, pairs } from '../../../src/records/known-files-compare.ts';
import { Comparison } from '../../../src/records/known-files-comparison.ts';
import { type KnownFile, KnownFilesStore } from '../../../src/records/known-files-store.ts';
import { coveredBytes, type Files } from './covered-files.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fileward-known-'));
after(() => rmSync(folder, { recursive: true }));

const sha256 = (text: string) => createHash('sha256').update(text).digest();
const covered = (files: Files) => new CoveredFiles(coveredBytes(files));

function known(files: Files): KnownFile[] {
  return [...covered(files)].flatMap(({ path: name, state }) => {
    const { content } = files[name.toString()] ?? {};
    if (state === undefined) return [];
    return [
      {
        path: name,
        state: state.bytes,
        sha256: content === undefined ? undefined : sha256(content),
      },
    ];
  });
}

function differences(before: Files, now: Files): Difference[] {
  const all = pairs(known(before)[Symbol.iterator](), covered(now)[Symbol.iterator]());
  return [...all].filter((each) => !isSame(each));
}

/** `operation path`, with `-> new` and `replaced`, in order. */
async function found(
  before: Files,
  now: Files,
  isComparable: (name: Buffer) => boolean = () => true,
): Promise<string[]> {
  const comparison = new Comparison(differences(before, now), {
    isComparable,
    async hashOf(file) {
      const { content } = now[file.path.toString()] ?? {};
      return content === undefined ? undefined : sha256(content);
    },
  });
  const told: string[] = [];
  for (let part = await comparison.next(); part; part = await comparison.next()) {
    for (const { operation, path: name, newPath, replaced } of part.found) {
      const to = newPath === undefined ? '' : ` -> ${Buffer.from(newPath)}`;
      told.push(`${operation} ${Buffer.from(name)}${to}${replaced ? ' replaced' : ''}`);
    }
  }
  return told;
}

describe('two states of covered files', () => {
  it('are compared in the order of their bytes', () => {
    const names = differences(
      { '/a/x': {}, '/c': {} },
      { '/a-b': {}, '/a.c': {}, '/c': { ino: 2 } },
    );
    assert.deepEqual(
      names.map(
        ({ path: name, known, now }) => `${name} ${known !== undefined} ${now !== undefined}`,
      ),
      ['/a-b false true', '/a.c false true', '/a/x true false'],
    );
  });

  it('tell a write by size or time, a mode and an owner', async () => {
    assert.deepEqual(
      await found(
        { '/a': {}, '/b': {}, '/c': {}, '/d': {}, '/same': {} },
        {
          '/a': { size: 6, ctime_ns: 2000 },
          '/b': { mtime_ns: 2000, ctime_ns: 2000 },
          '/c': { mode: 0o100600, ctime_ns: 2000 },
          '/d': { uid: 1, ctime_ns: 2000 },
          '/same': {},
        },
      ),
      ['write /a', 'write /b', 'attributes /c', 'attributes /d'],
    );
  });

  it('let the content decide, where it was known', async () => {
    const content = 'first';
    assert.deepEqual(
      await found(
        { '/link': { content }, '/touched': { content }, '/forged': { content }, '/unknown': {} },
        {
          '/link': { ctime_ns: 2000, content },
          '/touched': { mtime_ns: 2000, ctime_ns: 2000, content },
          '/forged': { ctime_ns: 2000, content: 'other' },
          '/unknown': { ctime_ns: 2000, content },
        },
      ),
      ['write /forged', 'attributes /touched', 'attributes /unknown'],
    );
  });

  it('go by what a look tells where the content can not be read any more', async () => {
    assert.deepEqual(
      await found({ '/a': { content: 'first' } }, { '/a': { size: 9, ctime_ns: 2000 } }),
      ['write /a'],
    );
  });

  it('tell what came, went, was replaced or renamed', async () => {
    assert.deepEqual(
      await found(
        {
          '/gone': { ino: 10 },
          '/moved': { ino: 11 },
          '/over': { ino: 12 },
          '/put': { ino: 13 },
          '/from': { ino: 14 },
        },
        {
          '/new': { ino: 20 },
          '/put': { ino: 21, ctime_ns: 2000 },
          '/to': { ino: 11, ctime_ns: 2000 },
          '/over': { ino: 14, ctime_ns: 2000 },
        },
      ),
      [
        'delete /gone',
        'create /new',
        'rename /from -> /over replaced',
        'create /put replaced',
        'rename /moved -> /to',
      ],
    );
  });

  it('know that an inode number was used again', async () => {
    assert.deepEqual(
      await found({ '/old': { ino: 10 } }, { '/new': { ino: 10, birth_ns: 8, ctime_ns: 2000 } }),
      ['create /new', 'delete /old'],
    );
  });

  it('say nothing of other device numbers, nor of filesystems that number anew', async () => {
    assert.deepEqual(await found({ '/a': { dev: 1 } }, { '/a': { dev: 9 } }), []);
    assert.deepEqual(await found({ '/a': { ino: 10 } }, { '/a': { ino: 99 } }), []);
  });

  it('say once what happened to a file with two names', async () => {
    assert.deepEqual(
      await found(
        { '/one': { ino: 10 }, '/two': { ino: 10 } },
        { '/one': { ino: 10, size: 6 }, '/two': { ino: 10, size: 6 } },
      ),
      ['write /one'],
    );
  });

  it('say nothing where a mount came or went', async () => {
    const onMount = (name: Buffer) => name.toString().startsWith('/mnt');
    assert.deepEqual(
      await found({ '/mnt/a': {}, '/b': {} }, { '/mnt/c': {} }, (name) => !onMount(name)),
      ['delete /b'],
    );
  });

  it('make known exactly what is there now', async () => {
    const before = {
      '/gone': { ino: 10 },
      '/from': { ino: 11 },
      '/link': { ino: 12, content: 'x' },
    };
    const now = {
      '/to': { ino: 11 },
      '/link': { ino: 12, ctime_ns: 2000, content: 'x' },
      '/new': { ino: 13 },
    };
    const store = new KnownFilesStore(path.join(folder, 'updates.db'));
    store.write(known(before));
    const comparison = new Comparison([...pairs(store.files(), covered(now)[Symbol.iterator]())], {
      isComparable: () => true,
      hashOf: async () => undefined,
    });
    for (let part = await comparison.next(); part; part = await comparison.next()) {
      store.write(part.updates);
    }
    assert.deepEqual(
      [...store.files()].map(({ path: name, state }) => [name.toString(), state]),
      [...covered(now)].map(({ path: name, state }) => [name.toString(), state?.bytes]),
    );
    store.close();
  });
});

describe('the store of known files', () => {
  it('keeps any bytes, closed to others, and the basis with them', () => {
    const file = path.join(folder, 'bytes.db');
    const store = new KnownFilesStore(file);
    assert.equal(store.basis, undefined);
    const state = Buffer.alloc(stateBytes, 3);
    const name = Buffer.from('/\xff\xfe\n', 'latin1');
    const basis = { policy: { json: '{}', resolved: {} }, mounts: [], bootId: 'x' };
    store.write([{ path: name, state, sha256: sha256('x') }], JSON.stringify(basis));
    store.close();
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const again = new KnownFilesStore(file);
    assert.ok(!existsSync(`${file}-shm`), 'the index of the WAL is a mapped file');
    assert.deepEqual([...again.files()], [{ path: name, state, sha256: sha256('x') }]);
    assert.deepEqual(again.basis, basis);
    again.writeHashes([{ path: name, state: Buffer.alloc(stateBytes, 4), sha256: sha256('y') }]);
    assert.deepEqual([...again.files()][0]?.sha256, sha256('x'), 'the state is another one by now');
    again.write([{ path: name, state: undefined }]);
    assert.deepEqual([...again.files()], []);
    again.close();
  });

  it('sets aside what is no database or of another version', () => {
    const file = path.join(folder, 'broken.db');
    writeFileSync(file, 'no database '.repeat(1000));
    const { store, broken } = KnownFilesStore.open(file);
    assert.match(String(broken), /not a database/);
    assert.match(readFileSync(`${file}.broken`, 'utf8'), /^no database/);
    assert.equal(store.basis, undefined);
    store.close();
  });
});

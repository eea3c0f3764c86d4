import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import type { EventFieldValues } from '../native/event-record.ts';
import {
  configurationOf,
  type EventWords,
  fact,
  rule,
  type UnderTest,
  underTest,
} from './support.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fileward-hash-'));
after(() => rmSync(folder, { recursive: true }));

/** As the worker of the known files tells it. */
function learn({ pipeline }: UnderTest, file: string): void {
  const { dev, ino, size, mtimeNs } = statSync(file, { bigint: true });
  const hash = sha256(readFileSync(file, 'utf8'));
  pipeline.learnHashes([{ path: Buffer.from(file), dev, ino, size, mtimeNs, sha256: hash }]);
}

let files = 0;
function newFile(content: string): string {
  files += 1;
  const file = path.join(folder, `f${files}`);
  writeFileSync(file, content);
  return file;
}

function sha256(content: string): string {
  return createHash('sha256').update(content).digest('hex');
}

/** As the native core would see it. */
function statusOf(file: string): EventFieldValues {
  const { dev, ino, size, mtimeNs, mode } = statSync(file, { bigint: true });
  return { dev, ino, size, mtime_ns: mtimeNs, file_mode: Number(mode) };
}

function beforeOf(file: string): EventFieldValues {
  const { size, mtimeNs, mode } = statSync(file, { bigint: true });
  return {
    before_known: 1,
    before_size: size,
    before_mtime_ns: mtimeNs,
    before_mode: Number(mode),
  };
}

const listed: EventWords = { outcome: 'modified', reason: 'none', flags: ['listed', 'judged'] };

function write(test: UnderTest, file: string, fields: EventFieldValues): void {
  const words = { ...listed, fields, strings: { path: file } };
  test.accept(fact('written', words), fact('closed_write', words));
}

async function hashesOf(test: UnderTest): Promise<unknown[]> {
  await test.pipeline.flush();
  return test.records.map(({ attributes }) => [
    attributes['fileward.file.sha256_before'],
    attributes['fileward.file.sha256'],
  ]);
}

describe('hashes of changes', () => {
  it('are of the content after, and before where that was seen', async () => {
    const test = underTest();
    const file = newFile('one');
    write(test, file, { ...statusOf(file), before_known: 0 });
    await test.pipeline.flush();
    const before = beforeOf(file);
    writeFileSync(file, 'two!');
    write(test, file, { ...statusOf(file), ...before });
    assert.deepEqual(await hashesOf(test), [
      [undefined, sha256('one')],
      [sha256('one'), sha256('two!')],
    ]);
  });

  it('know what was there before from what was learned', async () => {
    const test = underTest();
    const file = newFile('at the start');
    learn(test, file);
    const before = beforeOf(file);
    writeFileSync(file, 'changed');
    write(test, file, { ...statusOf(file), ...before });
    assert.deepEqual(await hashesOf(test), [[sha256('at the start'), sha256('changed')]]);
  });

  it('do not claim a content before that changed unseen', async () => {
    const test = underTest();
    const file = newFile('first');
    learn(test, file);
    writeFileSync(file, 'unseen');
    const before = beforeOf(file);
    appendFileSync(file, '.');
    write(test, file, { ...statusOf(file), ...before });
    assert.deepEqual(await hashesOf(test), [[undefined, sha256('unseen.')]]);
  });

  it('are none when the file is another one by now', async () => {
    const test = underTest();
    const file = newFile('judged');
    const fields = statusOf(file);
    renameSync(newFile('another'), file);
    write(test, file, fields);
    assert.deepEqual(await hashesOf(test), [[undefined, undefined]]);
  });

  it('are none when it was written again meanwhile', async () => {
    const test = underTest();
    const file = newFile('first');
    const fields = statusOf(file);
    appendFileSync(file, 'more');
    write(test, file, fields);
    assert.deepEqual(await hashesOf(test), [[undefined, undefined]]);
  });

  it('are none beyond max_size, and none where a rule or the configuration wants none', async () => {
    const file = newFile('eleven byte');
    const { records, ...rest } = configurationOf([rule('data')]);
    const hash = { enabled: false, maxSizeBytes: 100 };
    const withoutHashes = { ...rest, records: { ...records, hash } };
    for (const configuration of [
      configurationOf([rule('data')], { maxHashBytes: 10 }),
      configurationOf([rule('data', { hash: false })]),
      withoutHashes,
    ]) {
      const test = underTest(configuration);
      write(test, file, statusOf(file));
      assert.deepEqual(await hashesOf(test), [[undefined, undefined]]);
    }
  });

  it('find a name that is not UTF-8', async () => {
    const test = underTest();
    const name = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff])]);
    writeFileSync(name, 'bytes');
    const { dev, ino, size, mtimeNs } = statSync(name, { bigint: true });
    const words = {
      ...listed,
      fields: { dev, ino, size, mtime_ns: mtimeNs },
      strings: { path: name },
    };
    test.accept(fact('written', words), fact('closed_write', words));
    assert.deepEqual(await hashesOf(test), [[undefined, sha256('bytes')]]);
  });

  it('follow a rename that replaces', async () => {
    const test = underTest();
    const target = newFile('old content');
    learn(test, target);
    const temporary = newFile('new content');
    const fields = statusOf(temporary);
    renameSync(temporary, target);
    const words = {
      ...listed,
      flags: ['listed', 'replaced', 'rename_target_covered'],
      fields,
    } as const;
    test.accept(fact('renamed', { ...words, strings: { path: target, new_path: temporary } }));
    assert.deepEqual(await hashesOf(test), [[sha256('old content'), sha256('new content')]]);
  });

  it('are that of nothing for an empty file', async () => {
    const test = underTest();
    const file = newFile('x');
    learn(test, file);
    const before = beforeOf(file);
    truncateSync(file, 0);
    write(test, file, { ...statusOf(file), ...before });
    assert.deepEqual(await hashesOf(test), [[sha256('x'), sha256('')]]);
  });

  it('drop a write that changed nothing at all', async () => {
    const test = underTest();
    const file = newFile('same');
    learn(test, file);
    write(test, file, { ...statusOf(file), ...beforeOf(file) });
    assert.deepEqual(await hashesOf(test), []);
  });

  it('are never folded away when they changed', async () => {
    const test = underTest();
    const file = newFile('0');
    for (const content of ['a', 'b', 'b', 'c']) {
      writeFileSync(file, content);
      utimesSync(file, 1000, 1000);
      write(test, file, statusOf(file));
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    await test.pipeline.flush();
    const told = test.records.map(({ attributes }) => [
      attributes['fileward.file.sha256'],
      attributes['fileward.count'],
    ]);
    assert.deepEqual(told, [
      [sha256('a'), 1],
      [sha256('b'), 1],
      [sha256('b'), 1],
      [sha256('c'), 1],
    ]);
  });

  it('keep the order of the changes of one file', async () => {
    const test = underTest();
    const file = newFile('content');
    write(test, file, statusOf(file));
    test.accept(fact('deleted', { ...listed, fields: statusOf(file), strings: { path: file } }));
    await test.pipeline.flush();
    const operations = test.records.map(({ attributes }) => attributes['fileward.operation']);
    assert.deepEqual(operations, ['write', 'delete']);
    assert.equal(test.records[1]?.attributes['fileward.file.sha256_before'], sha256('content'));
  });
});

/** learned.db: what it keeps, who may read it, what a damaged file or a full disk does. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LearnedKeeper, readLearned } from '../../../src/learning/learned-keeper.ts';
import { LearnedStore } from '../../../src/learning/learned-store.ts';
import { allOf, bookUnderTest, groupOf, rule, sighting, startMs } from './support.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fileward-learned-'));
after(() => rmSync(folder, { recursive: true }));
const data = rule('data');
const newFile = () => path.join(mkdtempSync(path.join(folder, 'state-')), 'learned.db');

function read(file: string) {
  const damaged: string[] = [];
  const learned = readLearned(file, (error) => damaged.push(error));
  return { learned, damaged };
}

function keeperOf(file: string, book = bookUnderTest(read(file).learned).book) {
  const problems: (string | undefined)[] = [];
  const damaged: string[] = [];
  const keeper = new LearnedKeeper({
    file,
    book,
    onProblem: (problem) => problems.push(problem),
    onDamaged: (error) => damaged.push(error),
  });
  return { book, keeper, problems, damaged };
}

async function until(what: () => boolean): Promise<void> {
  for (let look = 0; look < 1000 && !what(); look += 1) await sleep(20);
  assert.ok(what());
}

describe('learned.db', () => {
  it('gives back what was kept, and nobody else may read it', async () => {
    const file = newFile();
    const { book, keeper, problems } = keeperOf(file);
    book.usePolicy([groupOf('host', [data])], 'first', startMs);
    for (const app of ['/a', "/b'c", '/d\u2028\u00e9']) {
      book.add(sighting(data, { app, workload: 'web (nginx:1)' }));
    }
    const told = allOf(book);
    await keeper.close();
    assert.deepEqual(problems, []);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(read(file).learned, { ...told });
  });

  it('follows a rule that is renamed, and forgets one that is dropped', async () => {
    const file = newFile();
    const first = keeperOf(file);
    first.book.add(sighting(data));
    first.book.add(sighting(rule('gone')));
    await first.keeper.close();
    const second = keeperOf(file);
    const renamed = { ...data, name: 'files' };
    const day = 24 * 3600 * 1000;
    second.book.usePolicy([groupOf('host', [renamed])], 'p', startMs);
    second.book.usePolicy([groupOf('host', [renamed])], 'p', startMs + 31 * day);
    await second.keeper.close();
    const { rules, pairs } = read(file).learned;
    assert.deepEqual(
      [rules.map((each) => each.rule), pairs.map((each) => each.rule)],
      [['files'], ['files']],
    );
  });

  it('has a new pair within a second or so, without an end', async () => {
    const file = newFile();
    const { book, keeper } = keeperOf(file);
    book.add(sighting(data));
    // The worker holds the file: that it has something to say shows in its log.
    await until(() => existsSync(`${file}-wal`) && statSync(`${file}-wal`).size > 0);
    await keeper.close();
  });

  it('is set aside when it is damaged at the start', () => {
    for (const content of ['nonsense'.repeat(1000), '']) {
      const file = newFile();
      writeFileSync(file, content);
      const { learned, damaged } = read(file);
      assert.deepEqual(learned.pairs, []);
      assert.equal(damaged.length, content === '' ? 0 : 1);
      assert.equal(existsSync(`${file}.broken`), content !== '');
    }
  });

  it('is set aside when its evidence is none', () => {
    const file = newFile();
    const store = new LearnedStore(file);
    const { book } = bookUnderTest();
    book.add(sighting(data));
    store.write(book.takeUpdate(true) ?? assert.fail());
    store.close();
    const bytes = readFileSync(file, 'latin1');
    writeFileSync(file, bytes.replace('{"kind"', '{,kind"'), 'latin1');
    assert.equal(read(file).damaged.length, 1);
  });

  it('is set aside when what it holds is not ours', () => {
    const spoilers = [
      `UPDATE pair SET evidence = '{}'`,
      `UPDATE pair SET evidence = 'null'`,
      `UPDATE pair SET evidence = '[]'`,
      `UPDATE pair SET evidence = json_set(evidence, '$.firstMs', 'x')`,
      `UPDATE pair SET evidence = json_set(evidence, '$.lastMs', 9e99)`,
      `UPDATE pair SET evidence = json_set(evidence, '$.users', 'root')`,
      `UPDATE pair SET origin = 'elsewhere'`,
      `UPDATE rule SET operations = 'chmod'`,
      `UPDATE rule SET gone_ms = ${2n ** 62n}`,
      `INSERT INTO refusal VALUES ('host', ${2n ** 52n * 2n}, 1)`,
    ];
    for (const spoiler of spoilers) {
      const file = newFile();
      const store = new LearnedStore(file);
      const { book } = bookUnderTest();
      book.add(sighting(data));
      store.write(book.takeUpdate(true) ?? assert.fail());
      store.close();
      assert.deepEqual([read(file).damaged, read(file).learned.pairs.length], [[], 1]);
      const database = new DatabaseSync(file);
      database.exec(spoiler);
      database.close();
      const { learned, damaged } = read(file);
      assert.deepEqual([learned.pairs, damaged.length], [[], 1], spoiler);
    }
  });

  it('is written anew when it gets damaged while it is in use', async () => {
    const file = newFile();
    const { book, keeper, damaged } = keeperOf(file);
    book.add(sighting(data));
    writeFileSync(file, 'nonsense'.repeat(1000));
    await until(() => damaged.length === 1);
    await keeper.close();
    assert.equal(read(file).learned.pairs.length, 1);
  });

  const notRoot = process.getuid?.() !== 0 && 'mounting needs root';
  it('says once that the disk is full, and keeps it all when it is not any more', {
    skip: notRoot,
  }, async () => {
    const place = path.join(folder, 'small');
    execFileSync('mkdir', [place]);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'fileward-test', place]);
    try {
      const file = path.join(place, 'learned.db');
      const { book, keeper, problems } = keeperOf(file);
      book.add(sighting(data));
      await until(() => existsSync(`${file}-wal`) && statSync(`${file}-wal`).size > 0);
      execFileSync('sh', ['-c', `head -c 1M /dev/zero > ${place}/full || true`], {
        stdio: 'ignore',
      });
      for (let i = 0; i < 400; i += 1) book.add(sighting(data, { app: `/opt/${i}` }));
      await until(() => problems.length === 1);
      assert.match(String(problems[0]), /full/);
      rmSync(`${place}/full`);
      await keeper.close();
      assert.deepEqual(problems.slice(1), [undefined]);
      assert.equal(read(file).learned.pairs.length, 401);
    } finally {
      execFileSync('umount', [place]);
    }
  });
});

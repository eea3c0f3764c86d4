/** Programs that save by writing beside and renaming over: what is told of them on watched trees, and decided on blocked ones. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { run, shell } from './children.ts';
import { Agent, type RecordLine } from './harness.ts';
import { place } from './place.ts';
import { Scratch } from './scratch.ts';
import { short } from './told.ts';

const scratch = new Scratch('ext4');
let agent: Agent;
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

before(async () => {
  for (const tree of ['watched', 'blocked', 'watched/repository', 'logs']) scratch.directory(tree);
  const rule = (name: string, folder: string, behavior: string) => ({
    name,
    path: `${scratch.path(folder)}/**`,
    except: [`${scratch.path(folder)}/**/.git/**`],
    behavior,
    operations: ['write'],
    apps: [],
  });
  const rules = [
    rule('watched', 'watched', 'watch'),
    rule('logs', 'logs', 'watch'),
    rule('blocked', 'blocked', 'block'),
  ];
  agent = await Agent.start(scratch, {
    groups: [{ name: 'host', members: { host: true }, mode: 'protect', rules }],
  });
});
after(async () => {
  await agent?.stop();
  scratch.remove();
});

/** Runs a script and gives the records about a folder that it caused; what a shell does itself is done while it lives. */
async function caused(folder: string, script: string, code: 0 | 'any' = 0): Promise<RecordLine[]> {
  const from = agent.records.length;
  const result = await shell(`sleep 0.15; ${script}\nstatus=$?; sleep 0.15; exit $status`);
  if (code === 0) assert.equal(result.code, 0, result.stderr);
  await agent.settle();
  const inside = (file: unknown) => typeof file === 'string' && file.startsWith(`${folder}/`);
  return agent.records
    .slice(from)
    .filter(
      ({ attributes }) =>
        inside(attributes['file.path']) || inside(attributes['fileward.file.new_path']),
    );
}

/** `write name`, or `rename name > new name`, in the order of the records. */
const steps = (records: readonly RecordLine[]) =>
  records.map(({ attributes }) => {
    const name = (key: string) => path.basename(String(attributes[key]));
    const step = `${attributes['fileward.operation']} ${name('file.path')}`;
    return attributes['fileward.file.new_path'] === undefined
      ? step
      : `${step} > ${name('fileward.file.new_path')}`;
  });

function watchedFile(name: string, content = 'before\n'): Promise<string> {
  return placed('watched', name, content);
}

async function placed(folder: string, name: string, content: string): Promise<string> {
  const file = place(scratch, `${folder}/${name}`, content);
  await agent.settle();
  return file;
}

/** Each record once: same path, new path and operation must not come twice for one step. */
function assertNoDuplicates(records: readonly RecordLine[]): void {
  const all = steps(records);
  assert.equal(new Set(all).size, all.length, all.join('\n'));
}

/** The last record of the file, under its name or as the new name of a rename. */
function lastOf(records: readonly RecordLine[], file: string): RecordLine['attributes'] {
  const last = records.findLast(({ attributes }) =>
    [attributes['file.path'], attributes['fileward.file.new_path']].includes(file),
  );
  assert.ok(last, steps(records).join('\n'));
  return last.attributes;
}

async function installed(program: string): Promise<boolean> {
  return (await run('sh', ['-c', `command -v ${program}`])).code === 0;
}

describe('on a watched tree', () => {
  it('sed -i: the temporary file, then one rename over the name', async () => {
    const file = await watchedFile('sed');
    const records = await caused(scratch.path('watched'), `sed -i s/before/after/ ${file}`);
    const operations = records.map(({ attributes }) => attributes['fileward.operation']);
    assert.equal(operations.at(-1), 'rename');
    assert.equal(operations[0], 'create');
    assertNoDuplicates(records);
    const last = lastOf(records, file);
    assert.equal(last['fileward.file.new_path'], file);
    assert.equal(last['fileward.file.replaced'], true);
    assert.equal(last['fileward.file.sha256'], sha256('after\n'));
    for (const { attributes } of records) {
      assert.match(String(attributes['process.executable.path']), /sed$/);
    }
  });

  it('install: the old file goes, the new one comes with its content', async () => {
    const file = await watchedFile('install');
    const source = scratch.write('install-source', 'after\n');
    const records = await caused(scratch.path('watched'), `install -m 600 ${source} ${file}`);
    assert.deepEqual(steps(records).slice(0, 2), ['delete install', 'create install']);
    assertNoDuplicates(records);
    const last = lastOf(records, file);
    assert.equal(last['fileward.file.sha256'], sha256('after\n'));
    assert.match(String(last['file.mode']), /600$/);
  });

  it('vim: one write, besides its swap files', async (t) => {
    if (!(await installed('vim.tiny'))) return t.skip('vim.tiny is not installed');
    const file = await watchedFile('vim');
    const records = await caused(
      scratch.path('watched'),
      `timeout 10 vim.tiny -u NONE -es -c 'normal Gofrom vim' -c wq ${file}`,
    );
    // A swap file is made and removed twice, to find out what the file system can do.
    assert.deepEqual(
      steps(records).filter((step) => !step.includes('.swp')),
      ['write vim'],
    );
    assert.equal(lastOf(records, file)['fileward.file.sha256'], sha256('before\nfrom vim\n'));
  });

  it('rsync: its temporary file is renamed over the name', async (t) => {
    if (!(await installed('rsync'))) return t.skip('rsync is not installed');
    const file = await watchedFile('rsync');
    const source = scratch.write('rsync-source', 'from rsync\n');
    const records = await caused(scratch.path('watched'), `rsync ${source} ${file}`);
    assertNoDuplicates(records);
    const last = lastOf(records, file);
    assert.equal(last['fileward.operation'], 'rename');
    assert.equal(last['fileward.file.replaced'], true);
    assert.equal(last['fileward.file.sha256'], sha256('from rsync\n'));
  });

  it('git checkout: what the other branch has differently, and only that', async (t) => {
    if (!(await installed('git'))) return t.skip('git is not installed');
    const folder = scratch.path('watched', 'repository');
    const git = 'git -c user.name=a -c user.email=a@b -c init.defaultBranch=main';
    await caused(
      folder,
      `cd ${folder} && ${git} init -q && echo 1 > same && echo 1 > other && ${git} add . && ${git} commit -qm 1 &&
       ${git} checkout -qb branch && echo 2 > other && ${git} commit -qam 2`,
    );
    const records = await caused(folder, `cd ${folder} && ${git} checkout -q main`);
    assertNoDuplicates(records);
    assert.deepEqual(
      [...new Set(records.map(({ attributes }) => attributes['file.path']))],
      [path.join(folder, 'other')],
    );
    const last = lastOf(records, path.join(folder, 'other'));
    assert.equal(last['fileward.file.sha256'], sha256('1\n'));
    assert.match(String(last['process.executable.path']), /git$/);
  });

  it('logrotate: the old log moves, the new one is made', async (t) => {
    if (!(await installed('logrotate'))) return t.skip('logrotate is not installed');
    const log = await placed('logs', 'app.log', 'line\n');
    const config = scratch.write(
      'logrotate.conf',
      `${log} { rotate 2\n create 0600 root root\n }\n`,
    );
    const records = await caused(
      scratch.path('logs'),
      `logrotate -f -s ${scratch.path('logrotate.state')} ${config}`,
    );
    // `create` comes by a temporary name, `rename app.log > app.log.1` before it.
    const moves = steps(records).filter((step) => step.startsWith('rename app.log >'));
    assert.deepEqual(moves, ['rename app.log > app.log.1']);
    assert.ok(steps(records).includes('create app.log'), steps(records).join('\n'));
    assertNoDuplicates(records);
    for (const { attributes } of records) {
      assert.match(String(attributes['process.executable.path']), /logrotate$/);
    }
  });
});

describe('on a blocked tree in protect mode', () => {
  /** What was told of a folder, each as `event operation reason severity`. */
  const all = (records: readonly RecordLine[]) => records.map(short);

  const refused: readonly (readonly [string, (file: string) => string])[] = [
    ['sed', (file) => `sed -i s/before/after/ ${file}`],
    [
      'vim.tiny',
      (file) => `timeout 10 vim.tiny -u NONE -es -c 'normal Gomore' -c wq -c 'qa!' ${file}`,
    ],
    ['rsync', (file) => `rsync ${scratch.path('new-content')} ${file}`],
    ['cp', (file) => `cp ${scratch.path('new-content')} ${file}`],
    ['tee', (file) => `tee ${file} < ${scratch.path('new-content')}`],
  ];
  for (const [program, script] of refused) {
    it(`${program} can't change a file`, async (t) => {
      if (!(await installed(program))) return t.skip(`${program} is not installed`);
      scratch.write('new-content', 'after\n');
      const file = await placed('blocked', `by-${program}`, 'before\n');
      const records = await caused(scratch.path('blocked'), script(file), 'any');
      assert.ok(existsSync(file), all(records).join('\n'));
      assert.equal(readFileSync(file, 'utf8'), 'before\n');
      const denied = records.filter(({ event }) => event === 'fileward.file.denied');
      assert.ok(denied.length > 0, all(records).join('\n'));
      for (const { attributes } of denied) {
        assert.equal(attributes['fileward.operation'], 'write');
        assert.equal(attributes['fileward.verdict'], 'deny');
        assert.equal(path.basename(String(attributes['process.executable.path'])), program);
      }
    });
  }

  it('git checkout leaves what it could not write, and says so', async (t) => {
    if (!(await installed('git'))) return t.skip('git is not installed');
    const outside = scratch.path('repository');
    const git = 'git -c user.name=a -c user.email=a@b -c init.defaultBranch=main';
    await shell(`mkdir ${outside} && cd ${outside} && ${git} init -q && echo 1 > file && ${git} add . &&
      ${git} commit -qm 1 && ${git} checkout -qb branch && echo 2 > file && ${git} commit -qam 2 &&
      mv ${outside} ${scratch.path('blocked')}`);
    await agent.settle();
    const folder = scratch.path('blocked', 'repository');
    const records = await caused(folder, `cd ${folder} && ${git} checkout -q main`, 'any');
    const told = all(records).join('\n');
    // It removes the old file first, which has no gate, and then may not write the new one.
    assert.match(told, /^violated delete \w+ 17$/m);
    assert.match(told, /^denied write empty_file_left 17$/m);
    assert.equal(readFileSync(path.join(folder, 'file'), 'utf8'), '');
  });
});

/** Changes of watched files: one record each, with the process that made it, sizes, owner and hashes. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { openSync, readFileSync, writeSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type ChildResult, run, shell } from './children.ts';
import { Agent, type RecordLine } from './harness.ts';
import { perl, rename } from './perl.ts';
import { Scratch } from './scratch.ts';

const scratch = new Scratch('ext4');
let agent: Agent;
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

before(async () => {
  for (const name of ['changed', 'deleted', 'renamed', 'truncated', 'mode', 'touched']) {
    scratch.write(`watched/${name}`, 'before\n');
  }
  scratch.write('watched/folder/one');
  scratch.write('watched/folder/two');
  scratch.write('held/file', 'before\n');
  scratch.write('literal', 'before\n');
  scratch.directory('held');
  agent = await Agent.start(scratch, {
    // Equal changes within a window are one record; here each is to have its own.
    records: { window: '100ms' },
    groups: [
      {
        name: 'host',
        members: { host: true },
        mode: 'monitor',
        rules: [
          {
            name: 'watched',
            path: `${scratch.path('watched')}/**`,
            behavior: 'watch',
            operations: ['write'],
          },
          {
            name: 'literal',
            path: scratch.path('literal'),
            behavior: 'watch',
            operations: ['write'],
          },
          {
            name: 'held',
            path: `${scratch.path('held')}/**`,
            behavior: 'block',
            operations: ['write'],
            apps: [],
          },
        ],
      },
    ],
  });
});
after(async () => {
  await agent?.stop();
  scratch.remove();
});

/** Runs a script, or something that does it slowly, and gives the records about a file that it caused. */
async function changes(
  file: string,
  change: string | (() => Promise<ChildResult>),
): Promise<RecordLine[]> {
  const before = agent.matching({ path: file }).length;
  // What a shell does itself is done by a process that lives for a moment before and after.
  const { code, stderr } = await (typeof change === 'string'
    ? shell(`sleep 0.15; ${change} && sleep 0.15`)
    : change());
  assert.equal(code, 0, stderr);
  await agent.settle();
  return agent.matching({ path: file }).slice(before);
}

const operationsOf = (records: readonly RecordLine[]) =>
  records.map(({ attributes }) => attributes['fileward.operation']);

/** The only record, by that program. */
function only(
  records: readonly RecordLine[],
  operation: string,
  program: RegExp,
): RecordLine['attributes'] {
  assert.deepEqual(operationsOf(records), [operation]);
  const [record] = records;
  assert.ok(record);
  assert.equal(record.event, 'fileward.file.modified');
  assert.equal(record.severity, 9);
  assert.match(String(record.attributes['process.executable.path']), program);
  return record.attributes;
}

const watched = (name: string) => scratch.path('watched', name);

describe('a change is one record', () => {
  it('write: with size, owner, mode and the hash after', async () => {
    const file = watched('changed');
    const attributes = only(await changes(file, `echo after > ${file}`), 'write', /dash$/);
    assert.equal(attributes['file.size'], 6);
    assert.equal(attributes['file.owner.id'], '0');
    assert.equal(attributes['file.group.id'], '0');
    assert.match(String(attributes['file.mode']), /0?644$/);
    assert.equal(attributes['fileward.file.sha256'], sha256('after\n'));
    assert.match(String(attributes['file.inode']), /^\d+$/);
  });

  it('a second write knows the hash before', async () => {
    const file = watched('changed');
    const attributes = only(await changes(file, `echo again >> ${file}`), 'write', /dash$/);
    assert.equal(attributes['fileward.file.sha256_before'], sha256('after\n'));
    assert.equal(attributes['fileward.file.sha256'], sha256('after\nagain\n'));
  });

  it('a file named by the rule itself knows the hash before from the start', async () => {
    const file = scratch.path('literal');
    const attributes = only(await changes(file, `echo after > ${file}`), 'write', /dash$/);
    assert.equal(attributes['fileward.file.sha256_before'], sha256('before\n'));
  });

  it('many writes through one descriptor', async () => {
    const file = watched('changed');
    only(await changes(file, `for i in 1 2 3 4 5; do echo $i; done > ${file}`), 'write', /dash$/);
  });

  it('an open for writing that changes nothing is none', async () => {
    assert.deepEqual(await changes(watched('changed'), `: >> ${watched('changed')}`), []);
  });

  it('create, and what is written to it', async () => {
    const file = watched('created');
    const records = await changes(file, `echo new > ${file}`);
    // One record when it was written before anybody could look at it, else a second one for what was written.
    assert.equal(records[0]?.attributes['fileward.operation'], 'create');
    assert.ok(records.length <= 2);
    assert.equal(records.at(-1)?.attributes['fileward.file.sha256'], sha256('new\n'));
  });

  it('delete', async () => {
    const file = watched('deleted');
    only(await changes(file, () => perl('unlink($ARGV[0])', [file])), 'delete', /perl$/);
  });

  it('rename, with both names', async () => {
    const file = watched('renamed');
    const records = await changes(file, () => rename(file, `${file}-2`));
    const attributes = only(records, 'rename', /perl$/);
    assert.equal(attributes['fileward.file.new_path'], `${file}-2`);
    assert.equal(attributes['fileward.file.replaced'], undefined);
    assert.deepEqual(agent.matching({ path: `${file}-2` }), []);
  });

  it('rename out of the tree, and into it', async () => {
    const file = watched('renamed-2');
    const outside = scratch.path('outside');
    const out = only(await changes(file, () => rename(file, outside)), 'rename', /perl$/);
    assert.equal(out['fileward.file.new_path'], outside);
    const into = only(await changes(file, () => rename(outside, file)), 'rename', /perl$/);
    assert.equal(into['fileward.file.new_path'], outside);
  });

  it('truncate(2)', async () => {
    const file = watched('truncated');
    // SYS_truncate: Perl's own truncate opens the file.
    // No close follows: it is told when nobody is found to hold the file, a moment later.
    const code = 'syscall(76, $ARGV[0], 2) == 0 or exit 1; select(undef, undef, undef, 1); 1';
    const truncate = () => perl(code, [file]);
    const attributes = only(await changes(file, truncate), 'truncate', /perl$/);
    assert.equal(attributes['file.size'], 2);
  });

  it('mode and owner', async () => {
    const file = watched('mode');
    const chmod = () => perl('chmod(0600, $ARGV[0])', [file]);
    const mode = only(await changes(file, chmod), 'attributes', /perl$/);
    assert.match(String(mode['file.mode']), /0?600$/);
    assert.deepEqual(await changes(file, chmod), [], 'the same again changes nothing');
    const chown = () => perl('chown(1, 1, $ARGV[0])', [file]);
    const owner = only(await changes(file, chown), 'attributes', /perl$/);
    assert.equal(owner['file.owner.id'], '1');
    assert.equal(owner['file.group.id'], '1');
  });

  it('a folder that goes away with what it holds: one, with the number', async () => {
    const folder = watched('folder');
    const before = agent.records.length;
    await rename(folder, scratch.path('gone'));
    await agent.settle();
    const records = agent.records.slice(before).filter(({ attributes }) => {
      return String(attributes['file.path']).startsWith(folder);
    });
    assert.equal(records.length, 1, JSON.stringify(records));
  });
});

describe('through a descriptor that was never judged', () => {
  it('a write is a change without a gate', async () => {
    // This process had it open before the agent knew of it: it is made and opened outside, then moved in.
    const outside = scratch.write('passed', 'before\n');
    const descriptor = openSync(outside, 'a');
    const file = scratch.path('held', 'passed');
    assert.equal((await shell(`mv ${outside} ${file}`)).code, 0);
    await agent.settle();
    writeSync(descriptor, 'more');
    await agent.settle();
    const violated = await agent.record({
      event: 'fileward.file.violated',
      path: file,
      attributes: { 'fileward.operation': 'write', 'fileward.reason': 'descriptor_not_judged' },
    });
    assert.equal(violated.severity, 13);
    assert.equal(violated.attributes['process.pid'], process.pid);
  });
});

describe('programs that save by replacing', () => {
  it('sed -i: the rename over the name is told, with what was replaced', async () => {
    const file = watched('touched');
    const before = agent.records.length;
    assert.equal((await shell(`sed -i s/before/after/ ${file}`)).code, 0);
    await agent.settle();
    const renames = agent.records
      .slice(before)
      .filter(({ attributes }) => attributes['fileward.file.new_path'] === file);
    assert.equal(renames.length, 1);
    assert.equal(renames[0]?.attributes['fileward.operation'], 'rename');
    assert.equal(renames[0]?.attributes['fileward.file.replaced'], true);
    assert.equal(renames[0]?.attributes['fileward.file.sha256'], sha256('after\n'));
  });

  it('the new file is covered as the old one was', async () => {
    const file = watched('touched');
    only(await changes(file, `echo more >> ${file}`), 'write', /dash$/);
  });

  for (const program of ['vim', 'git', 'rsync']) {
    it(`${program}`, async (t) => {
      const found = await run('sh', ['-c', `command -v ${program}`]);
      if (found.code !== 0) return t.skip(`${program} is not installed`);
      const file = watched('touched');
      const script = {
        vim: `vim -u NONE -es -c 'normal Gofrom vim' -c wq ${file}`,
        git: `cd ${scratch.path('watched')} && git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m a && git add touched && git -c user.name=a -c user.email=a@b commit -q -m b && echo x >> touched && git checkout -q -- touched`,
        rsync: `echo from rsync > ${scratch.path('source')} && rsync --inplace ${scratch.path('source')} ${file}`,
      }[program];
      const before = agent.records.length;
      const { code, stderr } = await shell(script ?? 'false');
      assert.equal(code, 0, stderr);
      await agent.settle();
      const about = agent.records
        .slice(before)
        .filter(({ attributes }) =>
          [attributes['file.path'], attributes['fileward.file.new_path']].includes(file),
        );
      assert.ok(about.length > 0, 'something is told');
      const hashes = about.map(({ attributes }) => attributes['fileward.file.sha256']);
      assert.equal(
        hashes.at(-1),
        sha256(readFileSync(file, 'utf8')),
        'the last hash is of what is there now',
      );
    });
  }
});

describe('short-lived programs on a busy machine', () => {
  it('nearly each is named as what made the change', async () => {
    const files = 200;
    const before = agent.records.length;
    const { code } = await shell(`
      for hog in 1 2 3 4; do timeout 60 sh -c 'while :; do :; done' & hogs="$hogs $!"; done
      for i in $(seq ${files}); do touch ${watched('busy')}-$i; done
      kill $hogs`);
    assert.equal(code, 0);
    await agent.settle();
    const named = agent.records
      .slice(before)
      .filter(({ attributes }) => attributes['fileward.operation'] === 'create')
      .filter(({ attributes }) => attributes['process.executable.name'] === 'touch');
    // With the reader at ordinary priority about 85 in 100.
    assert.ok(named.length >= files * 0.95, `${named.length} of ${files}`);
  });
});

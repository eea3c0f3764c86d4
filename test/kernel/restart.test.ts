/** What changed while no agent ran is told by the next one, once; what any agent saw or nobody did is not. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  linkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { copyHelper, openInChild, shell } from './children.ts';
import { Agent, type AgentOptions, type RecordLine } from './harness.ts';
import { Scratch } from './scratch.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
// Each agent listens for the end of this process.
process.setMaxListeners(100);
const compared = 'compared with the last known state';

const watch = (name: string, files: string) => ({
  name,
  path: files,
  behavior: 'watch',
  operations: ['write'],
});
const host = (rules: readonly unknown[]) => ({
  records: { window: '100ms' },
  groups: [{ name: 'host', members: { host: true }, mode: 'monitor', rules }],
});

/** Starts it and waits until it has compared. */
async function start(
  scratch: Scratch,
  configuration: ReturnType<typeof host>,
  options: AgentOptions = {},
): Promise<Agent> {
  const agent = await Agent.start(scratch, configuration, options);
  await agent.logged((line) => line.msg === compared, compared);
  return agent;
}

function foundBy(agent: Agent): RecordLine[] {
  return agent.matching({ attributes: { 'fileward.reason': 'found_on_rescan' } });
}

/** `operation path` of what it found, in order of the paths. */
function told(records: readonly RecordLine[], scratch: Scratch): string[] {
  return records
    .map(({ attributes }) => {
      const file = path.relative(scratch.files, String(attributes['file.path']));
      return `${attributes['fileward.operation']} ${file}`;
    })
    .sort();
}

/** What a test can't do: makes the agent believe that the machine was started anew. */
function afterReboot(scratch: Scratch): void {
  const database = new DatabaseSync(path.join(scratch.base, 'state/known-files.db'));
  database.exec("UPDATE basis SET value = json_set(value, '$.bootId', 'earlier')");
  database.close();
}

/** Starts, gives what it found after everything is settled, and ends it. */
async function findings(scratch: Scratch, configuration: ReturnType<typeof host>) {
  const agent = await start(scratch, configuration);
  await agent.settle();
  await agent.stop();
  return foundBy(agent);
}

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  describe(`changes made while no agent runs, after ${signal}`, () => {
    const scratch = new Scratch('ext4');
    const configuration = host([watch('watched', `${scratch.path('watched')}/**`)]);
    const names = ['written', 'deleted', 'replaced', 'mode', 'moved', 'forged', 'touched', 'same'];
    let found: RecordLine[];
    let losses: RecordLine[];

    const byOperation = (operation: string, name: string): RecordLine['attributes'] => {
      const [record, ...others] = found.filter(
        ({ attributes }) =>
          attributes['file.path'] === scratch.path('watched', name) &&
          attributes['fileward.operation'] === operation,
      );
      assert.ok(record, `no ${operation} of ${name} in ${told(found, scratch)}`);
      assert.deepEqual(others, []);
      assert.equal(record.event, 'fileward.file.modified');
      assert.equal(record.severity, 9);
      assert.equal(record.attributes['security_rule.name'], 'watched');
      assert.deepEqual(
        Object.keys(record.attributes).filter((key) => key.startsWith('process.')),
        [],
      );
      return record.attributes;
    };

    before(async () => {
      for (const name of names) scratch.write(`watched/${name}`, 'before\n');
      await (await start(scratch, configuration)).stop(signal);

      const file = (name: string) => scratch.path('watched', name);
      appendFileSync(file('written'), 'more\n');
      rmSync(file('deleted'));
      writeFileSync(scratch.path('other'), 'another\n');
      renameSync(scratch.path('other'), file('replaced'));
      chmodSync(file('mode'), 0o600);
      renameSync(file('moved'), file('moved-2'));
      // As somebody does who knows what scanners look at.
      const { atime, mtime } = statSync(file('forged'));
      writeFileSync(file('forged'), 'BEFORE\n');
      utimesSync(file('forged'), atime, mtime);
      utimesSync(file('touched'), new Date(0), new Date(0));
      scratch.write('watched/sub/new', 'new\n');

      const agent = await start(scratch, configuration);
      await agent.settle();
      await agent.stop();
      found = foundBy(agent);
      losses = agent.matching({ event: 'fileward.record.lost' });
    });
    after(() => scratch.remove());

    it('are told, each once, and nothing else', () => {
      assert.deepEqual(told(found, scratch), [
        'attributes watched/mode',
        'attributes watched/touched',
        'create watched/replaced',
        'create watched/sub/new',
        'delete watched/deleted',
        'rename watched/moved',
        'write watched/forged',
        'write watched/written',
      ]);
    });

    it('with the content before and after', () => {
      const written = byOperation('write', 'written');
      assert.equal(written['fileward.file.sha256_before'], sha256('before\n'));
      assert.equal(written['fileward.file.sha256'], sha256('before\nmore\n'));
      assert.equal(written['file.size'], 12);
      const forged = byOperation('write', 'forged');
      assert.equal(forged['fileward.file.sha256'], sha256('BEFORE\n'));
      const created = byOperation('create', 'sub/new');
      assert.equal(created['fileward.file.sha256'], sha256('new\n'));
      assert.equal(created['fileward.file.replaced'], undefined);
    });

    it('with what replaced a file, where it went, and its new mode', () => {
      assert.equal(byOperation('create', 'replaced')['fileward.file.replaced'], true);
      const moved = byOperation('rename', 'moved');
      assert.equal(moved['fileward.file.new_path'], scratch.path('watched/moved-2'));
      assert.match(String(byOperation('attributes', 'mode')['file.mode']), /0?600$/);
      assert.equal(byOperation('delete', 'deleted')['file.inode'], undefined);
    });

    it('with the content that is gone', () => {
      const deleted = byOperation('delete', 'deleted');
      assert.equal(deleted['fileward.file.sha256_before'], sha256('before\n'));
    });

    it('and not again by the next one', async () => {
      assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
    });

    it(signal === 'SIGKILL' ? 'beside one gap for the crash' : 'and there is no gap', () => {
      const crashes = losses.filter(({ attributes }) => attributes['error.type'] === 'crash');
      assert.equal(crashes.length, signal === 'SIGKILL' ? 1 : 0);
      assert.equal(losses.length, crashes.length);
      for (const { attributes } of crashes) {
        assert.equal(attributes['fileward.lost.stage'], 'agent');
        assert.equal(attributes['fileward.count'], undefined);
        const gap = ['fileward.first_seen', 'fileward.last_seen'].map((name) =>
          Date.parse(String(attributes[name])),
        );
        assert.ok(Number(gap[1]) >= Number(gap[0]), JSON.stringify(attributes));
      }
    });
  });
}

describe('what is no news', () => {
  const scratch = new Scratch('ext4');
  const listed = path.join(scratch.base, 'listed');
  const rules = [
    watch('watched', `${scratch.path('watched')}/**`),
    { ...watch('quiet', `${scratch.path('quiet')}/**`), apps: [listed] },
    {
      ...watch('protected', `${scratch.path('protected')}/**`),
      behavior: 'block',
      apps: [],
    },
  ];
  const configuration = host(rules);
  after(() => scratch.remove());

  it('is nothing at all', async () => {
    for (let i = 0; i < 50; i++) scratch.write(`watched/${i}`);
    scratch.write('quiet/file');
    scratch.write('protected/file');
    assert.deepEqual(await findings(scratch, configuration), []);
    assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
  });

  it('is what an agent saw: every kind of change, quiet ones, moved folders, links', async () => {
    copyHelper('opener', listed);
    scratch.write('watched/tree/a/file');
    scratch.write('watched/tree/b/file');
    const agent = await start(scratch, configuration);
    const script = `cd ${scratch.path('watched')}
      echo more >> 1; rm 2; mv 3 three; echo x > new; mv new 4; chmod 600 5; touch -d @0 6
      ln 7 seven; ln 8 ../eight; mv tree moved; mv moved/a ../a-outside; rm -r moved/b
      mkfifo fifo; ln -s 9 link; : > 10; mkdir -p deep/er; echo x > deep/er/file; mv deep shallow
      mv ../protected/file ../protected-outside`;
    assert.equal((await shell(script)).code, 0);
    await openInChild(scratch.path('quiet/file'), 'O_WRONLY|O_APPEND', { app: listed });
    await agent.settle();
    await agent.stop();
    assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
  });

  it('is what the last moments before the end of an agent held', async () => {
    const agent = await start(scratch, configuration);
    const done = shell(
      `cd ${scratch.path('watched')}; for i in $(seq 300); do echo $i >> 20; echo $i > burst-$i; done`,
    );
    await agent.record({ path: scratch.path('watched/burst-1') });
    await done;
    await agent.stop();
    const live = agent.matching({ event: 'fileward.file.modified' });
    const later = await findings(scratch, configuration);
    const about = [...live, ...later].map(({ attributes }) => attributes['file.path']);
    for (let i = 1; i <= 300; i++) {
      const file = scratch.path(`watched/burst-${i}`);
      assert.ok(about.includes(file), `nobody told of ${file}`);
      const twice = later.filter(({ attributes }) => attributes['file.path'] === file);
      const before = live.filter(({ attributes }) => attributes['file.path'] === file);
      assert.ok(twice.length === 0 || before.length === 0, `${file} was told twice`);
    }
  });

  it('is never what an agent that was killed had not told yet', async () => {
    const agent = await start(scratch, configuration);
    const done = shell(`cd ${scratch.path('watched')}
      for i in $(seq 1500); do echo $i > killed-$i; done; sleep 0.5; for i in $(seq 1500); do echo $i >> killed-$i; done`);
    await agent.record({ path: scratch.path('watched/killed-700') });
    // Into the second round, while the first becomes known.
    await shell('sleep 1.5');
    await agent.stop('SIGKILL');
    await done;
    const last = new Map<unknown, unknown>();
    for (const { attributes } of [...agent.records, ...(await findings(scratch, configuration))]) {
      last.set(attributes['file.path'], attributes['fileward.file.sha256']);
    }
    for (let i = 1; i <= 1500; i++) {
      const content = sha256(`${i}\n${i}\n`);
      assert.equal(last.get(scratch.path(`watched/killed-${i}`)), content, `killed-${i}`);
    }
  });

  it('is a file that a new rule covers, and one that no rule covers any more', async () => {
    for (let i = 0; i < 50; i++) scratch.write(`added/${i}`);
    const added = watch('added', `${scratch.path('added')}/**`);
    // Changed while no agent runs, with and without a change of the file that both cover.
    appendFileSync(scratch.path('watched/30'), 'more\n');
    assert.deepEqual(told(await findings(scratch, host([...rules, added])), scratch), [
      'write watched/30',
    ]);
    appendFileSync(scratch.path('added/1'), 'more\n');
    rmSync(scratch.path('added/2'));
    scratch.write('watched/after');
    assert.deepEqual(told(await findings(scratch, configuration), scratch), [
      'create watched/after',
    ]);
    assert.deepEqual(told(await findings(scratch, host([...rules, added])), scratch), []);
  });

  it('is the same when a reload did it', async () => {
    const added = watch('added', `${scratch.path('added')}/**`);
    const agent = await start(scratch, configuration);
    await agent.reconfigure(host([...rules, added]));
    await agent.settle();
    await agent.stop();
    assert.deepEqual(told(await findings(scratch, host([...rules, added])), scratch), []);
    const second = await start(scratch, host([...rules, added]));
    await second.reconfigure(configuration);
    await second.stop();
    appendFileSync(scratch.path('added/3'), 'more\n');
    assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
  });

  it('is what came or went with a mount', async () => {
    const point = scratch.directory('watched/mounted');
    assert.equal((await shell(`mount -t tmpfs fileward-test ${point}`)).code, 0);
    scratch.write('watched/mounted/file');
    assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
    // The marks of an agent go a moment after it.
    const retry = `until umount ${point}; do sleep 0.1; done`;
    assert.equal((await shell(retry)).code, 0);
    assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
  });

  it('is a reboot, but for what changed', async () => {
    afterReboot(scratch);
    appendFileSync(scratch.path('watched/31'), 'more\n');
    assert.deepEqual(told(await findings(scratch, configuration), scratch), ['write watched/31']);
  });

  it('is what a filesystem in memory has after a reboot', async () => {
    const inMemory = new Scratch();
    const other = host([watch('watched', `${inMemory.path('watched')}/**`)]);
    for (let i = 0; i < 5; i++) inMemory.write(`watched/${i}`);
    await findings(inMemory, other);
    afterReboot(inMemory);
    rmSync(inMemory.path('watched'), { recursive: true });
    for (let i = 3; i < 9; i++) inMemory.write(`watched/${i}`, 'other\n');
    assert.deepEqual(told(await findings(inMemory, other), inMemory), []);
    rmSync(inMemory.path('watched/3'));
    assert.deepEqual(told(await findings(inMemory, other), inMemory), ['delete watched/3']);
    inMemory.remove();
  });

  it('is the second name of a file whose change is told', async () => {
    linkSync(scratch.write('watched/one'), scratch.path('watched/two'));
    await findings(scratch, configuration);
    appendFileSync(scratch.path('watched/two'), 'more\n');
    const found = await findings(scratch, configuration);
    assert.equal(found.length, 1, told(found, scratch).join());
  });
});

describe('an atomically written volume', () => {
  const scratch = new Scratch('ext4');
  const configuration = host([watch('watched', `${scratch.path('volume')}/*`)]);
  after(() => scratch.remove());

  /** As the kubelet writes a ConfigMap or a Secret. */
  function write(target: string, content: string): void {
    scratch.write(`volume/${target}/conf`, content);
    symlinkSync(target, scratch.path('volume/..data_tmp'));
    renameSync(scratch.path('volume/..data_tmp'), scratch.path('volume/..data'));
  }

  it('is no news at a start, and what was swapped in while no agent ran is told once', async () => {
    write('..one', 'one\n');
    symlinkSync('..data/conf', scratch.path('volume/conf'));
    await findings(scratch, configuration);
    assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
    write('..two', 'second\n');
    assert.deepEqual(told(await findings(scratch, configuration), scratch), ['create volume/conf']);
    assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
    rmSync(scratch.path('volume/..one'), { recursive: true });
    assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
  });

  it('is no news when an agent saw it swapped', async () => {
    const agent = await start(scratch, configuration);
    write('..three', 'third\n');
    // With the one before it still there.
    await agent.record({ path: scratch.path('volume/conf') });
    await agent.settle();
    await agent.stop();
    assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
  });
});

describe('many changes while no agent ran', () => {
  const scratch = new Scratch();
  const configuration = host([watch('watched', `${scratch.path('watched')}/**`)]);
  const count = 3000;
  after(() => scratch.remove());

  it('are all told, however often the agent is killed while it tells them', async () => {
    const files = Array.from({ length: count }, (_, i) => scratch.write(`watched/${i % 7}/${i}`));
    await (await start(scratch, configuration)).stop();
    for (const file of files) appendFileSync(file, 'more\n');
    const about = new Set<unknown>();
    let cut = 0;
    for (let round = 0; round < 3; round++) {
      const agent = await Agent.start(scratch, configuration);
      await agent.record({ attributes: { 'fileward.reason': 'found_on_rescan' } });
      await agent.stop('SIGKILL');
      if (!agent.log.some(({ msg }) => msg === compared)) cut += 1;
      for (const { attributes } of foundBy(agent)) about.add(attributes['file.path']);
    }
    const agent = await start(scratch, configuration);
    await agent.settle();
    await agent.stop();
    for (const { attributes } of foundBy(agent)) about.add(attributes['file.path']);
    assert.ok(cut > 0, 'no agent was killed while it compared');
    assert.deepEqual(
      files.filter((file) => !about.has(file)),
      [],
    );
    assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
  });

  it('do not hold up the start: it decides before it compares', async () => {
    const agent = await start(scratch, configuration);
    const messages = agent.log.map(({ msg }) => msg);
    assert.ok(messages.indexOf('ready') < messages.indexOf(compared));
    await agent.stop();
  });
});

describe('a damaged file of what is known', () => {
  it('is said and set aside, and the agent works', async () => {
    const scratch = new Scratch();
    const configuration = host([watch('watched', `${scratch.path('watched')}/**`)]);
    const file = scratch.write('watched/file');
    await (await start(scratch, configuration)).stop();
    const database = path.join(scratch.base, 'state/known-files.db');
    assert.equal(statSync(database).mode & 0o777, 0o600);
    writeFileSync(database, 'no database '.repeat(1000));
    const agent = await start(scratch, configuration);
    await agent.record({
      event: 'fileward.coverage.degraded',
      attributes: { 'error.type': 'known_files_failed' },
    });
    await agent.stop();
    assert.ok(statSync(`${database}.broken`).isFile());
    rmSync(file);
    assert.deepEqual(told(await findings(scratch, configuration), scratch), [
      'delete watched/file',
    ]);
    scratch.remove();
  });
});

describe('a full disk', () => {
  const scratch = new Scratch();
  const state = path.join(scratch.base, 'small');
  after(async () => {
    await shell(`umount --lazy ${state}`);
    scratch.remove();
  });

  const filler = path.join(state, 'filler');
  const reason = { 'error.type': 'known_files_failed' };
  const configuration = {
    ...host([watch('watched', `${scratch.path('watched')}/**`)]),
    state: path.join(state, 'fileward'),
  };

  it('is said, and what is known is kept again when there is room', async () => {
    for (let i = 0; i < 300; i++) scratch.write(`watched/a-name-that-takes-some-room-${i}`);
    const mount = await shell(`mkdir ${state} && mount -t tmpfs -o size=2M fileward-test ${state}`);
    assert.equal(mount.code, 0, mount.stderr);
    const agent = await start(scratch, configuration);
    await shell(`dd if=/dev/zero of=${filler} bs=4k`);
    await shell(
      `cd ${scratch.path('watched')}; for f in *; do echo more >> $f; chmod 600 $f; done`,
    );
    await agent.record({ event: 'fileward.coverage.degraded', attributes: reason });
    rmSync(filler);
    await agent.record({ event: 'fileward.coverage.restored', attributes: reason });
    await agent.stop();
    assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
  });

  it('at the start is said, what is found is told once, and known when there is room', async () => {
    await shell(`cd ${scratch.path('watched')}; for f in *; do echo more >> $f; done`);
    await shell(`dd if=/dev/zero of=${filler} bs=4k`);
    const agent = await Agent.start(scratch, configuration);
    await agent.record({ event: 'fileward.coverage.degraded', attributes: reason });
    rmSync(filler);
    await agent.record({ event: 'fileward.coverage.restored', attributes: reason }, 60_000);
    await agent.settle();
    await agent.stop();
    const found = told(foundBy(agent), scratch);
    assert.equal(found.length, 300);
    assert.equal(new Set(found).size, 300);
    assert.deepEqual(told(await findings(scratch, configuration), scratch), []);
  });
});

describe('an overflow of the kernel queue', () => {
  const scratch = new Scratch();
  let agent: Agent;
  after(async () => {
    await agent?.stop();
    scratch.remove();
  });

  it('is a gap, and what changed in it is found', { timeout: 180_000 }, async () => {
    const configuration = host([watch('watched', scratch.path('watched/*.conf'))]);
    const [written, deleted, kept] = ['written', 'deleted', 'kept'].map((name) =>
      scratch.write(`watched/${name}.conf`),
    );
    agent = await start(scratch, configuration);
    agent.signal('SIGSTOP');
    // fs.fanotify.max_queued_events is 16384 by default. Each name in the folder is an event of its own, covered or not.
    const fill = await shell(`n=$(cat /proc/sys/fs/fanotify/max_queued_events)
      cd ${scratch.path('watched')}; seq $((n + 2000)) | xargs touch; echo more >> ${written}; rm ${deleted}`);
    assert.equal(fill.code, 0, fill.stderr);
    agent.signal('SIGCONT');
    const gap = { 'error.type': 'queue_overflow', 'fileward.lost.stage': 'kernel' };
    const lost = await agent.record({ event: 'fileward.record.lost', attributes: gap }, 60_000);
    assert.equal(lost.severity, 17);
    const found = { 'fileward.reason': 'found_on_rescan' };
    for (const [file = '', operation] of [
      [written, 'write'],
      [deleted, 'delete'],
    ]) {
      const query = { event: 'fileward.file.modified', path: file, attributes: found };
      const record = await agent.record(query, 60_000);
      assert.equal(record.attributes['fileward.operation'], operation);
    }
    assert.deepEqual(agent.matching({ path: kept ?? '' }), []);
  });
});

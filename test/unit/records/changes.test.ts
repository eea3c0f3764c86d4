import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { configurationOf, encode, type EventWords, fact, rule, underTest } from './support.ts';

const before = {
  before_known: 1,
  before_size: 12n,
  before_mtime_ns: 5n,
  before_mode: 0o100640,
  before_gid: 42,
};
/** Written by a descriptor that was judged and listed: told as modified only. */
const listed: EventWords = { outcome: 'modified', reason: 'none', flags: ['listed', 'judged'] };

/** Hashes of files that aren't there fail at once; this waits for them. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20));
}

function noHash(given = {}) {
  return underTest(configurationOf([rule('data', { hash: false, ...given })]));
}

describe('a write', () => {
  const written = (size: bigint, more: EventWords = {}) =>
    fact('written', {
      ...listed,
      ...more,
      fields: { ...before, size, mtime_ns: 6n, ...more.fields },
    });
  const closed = (size: bigint, more: EventWords = {}) =>
    fact('closed_write', { ...listed, ...more, fields: { size, mtime_ns: 6n, ...more.fields } });

  it('is told once, when the last writer closes', () => {
    const test = noHash();
    test.accept(written(20n), written(30n));
    test.pass(100);
    assert.deepEqual(test.told(), []);
    test.accept(closed(40n));
    assert.deepEqual(test.told(), ['modified write /srv/data/a']);
    assert.equal(test.records[0]?.attributes['file.size'], 40);
    assert.deepEqual(test.counted, ['modified write']);
  });

  it('is told ten seconds after its first change when nobody closes', () => {
    const test = noHash();
    test.processes.set(4711, '2049:77');
    test.accept(written(20n));
    test.pass(5000);
    test.accept(written(30n));
    test.pass(4900);
    assert.deepEqual(test.told(), []);
    test.pass(100);
    assert.deepEqual(test.told(), ['modified write /srv/data/a']);
    test.accept(closed(30n, { fields: { ...before, before_size: 30n, before_mtime_ns: 6n } }));
    assert.equal(test.records.length, 1);
  });

  it('waits for another writer that lives, not for one that is gone', () => {
    const test = noHash();
    test.processes.set(4711, '2049:77').set(5000, '2049:77');
    test.accept(written(20n), written(30n, { fields: { pid: 5000 } }));
    test.accept(closed(30n));
    assert.deepEqual(test.told(), []);
    test.processes.delete(5000);
    test.accept(closed(30n));
    assert.deepEqual(test.told(), ['modified write /srv/data/a']);
  });

  it('is nothing when a close changed nothing', () => {
    const test = noHash();
    test.accept(closed(12n, { fields: { ...before, mtime_ns: 5n } }));
    test.pass(11_000);
    assert.deepEqual(test.told(), []);
  });

  it('is seen through a mapping by the close alone', () => {
    const test = noHash();
    test.accept(closed(12n, { fields: { ...before, mtime_ns: 9n } }));
    assert.deepEqual(test.told(), ['modified write /srv/data/a']);
  });

  it('is a truncate when nothing is left', () => {
    const test = noHash();
    test.accept(written(0n), closed(0n));
    assert.deepEqual(test.told(), ['modified truncate /srv/data/a']);
  });

  it('is a truncate when its process does not hold the file: truncate(2) never closes', () => {
    const test = noHash();
    test.processes.set(4711, '');
    test.accept(written(4n));
    test.pass(500);
    assert.deepEqual(test.told(), ['modified truncate /srv/data/a']);
  });

  it('names the strictest of its writers and tells the violation of each other', () => {
    const test = noHash();
    const descriptor: EventWords = {
      outcome: 'violated',
      reason: 'descriptor_not_judged',
      mode: 'protect',
      flags: [],
    };
    test.accept(
      written(20n),
      written(21n, { ...descriptor, strings: { exe: '/usr/bin/dd' } }),
      written(22n, { ...descriptor, strings: { exe: '/usr/bin/tee' } }),
      closed(22n),
    );
    const apps = test.records.map(
      ({ event, attributes }) => `${event.slice(14)} ${attributes['process.executable.name']}`,
    );
    assert.deepEqual(apps.sort(), ['modified tee', 'violated dd', 'violated tee']);
    const violated = test.records.find(({ event }) => event.endsWith('violated'));
    assert.equal(violated?.severity, 17);
    assert.equal(violated?.attributes['fileward.reason'], 'descriptor_not_judged');
  });

  it('is quiet and counted where the rule says so', () => {
    const test = noHash();
    const quiet: EventWords = { outcome: 'quiet', flags: ['listed', 'judged', 'changes_quiet'] };
    test.accept(written(20n, quiet), closed(20n, quiet));
    assert.deepEqual(test.told(), []);
    assert.deepEqual(test.counted, ['quiet write']);
  });

  it('is told before the file is deleted or renamed', () => {
    const test = noHash();
    test.accept(written(20n), fact('deleted', listed));
    assert.deepEqual(test.told(), ['modified write /srv/data/a', 'modified delete /srv/data/a']);
  });
});

describe('attributes', () => {
  it('are told where they really changed', () => {
    const test = noHash();
    test.accept(fact('attributes', { ...listed, fields: { ...before, file_mode: 0o100600 } }));
    assert.deepEqual(test.told(), ['modified attributes /srv/data/a']);
    assert.equal(test.records[0]?.attributes['file.mode'], '0600');
  });

  it('are nothing where they did not', () => {
    const test = noHash();
    test.accept(fact('attributes', { ...listed, fields: before }));
    assert.deepEqual(test.told(), []);
  });

  it('are part of a write that changes the times', () => {
    const test = noHash();
    test.accept(
      fact('written', { ...listed, fields: { ...before, size: 20n } }),
      fact('attributes', { ...listed, fields: { ...before, size: 20n, mtime_ns: 9n } }),
      fact('closed_write', { ...listed, fields: { size: 20n, mtime_ns: 9n } }),
    );
    assert.deepEqual(test.told(), ['modified write /srv/data/a']);
  });
});

describe('changes through no gate', () => {
  it('are modified and violated in monitor and protect', () => {
    const test = noHash();
    test.accept(fact('deleted'));
    assert.deepEqual(test.told().sort(), [
      'modified delete /srv/data/a',
      'violated delete /srv/data/a',
    ]);
    assert.deepEqual(test.counted, ['violated write', 'modified write']);
  });

  it('are modified and learned in discover', () => {
    const test = noHash();
    test.accept(fact('deleted', { outcome: 'modified', mode: 'discover', reason: 'none' }));
    assert.deepEqual(test.told(), [
      'rule.learned write /srv/data/a',
      'modified delete /srv/data/a',
    ]);
  });

  it('are modified only by a listed app', () => {
    const test = noHash();
    test.accept(fact('deleted', { ...listed, mode: 'discover', flags: ['listed'] }));
    assert.deepEqual(test.told(), ['modified delete /srv/data/a']);
  });

  it('are one record for a rename, with the other name', () => {
    const test = noHash();
    test.accept(
      fact('renamed', {
        ...listed,
        flags: ['listed', 'replaced'],
        strings: { new_path: '/srv/data/b' },
      }),
    );
    assert.deepEqual(test.told(), ['modified rename /srv/data/a']);
    const { attributes, body } = test.records[0] ?? assert.fail();
    assert.equal(attributes['fileward.file.new_path'], '/srv/data/b');
    assert.equal(attributes['fileward.file.replaced'], true);
    assert.equal(body, 'cat (pid 4711) renamed /srv/data/a to /srv/data/b');
  });

  it('are one record for a directory, with the number of covered files', () => {
    const test = noHash();
    test.accept(
      fact('directory_moved', {
        ...listed,
        fields: { count: 40n },
        strings: { path: '/srv/data', new_path: '/srv/old' },
      }),
    );
    assert.deepEqual(test.told(), ['modified rename /srv/data']);
    assert.equal(test.records[0]?.attributes['fileward.file.count'], 40);
  });

  it('name the package manager that made them', () => {
    const test = noHash();
    const [name] = test.policy.ruleset.package_managers.map((manager) => manager.name);
    test.accept(fact('deleted', { ...listed, fields: { package_manager: 1 } }));
    assert.equal(test.records[0]?.attributes['fileward.package.manager'], name);
  });
});

describe('a creation and its judged open', () => {
  const fresh: EventWords = { operation: 'write', flags: ['o_creat_fresh'], fields: { size: 0n } };
  const violatedOpen = encode({ ...fresh, outcome: 'violated', mode: 'monitor' });
  const created = fact('created', { actor: 'gone', reason: 'process_gone', fields: { size: 0n } });

  for (const [order, events] of [
    ['open first', [violatedOpen, created]],
    ['creation first', [created, violatedOpen]],
  ] as const) {
    it(`are one violation and one create by the opener, ${order}`, () => {
      const test = noHash();
      for (const event of events) test.accept(event);
      test.pass(300);
      assert.deepEqual(test.told().sort(), [
        'modified create /srv/data/a',
        'violated write /srv/data/a',
      ]);
      const made = test.records.find(({ event }) => event === 'fileward.file.modified');
      assert.equal(made?.attributes['process.executable.path'], '/usr/bin/cat');
    });
  }

  const deniedOpen = encode(fresh);
  for (const [order, events] of [
    ['open first', [deniedOpen, created]],
    ['creation first', [created, deniedOpen]],
  ] as const) {
    it(`leave one denial and an empty file, ${order}`, () => {
      const test = noHash();
      for (const event of events) test.accept(event);
      test.accept(created);
      test.pass(300);
      assert.deepEqual(test.told(), ['denied write /srv/data/a']);
      const { attributes, severity } = test.records[0] ?? assert.fail();
      assert.equal(attributes['fileward.reason'], 'empty_file_left');
      assert.equal(severity, 17);
      assert.deepEqual(test.counted, ['denied write']);
    });
  }

  it('are a plain denial when no creation is told', () => {
    const test = noHash();
    test.accept(deniedOpen);
    assert.deepEqual(test.told(), []);
    test.pass(600);
    assert.deepEqual(test.told(), ['denied write /srv/data/a']);
    assert.equal(test.records[0]?.severity, 13);
    assert.equal(test.records[0]?.attributes['fileward.reason'], 'app_not_listed');
    test.accept(created);
    test.pass(600);
    assert.equal(test.records.length, 1, 'a creation that is told late is no violation');
  });

  it('are a creation through no gate when no open is told', () => {
    const test = noHash();
    test.accept(created);
    test.pass(600);
    assert.deepEqual(test.told().sort(), [
      'modified create /srv/data/a',
      'violated create /srv/data/a',
    ]);
  });

  it('do not wait for each other under a watch rule, which judges no open', () => {
    const test = noHash({ behavior: 'watch' });
    test.accept(fact('created', { outcome: 'modified' }));
    assert.deepEqual(test.told(), ['modified create /srv/data/a']);
  });

  it('do not hide what a process does to the file that was left', () => {
    const test = noHash();
    test.accept(deniedOpen, created);
    test.accept(fact('attributes', { fields: { ...before, file_mode: 0o100777 } }));
    assert.deepEqual(test.told(), [
      'denied write /srv/data/a',
      'violated attributes /srv/data/a',
      'modified attributes /srv/data/a',
    ]);
  });
});

describe('what waits', () => {
  it('goes out when the agent ends', async () => {
    const test = noHash();
    test.accept(fact('written', { ...listed, fields: { ...before, size: 20n } }));
    test.accept(encode({ operation: 'write', flags: ['o_creat_fresh'], fields: { ino: 78n } }));
    await test.pipeline.flush();
    assert.deepEqual(test.told(), ['denied write /srv/data/a', 'modified write /srv/data/a']);
    await settled();
  });
});

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConfigurationWatch, watchConfiguration } from '../../../src/config/watch.ts';

const settleMs = 20;

/** The changes that a watch has told, to be waited for. */
class Changes {
  count = 0;
  #waiting: (() => void) | undefined;

  readonly told = () => {
    this.count += 1;
    this.#waiting?.();
  };

  async next(): Promise<void> {
    if (this.count === 0) await new Promise<void>((resolve) => (this.#waiting = resolve));
    this.count = 0;
  }
}

describe('watching the configuration', () => {
  let folder = '';
  let file = '';
  let watch: ConfigurationWatch | undefined;
  let changes: Changes;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fileward-watch-'));
    file = join(folder, 'fileward.config.yaml');
    await writeFile(file, 'version: 1\n');
    changes = new Changes();
  });
  afterEach(async () => {
    watch?.close();
    await rm(folder, { recursive: true, force: true });
  });
  const start = (files: readonly string[]) => {
    watch = watchConfiguration(files, changes.told, { settleMs });
  };

  it('sees an edit in place', async () => {
    start([file]);
    await writeFile(file, 'version: 1\nstate: /a\n');
    await changes.next();
  });

  it('sees one atomic replace after the other', async () => {
    start([file]);
    for (const state of ['/a', '/bb', '/ccc']) {
      await writeFile(`${file}.new`, `version: 1\nstate: ${state}\n`);
      await rename(`${file}.new`, file);
      await changes.next();
    }
  });

  it('sees a file go and come again', async () => {
    start([file]);
    await rm(file);
    await changes.next();
    await writeFile(file, 'version: 1\n');
    await changes.next();
  });

  it('sees a ConfigMap swap its ..data link', async () => {
    for (const version of ['one', 'two']) {
      await mkdir(join(folder, `..${version}`));
      await writeFile(join(folder, `..${version}`, 'mounted.yaml'), `policy_version: ${version}\n`);
    }
    await symlink('..one', join(folder, '..data'));
    await symlink('..data/mounted.yaml', join(folder, 'mounted.yaml'));
    start([join(folder, 'mounted.yaml')]);
    await symlink('..two', join(folder, '..data_tmp'));
    await rename(join(folder, '..data_tmp'), join(folder, '..data'));
    await changes.next();
  });

  it('sees a change where a link from another folder leads', async () => {
    const link = join(folder, 'link', 'fileward.config.yaml');
    await mkdir(join(folder, 'link'));
    await symlink(file, link);
    start([link]);
    await writeFile(file, 'version: 1\nstate: /a\n');
    await changes.next();
  });

  it('sees a file that appears in a folder of imports', async () => {
    const rules = join(folder, 'rules.d');
    await mkdir(rules);
    start([file, rules]);
    await writeFile(join(rules, 'a.yaml'), 'groups: []\n');
    await changes.next();
  });

  it('sees a folder of imports appear, and what is in it', async () => {
    const rules = join(folder, 'rules.d');
    start([file, rules]);
    await mkdir(rules);
    await changes.next();
    await writeFile(join(rules, 'a.yaml'), 'groups: []\n');
    await changes.next();
  });

  it('sees the whole folder replaced', async () => {
    const etc = join(folder, 'etc');
    await mkdir(etc);
    await writeFile(join(etc, 'a.yaml'), 'version: 1\n');
    await mkdir(join(folder, 'new'));
    await writeFile(join(folder, 'new', 'a.yaml'), 'version: 1\nstate: /a\n');
    start([join(etc, 'a.yaml')]);
    await rename(etc, join(folder, 'old'));
    await rename(join(folder, 'new'), etc);
    await changes.next();
    await writeFile(join(etc, 'a.yaml'), 'version: 1\nstate: /bb\n');
    await changes.next();
  });

  it('says nothing of other files, nor after it is closed', async () => {
    start([file]);
    await writeFile(join(folder, 'other'), 'x');
    await sleep(settleMs * 5);
    assert.equal(changes.count, 0);
    watch?.close();
    await writeFile(file, 'version: 1\nstate: /a\n');
    await utimes(file, 1, 1);
    await sleep(settleMs * 5);
    assert.equal(changes.count, 0);
  });
});

/** The tree is one of plain folders: inotify tells of them as of cgroups, and anybody may make them. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { after, afterEach, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { cgroupMount } from '../../../src/workloads/cgroup-mount.ts';
import { CgroupTree } from '../../../src/workloads/cgroup-tree.ts';

const folder = mkdtempSync('/tmp/fileward-cgroups-');
after(() => rmSync(folder, { recursive: true, force: true }));

const id = (digit: string) => digit.repeat(64);

describe('a tree of cgroups', () => {
  let tree: CgroupTree | undefined;
  let top: string;
  let there: Set<string>;
  let stirred: string[];

  const start = () => {
    top = mkdtempSync(`${folder}/tree-`);
    there = new Set();
    stirred = [];
    const hooks = {
      onContainer: ({ cgroup }: { cgroup: string }) => void there.add(cgroup),
      onGone: (cgroup: string) => void there.delete(cgroup),
      onStir: (cgroup: string) => void stirred.push(cgroup),
      onBlind: (error: Error) => assert.fail(error),
    };
    tree = new CgroupTree({ folder: top, root: '' }, hooks);
    return tree;
  };
  const make = (path: string) => mkdirSync(`${top}${path}`, { recursive: true });
  const until = async (holds: () => boolean) => {
    for (let look = 0; look < 1000 && !holds(); look++) await pause(10);
    assert.ok(holds());
  };
  afterEach(() => tree?.close());

  it('has containers at any depth, as they come and go', async () => {
    const tree = start();
    make(`/docker/${id('a')}`);
    tree.look();
    assert.deepEqual([...there], [`/docker/${id('a')}`]);
    const slice = '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice';
    make(`${slice}/cri-containerd-${id('b')}.scope`);
    make(`/docker/${id('a')}/docker/${id('c')}`);
    await until(() => there.size === 3);
    rmSync(`${top}/docker/${id('a')}`, { recursive: true });
    await until(() => there.size === 1);
    assert.deepEqual([...there], [`${slice}/cri-containerd-${id('b')}.scope`]);
  });

  it('has a cgroup that came back under its name as a new one', () => {
    const tree = start();
    make(`/docker/${id('a')}/inner`);
    tree.look();
    const told: string[] = [];
    there.delete = (cgroup) => told.push(`gone ${cgroup}`) > 0;
    there.add = (cgroup) => {
      told.push(`new ${cgroup}`);
      return there;
    };
    // Not removed: the next one might get the same inode here.
    renameSync(`${top}/docker/${id('a')}`, `${top}/away`);
    make(`/docker/${id('a')}`);
    tree.look();
    assert.deepEqual(told, [`gone /docker/${id('a')}`, `new /docker/${id('a')}`]);
  });

  it('says which processes are of which container', () => {
    const tree = start();
    const [outer, inner] = [`/docker/${id('a')}`, `/docker/${id('a')}/docker/${id('b')}`];
    make(`${outer}/init.scope`);
    make(inner);
    writeFileSync(`${top}${outer}/cgroup.procs`, '');
    writeFileSync(`${top}${outer}/init.scope/cgroup.procs`, '7\n8\n');
    writeFileSync(`${top}${inner}/cgroup.procs`, '9\n');
    tree.look();
    assert.deepEqual(tree.processesOf(outer, false), []);
    assert.deepEqual(tree.processesOf(outer, true), [7, 8]);
    assert.deepEqual(tree.processesOf(inner, true), [9]);
    assert.deepEqual(tree.processesOf('/docker/gone', true), []);
  });

  it('tells of a change of processes', async () => {
    const tree = start();
    make(`/docker/${id('a')}`);
    tree.look();
    writeFileSync(`${top}/docker/${id('a')}/cgroup.procs`, '1\n');
    await until(() => stirred.includes(`/docker/${id('a')}`));
  });

  it('is not followed into a container that makes cgroups without end', async () => {
    const tree = start();
    const outer = `/docker/${id('a')}`;
    make(outer);
    tree.look();
    for (let index = 0; index < 700; index++) {
      make(`${outer}/docker/${index.toString(16).padStart(64, '0')}`);
    }
    make(`/docker/${id('b')}`);
    await until(() => there.has(`/docker/${id('b')}`));
    tree.look();
    assert.ok(there.size <= 514, String(there.size));
    // Nor by removing and making the same one again and again.
    for (let round = 0; round < 2000; round++) {
      mkdirSync(`${top}${outer}/x`);
      rmdirSync(`${top}${outer}/x`);
      if (round % 100 === 0) await pause(1);
    }
    await pause(50);
    stirred = [];
    writeFileSync(`${top}${outer}/cgroup.procs`, '1\n');
    await pause(50);
    assert.deepEqual(stirred, []);
    tree.look();
    writeFileSync(`${top}${outer}/cgroup.procs`, '1\n');
    await until(() => stirred.length > 0);
  });
});

describe('the hierarchy that tells containers apart', () => {
  const line = (root: string, place: string, type: string, options: string) =>
    `31 23 0:28 ${root} ${place} rw,nosuid shared:9 - ${type} ${type} ${options}\n`;
  const v2 = line('/', '/sys/fs/cgroup', 'cgroup2', 'rw,nsdelegate');
  const memory = line('/', '/sys/fs/cgroup/memory', 'cgroup', 'rw,memory');
  const systemd = line('/', '/sys/fs/cgroup/systemd', 'cgroup', 'rw,xattr,name=systemd');
  const unified = line('/', '/sys/fs/cgroup/unified', 'cgroup2', 'rw');
  const cases: readonly (readonly [string, string, string, string | undefined, string?])[] = [
    ['v2', v2, '0::/init.scope\n', '/sys/fs/cgroup'],
    ['v1', memory + systemd, '4:memory:/\n1:name=systemd:/\n', '/sys/fs/cgroup/systemd'],
    [
      'both',
      memory + systemd + unified,
      '4:memory:/\n1:name=systemd:/\n0::/\n',
      '/sys/fs/cgroup/systemd',
    ],
    ['both, without systemd', memory + unified, '4:memory:/\n0::/\n', '/sys/fs/cgroup/unified'],
    ['v1, without systemd', memory, '4:memory:/\n', '/sys/fs/cgroup/memory'],
    [
      'a part of the tree beside the whole',
      line('/docker/x', '/sys/fs/cgroup', 'cgroup2', 'rw') +
        line('/', '/host/a\\040b', 'cgroup2', 'rw'),
      '0::/\n',
      '/host/a b',
    ],
    [
      'a part of the tree',
      line('/docker/x', '/sys/fs/cgroup', 'cgroup2', 'rw'),
      '0::/docker/x\n',
      '/sys/fs/cgroup',
      '/docker/x',
    ],
    ['none', line('/', '/', 'ext4', 'rw'), '0::/\n', undefined],
  ];
  for (const [what, mounts, cgroups, place, root = ''] of cases) {
    it(`is found: ${what}`, () => {
      const expected = place === undefined ? undefined : { folder: place, root };
      assert.deepEqual(cgroupMount(mounts, cgroups), expected);
    });
  }
});

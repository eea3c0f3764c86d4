/** A protected file by every other way to it: the same verdict, and the name that it is protected under. */
import assert from 'node:assert/strict';
import { linkSync, mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { copyHelper, helper, openInChild, run, shell } from './children.ts';
import { Agent } from './harness.ts';
import { copyPerl, rename } from './perl.ts';
import { place } from './place.ts';
import { Scratch } from './scratch.ts';

for (const filesystem of ['tmpfs', 'ext4'] as const) {
  describe(`on ${filesystem}`, () => {
    const scratch = new Scratch(filesystem);
    const secret = scratch.write('secret/file', 'secret\n');
    const elsewhere = scratch.directory('elsewhere');
    const mover = copyPerl(path.join(scratch.base, 'mover'));
    let agent: Agent;

    before(async () => {
      agent = await Agent.start(scratch, {
        groups: [
          {
            name: 'host',
            members: { host: true },
            mode: 'protect',
            rules: [
              {
                name: 'secret',
                path: `${scratch.path('secret')}/**`,
                behavior: 'block',
                operations: ['read', 'write'],
                apps: [mover],
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

    /** Waits for the denial under that name; its protected name. */
    async function protectedPath(name: string): Promise<unknown> {
      const { attributes } = await agent.record({ event: 'fileward.file.denied', path: name });
      return attributes['fileward.file.protected_path'];
    }

    it('by its own name', async () => {
      assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
      assert.equal(await protectedPath(secret), undefined);
    });

    it('by a hard link from before', async () => {
      const link = path.join(elsewhere, 'link');
      linkSync(secret, link);
      await agent.settle();
      assert.equal(await openInChild(link, 'O_RDONLY'), 'EPERM');
      assert.equal(await protectedPath(link), secret);
    });

    it('by a bind mount of the file, and of its folder', async () => {
      const script = `
        mount --bind ${scratch.path('secret')} ${elsewhere}/mnt && touch ${elsewhere}/one &&
        mount --bind ${secret} ${elsewhere}/one &&
        "$0" openat O_RDONLY ${elsewhere}/mnt/file; "$0" openat O_WRONLY ${elsewhere}/one`;
      mkdirSync(path.join(elsewhere, 'mnt'));
      const { stdout, stderr } = await run('unshare', [
        '--mount',
        'sh',
        '-c',
        script,
        helper('opener'),
      ]);
      assert.deepEqual(stdout.trim().split('\n'), ['EPERM', 'EPERM'], stderr);
      await agent.settle();
      const names = agent
        .matching({ event: 'fileward.file.denied' })
        .filter((record) => record.attributes['fileward.file.protected_path'] === secret);
      assert.ok(names.length >= 2);
    });

    it('by a bind mount that an unprivileged user makes in a namespace of its own', async () => {
      const script = `mount --bind ${scratch.path('secret')} ${elsewhere}/mnt && exec "$0" openat O_RDONLY ${elsewhere}/mnt/file`;
      // Where that user may run it.
      const opener = copyHelper('opener', path.join(scratch.base, 'opener'));
      const { stdout, stderr } = await run(
        'unshare',
        ['--user', '--map-root-user', '--mount', 'sh', '-c', script, opener],
        { uid: 65534, gid: 65534 },
      );
      assert.equal(stdout.trim(), 'EPERM', stderr);
    });

    it('by a symlink', async () => {
      const link = path.join(elsewhere, 'symlink');
      symlinkSync(secret, link);
      assert.equal(await openInChild(link, 'O_RDONLY'), 'EPERM');
    });

    it('by /proc/self/fd of a path descriptor', async () => {
      assert.equal(await openInChild(secret, 'O_RDONLY', { call: 'path_reopen' }), 'EPERM');
    });

    it('by a name that an app that is not listed moved it to, and back', async () => {
      const file = place(scratch, 'secret/moved');
      const away = path.join(elsewhere, 'away');
      await agent.settle();
      await shell(`mv ${file} ${away}`);
      assert.equal(await openInChild(away, 'O_RDONLY'), 'EPERM');
      assert.equal(await protectedPath(away), file);
      await shell(`mv ${away} ${file}`);
      assert.equal(await openInChild(file, 'O_RDONLY'), 'EPERM');
      const moved = await agent.record({
        event: 'fileward.file.violated',
        path: file,
        attributes: { 'fileward.operation': 'rename', 'fileward.file.new_path': away },
      });
      assert.equal(moved.severity, 17);
    });

    it('but not by the name that a listed app moved it to', async () => {
      const file = place(scratch, 'secret/given');
      const away = path.join(elsewhere, 'given');
      await agent.settle();
      assert.equal((await rename(file, away, { program: mover })).code, 0);
      await agent.settle();
      assert.equal(await openInChild(away, 'O_RDONLY'), 'ok');
    });

    it('when another file is moved over its name, that one is protected', async () => {
      const other = path.join(elsewhere, 'other');
      await shell(`echo other > ${other} && mv ${other} ${scratch.path('secret', 'over')}`);
      assert.equal(await openInChild(scratch.path('secret', 'over'), 'O_RDONLY'), 'EPERM');
    });

    it('in a folder that is made while the agent runs', async () => {
      const folder = scratch.directory('secret/new/deep');
      await agent.settle();
      const file = path.join(folder, 'file');
      await shell(`echo x > ${elsewhere}/x && mv ${elsewhere}/x ${file}`);
      assert.equal(await openInChild(file, 'O_RDONLY'), 'EPERM');
    });
  });
}

/** Mounts and other ways to a container's files: made inside, brought in by another container, layers on the host. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openInChild } from '../kernel/children.ts';
import type { Container } from './container.ts';
import { whyNoContainers } from './podman.ts';
import { opens, Site, waitUntil } from './site.ts';

const skip = whyNoContainers() ?? false;
let site: Site;
let web: Container;
/** Has the root directory of `web` mounted. */
let peer: Container;

before(async () => {
  if (skip !== false) return;
  site = await Site.make('mounts');
  web = await site.start('mounts-web', ['--cap-add=SYS_ADMIN']);
  await web.shell('mkdir /etc/app /late; echo x > /etc/app/secret; echo x > /late/secret');
  peer = await site.start('mounts-peer', [`--volume=${await web.merged()}:/peer`]);
  const rule = (name: string, where: string, apps: unknown[]) => ({
    name,
    path: where,
    behavior: 'block',
    operations: ['read', 'write'],
    apps,
  });
  await site.startAgent([
    {
      name: 'web',
      members: { container: { name: 'mounts-web' } },
      mode: 'protect',
      rules: [
        rule('app', '/etc/app/**', ['/bin/listed']),
        rule('late', '/late/**', ['/bin/listed']),
      ],
    },
    {
      name: 'host',
      members: { host: true },
      mode: 'protect',
      rules: [rule('layers', path.join(site.podman.base, 'storage/overlay/*/diff/etc/app/*'), [])],
    },
  ]);
});
after(() => site?.remove());

describe('a container’s files', { skip }, () => {
  it('are the same through a bind mount that it makes, /proc and a private namespace', async () => {
    const { output } = await web.shell(`
      mkdir /mnt; echo x > /tmp/bound; mount --bind /etc/app/secret /tmp/bound
      opener openat O_RDONLY /tmp/bound
      opener openat O_RDONLY /proc/self/root/etc/app/secret
      unshare --mount sh -c 'mount --bind /etc/app /mnt
        opener openat O_RDONLY /mnt/secret; listed openat O_RDONLY /mnt/secret'`);
    assert.equal(output, 'EPERM\nEPERM\nEPERM\nok\n');
    await site.agent.settle(); // now it knows the mount, and its name
    assert.equal(await opens(web, '/tmp/bound', 'O_RDWR'), 'EPERM');
    await site.agent.record({
      event: 'fileward.file.denied',
      path: '/tmp/bound',
      attributes: { 'fileward.file.protected_path': '/etc/app/secret' },
    });
    await web.shell('umount /tmp/bound');
  });

  it('on a mount that is made later are covered, and those below it when it goes', async () => {
    await web.shell('mount -t tmpfs none /late; echo new > /late/other');
    await waitUntil('denial', async () => (await opens(web, '/late/other')) === 'EPERM');
    assert.equal(await opens(web, '/late/other', 'O_RDONLY', '/bin/listed'), 'ok');
    const { code, output } = await web.shell('umount /late');
    assert.equal(code, 0, output);
    assert.equal(await opens(web, '/late/secret'), 'EPERM');
  });

  it('are its own in another container that has them mounted', async () => {
    assert.equal(await opens(peer, '/peer/etc/app/secret'), 'EPERM');
    assert.equal(await opens(peer, '/peer/etc/app/secret', 'O_RDONLY', '/bin/listed'), 'EPERM');
    const { attributes } = await site.agent.record({
      event: 'fileward.file.denied',
      attributes: { 'fileward.process.container.id': peer.id },
      resource: { 'container.id': web.id },
    });
    assert.equal(attributes['fileward.process.origin'], 'container');
    assert.equal(attributes['security_rule.ruleset.name'], 'web');
    assert.equal(await opens(peer, '/peer/etc/passwd'), 'ok');
  });

  it('have layers on the host, where a host’s rule is told to be none', async () => {
    // Marks on both would let the overlay's own open of the layer wait for the thread that caused it.
    const { attributes } = await site.agent.record({
      event: 'fileward.coverage.degraded',
      attributes: { 'error.type': 'overlay_layer' },
    });
    assert.equal(attributes['security_rule.name'], 'layers');
    assert.equal(await opens(web, '/etc/app/secret', 'O_RDONLY', '/bin/listed'), 'ok');
    const upper = path.join(path.dirname(await web.merged()), 'diff/etc/app/secret');
    assert.equal(await openInChild(upper, 'O_RDONLY'), 'ok');
  });
});

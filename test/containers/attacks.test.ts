/** What a container tries that may mount, and make cgroups: to stop the agent, or to be taken for somebody else. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { copyHelper, openInChild } from '../kernel/children.ts';
import type { Container } from './container.ts';
import { whyNoContainers } from './podman.ts';
import { opens, Site, waitUntil } from './site.ts';

const skip = whyNoContainers() ?? false;
let site: Site;
let web: Container;
/** Directories of the host; the first is mounted in `web`. */
let shared: string;
let layered: string;

/** Its root is an overlay that it made itself, of which it says that a directory of the host is a layer. */
const forgesLayers = (layer: string): string => `
  mkdir -p ${layer} /t && mount -t tmpfs none /t && mkdir -p /t/up /t/wk /t/n /t/base && cp -a /bin /etc /t/base &&
  mount -t overlay overlay -o lowerdir=${layer}:/t/base,upperdir=/t/up,workdir=/t/wk /t/n && exec chroot /t/n /bin/sleep 100`;

/** Shell functions: `own`, its cgroup as it is mounted in `web`; `in_cgroup PATH COMMAND`, to run one there. */
const cgroups = `
  own=$(grep -E ':name=systemd:|^0::' /proc/self/cgroup | head -n 1 | cut -d: -f3)
  if [ -d /cgroup/systemd ]; then own=/cgroup/systemd$own; else own=/cgroup$own; fi
  in_cgroup() { mkdir -p "$own/$1"; at="$own/$1"; shift; at="$at" sh -c 'echo $$ > "$at/cgroup.procs"; exec "$@"' sh "$@"; }
`;

before(async () => {
  if (skip !== false) return;
  site = await Site.make('attacks');
  shared = site.scratch.directory('shared');
  layered = site.scratch.directory('layered');
  copyHelper('opener', `${shared}/hostapp`);
  for (const name of ['secret', 'of-a-unit']) writeFileSync(path.join(shared, name), 'secret\n');
  writeFileSync(path.join(layered, 'secret'), 'secret\n');
  web = await site.start('attacks-web', [
    '--cap-add=SYS_ADMIN',
    '--cgroupns=host',
    '--volume=/sys/fs/cgroup:/cgroup',
    `--volume=${shared}:/shared`,
    '--tmpfs=/data',
  ]);
  await web.shell(`
    echo x > /etc/secret; echo x > /etc/for-host
    mkdir /data/low /data/up /data/wk /data/ov /data/plain; echo x > /data/low/f; echo x > /data/plain/f`);
  await site.start(
    'attacks-layers',
    ['--cap-add=SYS_ADMIN'],
    ['/bin/sh', '-c', forgesLayers(layered)],
  );
  const block = (name: string, where: string, apps: unknown[]) => ({
    name,
    path: where,
    behavior: 'block',
    operations: ['read', 'write'],
    apps,
  });
  const container = (name: string, rules: unknown[]) => ({
    name,
    members: { container: { name: `attacks-${name}` } },
    mode: 'protect',
    rules,
  });
  await site.startAgent([
    container('web', [
      block('data', '/data/**', ['/bin/listed']),
      block('own', '/etc/secret', ['/bin/listed']),
      block('shared', '/shared/secret', ['/bin/listed']),
      block('of-a-unit', '/shared/of-a-unit', ['/bin/opener']),
      block('for-host', '/etc/for-host', [{ exe: `${shared}/hostapp`, workload: 'host' }]),
    ]),
    container('layers', [block('passwd', '/etc/passwd', ['/bin/listed'])]),
    {
      name: 'host',
      members: { host: true },
      mode: 'protect',
      rules: [
        block('layered', path.join(layered, '**'), []),
        block('of-a-unit', path.join(shared, 'of-a-unit'), [{ unit: 'backup.service' }]),
      ],
    },
  ]);
  await site.covered(web);
});
after(() => site?.remove());

describe('a container with rights', { skip }, () => {
  it('has the host’s program in a mount of its own, and doesn’t become the host by it', async () => {
    assert.equal(await opens(web, '/etc/for-host', 'O_RDONLY', '/shared/hostapp'), 'EPERM');
    const app = path.join(shared, 'hostapp');
    assert.equal(await openInChild(web.path('/etc/for-host'), 'O_RDONLY', { app }), 'ok');
  });

  it('makes a cgroup inside its own, named like a container’s, and isn’t another by it', async () => {
    const nested = `docker-${'ab'.repeat(32)}.scope`;
    const { output } = await web.shell(`${cgroups}
      in_cgroup ${nested} unshare --mount sleep 20 &
      sleep 1 # it is taken for a container meanwhile
      in_cgroup ${nested} opener openat O_RDONLY /shared/secret
      in_cgroup ${nested} opener openat O_RDONLY /etc/secret
      mkdir /tmp/evil; cp /bin/busybox /tmp/evil; echo >> /tmp/evil/busybox
      export own
      in_cgroup ${nested} /tmp/evil/busybox sh -c '
        sleep 0.5
        ( echo 0 > "$own/cgroup.procs"; sleep 0.5
          for file in /etc/secret /shared/secret; do
            if read -r text < "$file"; then echo "$text of $file"; else echo denied; fi
          done ) 2> /tmp/said
        true'`);
    assert.equal(output, 'EPERM\nEPERM\ndenied\ndenied\n');
  });

  it('makes a cgroup named like a unit of the host, and isn’t that unit', async () => {
    const { output } = await web.shell(
      `${cgroups} in_cgroup system.slice/backup.service opener openat O_RDONLY /shared/of-a-unit`,
    );
    assert.equal(output, 'EPERM\n');
  });

  it('calls a directory of the host a layer, and takes no rule off it', async () => {
    assert.equal(await openInChild(path.join(layered, 'secret'), 'O_RDONLY'), 'EPERM');
    const { resource } = await site.agent.record({
      event: 'fileward.coverage.degraded',
      attributes: { 'error.type': 'overlay_layer', 'security_rule.name': 'passwd' },
    });
    assert.ok(resource);
  });

  it('mounts an overlay of directories that rules cover: told, and everything goes on', async () => {
    const { code, output } = await web.shell(
      'mount -t overlay overlay -o lowerdir=/data/low,upperdir=/data/up,workdir=/data/wk /data/ov',
    );
    assert.equal(code, 0, output);
    await site.agent.record({
      event: 'fileward.coverage.degraded',
      attributes: { 'error.type': 'overlay_layer', 'security_rule.name': 'data' },
    });
    // What comes through the overlay opens the layer's file, which is guarded.
    assert.equal(await opens(web, '/data/ov/f', 'O_RDONLY', '/bin/listed'), 'ok');
    assert.equal(await opens(web, '/data/plain/f'), 'EPERM');
    assert.equal(await opens(web, '/data/low/f'), 'EPERM');
    await waitUntil('answers', async () => (await opens(web, '/etc/secret')) === 'EPERM');
  });
});

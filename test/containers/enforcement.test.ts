/** Rules in real containers: every kind of place that a file of a container can lie in, and whose rules apply there. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openInChild } from '../kernel/children.ts';
import { ChrootContainer } from './chroot.ts';
import type { Container } from './container.ts';
import { busyboxRoot, whyNoContainers } from './podman.ts';
import { image, opens, Site } from './site.ts';

const skip = whyNoContainers() ?? false;
let site: Site;
/** Started before the agent. */
let early: Container;
let readOnly: Container;
let mapped: Container;
let left: Container;
let right: Container;
let chroot: ChrootContainer;
let hosted: string;

const places = ['/etc', '/volume', '/host', '/tmpfs'];
const makeSecrets = places.map(
  (place) => `echo secret > ${place}/secret; chmod 755 ${place}/secret`,
);

function groups(): unknown[] {
  const block = (name: string, where: string, apps: unknown[], more: object = {}) => ({
    name,
    path: where,
    behavior: 'block',
    operations: ['read', 'write', 'exec'],
    apps,
    ...more,
  });
  const container = (name: string, criteria: object, rules: unknown[], mode = 'protect') => ({
    name,
    members: { container: criteria },
    mode,
    rules,
  });
  return [
    container(
      'places',
      { name: ['early', 'later', 'again', 'pod-left'].map((name) => `enforce-${name}`) },
      [
        block('secrets', '/{etc,volume,host,tmpfs}/secret*', ['/bin/listed']),
        block('of-the-image', '/etc/group', ['/bin/listed']),
      ],
    ),
    container('read-only', { name: 'enforce-read-only' }, [
      block('secrets', '/{etc,tmpfs}/{passwd,secret}', ['/bin/listed']),
    ]),
    container('mapped', { labels: { kind: 'mapped' } }, [
      block('secrets', '/etc/secret', [{ exe: '/bin/listed', user: 'app' }]),
    ]),
    container('left', { name: 'enforce-left' }, [
      block('shared', '/data/**', ['/bin/listed']),
      block('own', '/etc/left', []),
    ]),
    container('right', { name: ['enforce-right', 'enforce-pod-right'] }, [
      block('shared', '/mnt/**', ['/bin/opener']),
      block('own', '/etc/right', []),
    ]),
    container('chroot', { id: chroot.id }, [block('secrets', '/etc/secret', ['/bin/listed'])]),
    {
      name: 'host',
      members: { host: true },
      mode: 'protect',
      rules: [block('hosted', path.join(hosted, 'of-the-host'), [])],
    },
  ];
}

before(async () => {
  if (skip !== false) return;
  site = await Site.make('enforcement');
  hosted = site.scratch.directory('hosted');
  writeFileSync(path.join(hosted, 'of-the-host'), 'secret\n');
  const volumes = ['--volume=volume:/volume', `--volume=${hosted}:/host`, '--tmpfs=/tmpfs'];
  early = await site.start('enforce-early', volumes);
  await early.shell(makeSecrets.join('\n'));
  readOnly = await site.start('enforce-read-only', ['--read-only', '--tmpfs=/tmpfs']);
  await readOnly.shell('echo secret > /tmpfs/secret');
  const maps = ['--uidmap=0:100000:65536', '--gidmap=0:100000:65536', '--label=kind=mapped'];
  mapped = await site.start('enforce-mapped', maps);
  await mapped.shell('echo secret > /etc/secret; chmod 644 /etc/secret');
  left = await site.start('enforce-left', ['--volume=shared:/data']);
  right = await site.start('enforce-right', ['--volume=shared:/mnt']);
  await left.shell('mkdir /data/sub; echo x > /data/f; echo x > /data/sub/g; echo x > /etc/left');
  await right.shell('echo x > /etc/right');
  const root = busyboxRoot(site.podman, [`${site.root}/bin/opener`, `${site.root}/bin/listed`]);
  writeFileSync(path.join(root, 'etc/secret'), 'secret\n');
  chroot = await ChrootContainer.start(site.podman, root);
  await site.startAgent(groups());
});
after(async () => {
  await chroot?.close();
  await site?.remove();
});

/** What a rule of group `places` does with a secret, anywhere. */
async function assertGuarded(container: Container, file: string): Promise<void> {
  assert.equal(await opens(container, file), 'EPERM', `read ${file}`);
  assert.equal(await opens(container, file, 'O_WRONLY|O_APPEND'), 'EPERM', `write ${file}`);
  assert.match((await container.shell(file)).output, /Operation not permitted/, `exec ${file}`);
  assert.equal(await opens(container, file, 'O_RDWR', '/bin/listed'), 'ok', `listed ${file}`);
  await site.agent.settle();
  const denied = ['read', 'write', 'exec'].map((what) => `denied ${what} app_not_listed 13`);
  const expected = [...denied, 'modified write - 9'].sort();
  assert.deepEqual(site.told(container, file), expected, file);
  const [record] = site.agent.matching({
    event: 'fileward.file.denied',
    path: file,
    resource: { 'container.id': container.id },
  });
  assert.equal(record?.resource['container.name'], container.name);
  assert.equal(record?.attributes['process.executable.path'], '/bin/opener');
  assert.equal(record?.attributes['fileward.process.origin'] ?? 'same', 'same');
}

describe('files of a container', { skip }, () => {
  for (const place of places) {
    it(`${place}: in a container that was there before the agent`, async () => {
      await assertGuarded(early, `${place}/secret`);
    });
  }

  it('in one that started later, and in what it made right after its start', async () => {
    const volumes = ['--volume=volume:/volume', `--volume=${hosted}:/host`, '--tmpfs=/tmpfs'];
    const later = await site.start('enforce-later', volumes);
    await later.shell('echo new > /etc/secret-new; chmod 755 /etc/secret-new');
    await site.covered(later);
    await assertGuarded(later, '/volume/secret');
    await assertGuarded(later, '/host/secret');
    assert.equal(await opens(later, '/etc/secret-new'), 'EPERM');
    assert.equal(await opens(later, '/tmpfs/secret', 'O_WRONLY|O_CREAT', '/bin/listed'), 'ok');
    assert.equal(await opens(later, '/tmpfs/secret'), 'EPERM');
    assert.equal(await opens(later, '/etc/secret', 'O_WRONLY|O_CREAT'), 'EPERM');
    await later.remove();
  });

  it('in one that is started again, and in the next of its name', async () => {
    const command = ['/bin/sleep', '300'];
    const first = await site.start('enforce-again', [], command);
    const isDenied = async (container: Container, count: number): Promise<void> => {
      await site.started(container, count);
      const makes = ['openat', 'O_WRONLY|O_CREAT', '/etc/secret-again'];
      assert.equal((await container.exec(['/bin/listed', ...makes])).stdout, 'ok\n');
      assert.equal((await container.exec(['/bin/opener', ...makes])).stdout, 'EPERM\n');
    };
    await isDenied(first, 1);
    await site.podman.ok('restart', '--time', '0', first.name);
    const again = await site.podman.container(first.name);
    assert.deepEqual([again.id, again.pid === first.pid], [first.id, false]);
    await isDenied(again, 2);
    await again.remove();
    const second = await site.start('enforce-again', [], command);
    await isDenied(second, 1);
    await second.remove();
  });

  it('of the image, before and after they are copied up; the image’s other containers are free', async () => {
    assert.equal(await opens(early, '/etc/group'), 'EPERM');
    assert.equal(await opens(left, '/etc/group'), 'ok');
    assert.equal(await opens(early, '/etc/group', 'O_RDWR|O_APPEND', '/bin/listed'), 'ok');
    assert.equal(await opens(early, '/etc/group'), 'EPERM');
    assert.equal(await opens(left, '/etc/group', 'O_RDWR|O_APPEND'), 'ok');
    await early.shell('ln /etc/group /tmp/link; mv /etc/group /tmp/moved');
    assert.equal(await opens(early, '/tmp/link'), 'EPERM');
    assert.equal(await opens(early, '/tmp/moved'), 'EPERM');
    await site.agent.record({
      event: 'fileward.file.denied',
      path: '/tmp/moved',
      attributes: { 'fileward.file.protected_path': '/etc/group' },
      resource: { 'container.id': early.id },
    });
  });

  it('on a read-only root', async () => {
    assert.equal(await opens(readOnly, '/etc/passwd'), 'EPERM');
    assert.equal(await opens(readOnly, '/etc/passwd', 'O_RDONLY', '/bin/listed'), 'ok');
    assert.equal(await opens(readOnly, '/etc/group'), 'ok');
    assert.equal(await opens(readOnly, '/tmpfs/secret'), 'EPERM');
  });

  it('in a user namespace, whose users are those of its own passwd', async () => {
    assert.equal(await opens(mapped, '/etc/secret', 'O_RDONLY', '/bin/listed'), 'EPERM');
    const command = ['/bin/listed', 'openat', 'O_RDONLY', '/etc/secret'];
    const { stdout } = await mapped.exec(command, { args: ['--user', 'app'] });
    assert.equal(stdout, 'ok\n');
    const byOther = ['/bin/opener', ...command.slice(1)];
    assert.equal((await mapped.exec(byOther, { args: ['--user', 'app'] })).stdout, 'EPERM\n');
    const { attributes } = await site.agent.record({
      event: 'fileward.file.denied',
      path: '/etc/secret',
      attributes: { 'process.user.name': 'app' },
      resource: { 'container.id': mapped.id },
    });
    assert.equal(attributes['process.executable.path'], '/bin/opener');
  });

  it('in a container that is a chroot only', async () => {
    assert.equal(await opens(chroot, '/etc/secret'), 'EPERM');
    assert.equal(await opens(chroot, '/etc/secret', 'O_RDONLY', '/bin/listed'), 'ok');
    assert.equal(await opens(chroot, '/etc/passwd'), 'ok');
    await site.agent.settle();
    assert.deepEqual(site.told(chroot, '/etc/secret'), ['denied read app_not_listed 13']);
    const [record] = site.agent.matching({
      path: '/etc/secret',
      resource: { 'container.id': chroot.id },
    });
    assert.equal(record?.attributes['process.executable.path'], '/bin/opener');
    const outside = path.join(chroot.root, 'etc/secret');
    assert.equal(await openInChild(outside, 'O_RDONLY'), 'EPERM');
    await site.agent.record({
      event: 'fileward.file.denied',
      path: '/etc/secret',
      attributes: { 'fileward.process.origin': 'host' },
      resource: { 'container.id': chroot.id },
    });
  });

  it('in a pod whose containers share their namespaces', async () => {
    const { podman } = site;
    const infra = ['--infra-image', image, '--infra-command', '/bin/sleep 300'];
    const shared = [
      '--share',
      'pid,ipc,net,uts',
      '--network=none',
      `--cgroup-parent=/${podman.tag}`,
    ];
    await podman.ok('pod', 'create', '--name', 'enforce-pod', ...shared, ...infra);
    for (const name of ['enforce-pod-left', 'enforce-pod-right']) {
      const args = ['--pod', 'enforce-pod', '--name', name, image, '/bin/sleep', '300'];
      await podman.ok('run', '--detach', ...args);
    }
    const one = await podman.container('enforce-pod-left');
    const other = await podman.container('enforce-pod-right');
    await site.covered(one);
    await site.covered(other);
    const creates = (file: string) => ['/bin/opener', 'openat', 'O_WRONLY|O_CREAT', file];
    for (const [container, own, foreign] of [
      [one, '/etc/secret', '/etc/right'],
      [other, '/etc/right', '/etc/secret'],
    ] as const) {
      assert.equal((await container.exec(creates(own))).stdout, 'EPERM\n');
      assert.equal((await container.exec(creates(foreign))).stdout, 'ok\n');
      const { resource } = await site.agent.record({
        event: 'fileward.file.denied',
        path: own,
        resource: { 'container.id': container.id },
      });
      assert.equal(resource['container.name'], container.name);
    }
    await podman.ok('pod', 'rm', '--force', '--time', '0', 'enforce-pod');
  });
});

describe('a volume of several containers', { skip }, () => {
  it('the rules of the opener decide', async () => {
    for (const file of ['f', 'sub/g']) {
      assert.equal(await opens(left, `/data/${file}`), 'EPERM');
      assert.equal(await opens(left, `/data/${file}`, 'O_RDONLY', '/bin/listed'), 'ok');
      assert.equal(await opens(right, `/mnt/${file}`), 'ok');
      assert.equal(await opens(right, `/mnt/${file}`, 'O_RDONLY', '/bin/listed'), 'EPERM');
    }
    await site.agent.settle();
    assert.deepEqual(site.told(left, '/data/f'), ['denied read app_not_listed 13']);
    assert.deepEqual(site.told(right, '/mnt/f'), ['denied read app_not_listed 13']);
    assert.deepEqual(site.told(left, '/mnt/f'), []);
  });

  it('a container without rules opens what it mounts', async () => {
    const free = await site.start('enforce-free', ['--volume=shared:/data']);
    assert.equal(await opens(free, '/data/f', 'O_RDWR'), 'ok');
    assert.equal(await opens(free, '/data/sub/g'), 'ok');
    await free.remove();
  });

  it('what one of them makes is the next one’s too', async () => {
    assert.equal(await opens(right, '/mnt/sub/new', 'O_WRONLY|O_CREAT'), 'ok');
    assert.equal(await opens(left, '/data/sub/new'), 'EPERM');
    assert.equal(await opens(left, '/data/sub/new', 'O_RDONLY', '/bin/listed'), 'ok');
  });

  it('the host’s own rules hold for a container that mounts its files', async () => {
    assert.equal(await opens(early, '/host/of-the-host', 'O_RDONLY', '/bin/listed'), 'EPERM');
    const { attributes, resource } = await site.agent.record({
      event: 'fileward.file.denied',
      attributes: { 'fileward.file.protected_path': path.join(hosted, 'of-the-host') },
    });
    assert.equal(attributes['file.path'], '/host/of-the-host');
    assert.equal(attributes['fileward.process.origin'], 'container');
    assert.equal(attributes['fileward.process.container.id'], early.id);
    assert.equal('container.id' in resource, false);
  });
});

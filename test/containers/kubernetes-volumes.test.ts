/**
 * Secrets and ConfigMaps as pods have them: volumes that a program of the node, at a path of the kubelet, writes
 * atomically and rotates, while `config/packs/kubernetes.yaml` lists it for a container's rules in protect.
 * No kubelet can run here: test/kernel/helpers/atomic_writer.c does what it does to a volume.
 */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type ChildResult, copyHelper, openInChild, run } from '../kernel/children.ts';
import type { Container } from './container.ts';
import { whyNoContainers } from './podman.ts';
import { opens, Site } from './site.ts';

const skip = whyNoContainers() ?? false;
const image = 'localhost/shop:1';
const podVolumes = '/var/lib/kubelet/pods/fileward-test/volumes/kubernetes.io~secret';
/** Paths of set:kubelet; the first that this machine doesn't have. */
const kubelet = ['/usr/local/bin/kubelet', '/opt/bin/kubelet', '/usr/bin/kubelet'].find(
  (file) => !existsSync(file),
);
const removals: (() => void)[] = [];
process.once('exit', () => {
  for (const remove of removals) remove();
});

let site: Site;
let shop: Container;
/** On the host: a volume in memory as a Secret's, and one on disk as a ConfigMap's. */
let secret: string;
let config: string;
let version = 0;

/** A program or folder of this machine that goes again, whatever ends this process. */
function own(file: string): string {
  const made = file
    .split('/')
    .map((_, index, parts) => parts.slice(0, index + 1).join('/'))
    .find((each) => each !== '' && !existsSync(each));
  removals.push(() => rmSync(made ?? file, { recursive: true, force: true }));
  mkdirSync(path.dirname(file), { recursive: true });
  return file;
}

async function rotate(volume = secret, program = kubelet): Promise<ChildResult> {
  version += 1;
  return await run(program ?? '', [volume, `password=secret ${version}`, `user=user ${version}`]);
}

const rule = (name: string, files: string) => ({
  name,
  path: files,
  behavior: 'block',
  operations: ['read', 'write'],
  apps: ['/bin/listed', '/bin/busybox-reader', 'set:kubelet'],
});

/** Denials, violations and gaps of the rules for the volumes. */
function complaints(): string[] {
  return site.agent.records
    .filter(({ event }) => /denied|violated|degraded/.test(event))
    .filter(({ attributes }) => attributes['security_rule.ruleset.name'] === 'shop')
    .filter(({ attributes }) => attributes['security_rule.name'] !== undefined)
    .map(({ event, body }) => `${event}: ${body}`);
}

before(async () => {
  if (skip !== false) return;
  site = await Site.make('kubernetes');
  // A program that says what it reads.
  copyFileSync(`${site.root}/bin/busybox`, `${site.root}/bin/busybox-reader`);
  await site.podman.image(image, site.root);
  assert.ok(kubelet, 'this machine has every kubelet');
  copyHelper('atomic_writer', own(kubelet));
  mkdirSync(own(podVolumes), { recursive: true });
  secret = site.scratch.directory('secret');
  config = path.join(site.podman.base, 'config');
  mkdirSync(config);
  for (const volume of [secret, config]) assert.equal((await rotate(volume)).code, 0);
  const groups = [
    {
      name: 'shop',
      members: { container: { name: 'kubernetes-shop' } },
      mode: 'protect',
      // One by the folder, one by the names of its files.
      rules: [rule('secret', '/etc/shop/secret/**'), rule('config', '/etc/shop/config/*')],
    },
  ];
  await site.startAgent(groups, {}, { import: ['pack:kubernetes'] });
  const volumes = [`--volume=${secret}:/etc/shop/secret:ro`, `--volume=${config}:/etc/shop/config`];
  shop = await site.podman.start('kubernetes-shop', { image, args: volumes });
  await site.covered(shop);
});
after(async () => {
  await site?.remove();
});

describe('a Secret or a ConfigMap under protect', { skip }, () => {
  for (const name of ['secret', 'config']) {
    it(`${name}: is rotated by the kubelet without a denial or a violation, and read anew`, async () => {
      const volume = name === 'secret' ? secret : config;
      const file = `/etc/shop/${name}/password`;
      for (let round = 0; round < 10; round++) {
        const { code, stderr } = await rotate(volume);
        assert.equal(code, 0, stderr);
        const { output } = await shop.shell(`/bin/busybox-reader cat ${file}`);
        assert.equal(output, `secret ${version}`);
      }
      await site.agent.settle();
      assert.deepEqual(complaints(), []);
    });
  }

  it('its changes are told under the stable name, as made by the kubelet of the host', async () => {
    await rotate();
    const { attributes } = await site.agent.record({
      path: '/etc/shop/secret/password',
      attributes: { 'process.executable.path': kubelet },
      resource: { 'container.id': shop.id },
    });
    assert.equal(attributes['fileward.process.origin'], 'host');
    await site.agent.settle();
    const names = site.agent.records
      .filter(({ resource }) => resource['container.id'] === shop.id)
      .map((record) => record.attributes['file.path'])
      .filter((each) => typeof each === 'string');
    const expected = ['secret', 'config'].flatMap((folder) =>
      ['password', 'user'].map((each) => `/etc/shop/${folder}/${each}`),
    );
    assert.deepEqual([...new Set(names)].sort(), expected.sort());
  });

  it('new data is protected under every name of it', async () => {
    for (const volume of [secret, config]) {
      await rotate(volume);
      const folder = `/etc/shop/${path.basename(volume)}`;
      const { output } = await shop.shell(`ls -d ${folder}/..20*`);
      const names = [folder, `${folder}/..data`, output.trim()].map((each) => `${each}/password`);
      for (const name of names) assert.equal(await opens(shop, name), 'EPERM', name);
      for (const name of names) {
        assert.equal(await opens(shop, name, 'O_RDONLY', '/bin/listed'), 'ok', name);
      }
    }
  });

  it('and from the first moment on: nobody reads it while it is rotated', async () => {
    for (const volume of [secret, config]) {
      const file = `/etc/shop/${path.basename(volume)}/password`;
      const stop = '/tmp/rotated';
      const reading = shop.shell(`
        rm -f ${stop}
        until [ -e ${stop} ]; do opener openat O_RDONLY ${file}; done`);
      for (let round = 0; round < 10; round++) await rotate(volume);
      writeFileSync(shop.path(stop), '');
      const answers = (await reading).output.trim().split('\n');
      assert.ok(answers.length > 50, `${answers.length} opens`);
      // Between the name and the file that it led to a moment ago there is nothing.
      assert.deepEqual(
        answers.filter((each) => each !== 'EPERM' && each !== 'ENOENT'),
        [],
      );
    }
  });

  it('other programs of the host are denied, by the path of the container and by their own', async () => {
    await rotate();
    for (const file of [
      shop.path('/etc/shop/secret/password'),
      path.join(secret, 'password'),
      path.join(config, 'password'),
    ]) {
      assert.equal(await openInChild(file, 'O_RDONLY'), 'EPERM', file);
    }
    const { attributes } = await site.agent.record({
      event: 'fileward.file.denied',
      path: '/etc/shop/secret/password',
      attributes: { 'fileward.process.origin': 'host' },
      resource: { 'container.id': shop.id },
    });
    assert.equal(attributes['security_rule.name'], 'secret');
  });

  it('a copy of the kubelet elsewhere is no kubelet', async () => {
    const copy = copyHelper('atomic_writer', path.join(site.scratch.base, 'kubelet'));
    mkdirSync(path.join(site.scratch.base, 'other'));
    const reads = copyHelper('opener', path.join(site.scratch.base, 'other/kubelet'));
    assert.equal(
      await openInChild(path.join(config, 'password'), 'O_RDONLY', { app: reads }),
      'EPERM',
    );
    // It writes into a folder of its own making, and may be done before the first mark is there.
    await rotate(config, copy);
    const { event } = await site.agent.record({
      attributes: {
        'process.executable.path': copy,
        'security_rule.name': 'config',
        'fileward.reason': (reason: unknown) => reason !== undefined,
      },
      resource: { 'container.id': shop.id },
    });
    assert.match(event, /denied|violated/);
  });

  it('a CSI driver in a container of its own is judged by its own rules', async () => {
    const driver = await site.start('kubernetes-csi', [`--volume=${config}:/csi`]);
    const { code, output } = await driver.shell('echo by-the-driver > /csi/token');
    assert.equal(code, 0, output);
    assert.equal(await opens(driver, '/csi/token'), 'ok');
    assert.equal(await opens(shop, '/etc/shop/config/token'), 'EPERM');
    assert.equal(await opens(shop, '/etc/shop/config/token', 'O_RDONLY', '/bin/listed'), 'ok');
    await driver.remove();
  });
});

describe('pack kubernetes out of the box', { skip }, () => {
  it('tells who else writes where the kubelet keeps the volumes of pods, and nothing of the kubelet', async () => {
    const volume = path.join(podVolumes, 'db');
    mkdirSync(volume);
    for (let round = 0; round < 3; round++) assert.equal((await rotate(volume)).code, 0);
    assert.match(readFileSync(path.join(volume, 'password'), 'utf8'), /^secret/);
    writeFileSync(path.join(volume, 'password'), 'forged');
    const { event, attributes } = await site.agent.record({
      path: path.join(volume, 'password'),
      attributes: { 'security_rule.ruleset.name': 'kubernetes-node' },
    });
    assert.equal(event, 'fileward.file.modified');
    assert.equal(attributes['process.executable.path'], process.execPath);
    await site.agent.settle();
    const told = site.agent.matching({
      attributes: { 'security_rule.ruleset.name': 'kubernetes-node' },
    });
    const executables = told.map((record) => record.attributes['process.executable.path']);
    assert.deepEqual([...new Set(executables)], [process.execPath]);
  });
});

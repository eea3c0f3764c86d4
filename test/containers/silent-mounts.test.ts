/** Containers with filesystems that never answer: nobody else notices. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { helper, openInChild } from '../kernel/children.ts';
import type { RecordLine } from '../kernel/harness.ts';
import type { Container } from './container.ts';
import { whyNoContainers } from './podman.ts';
import { opens, Site, waitUntil } from './site.ts';

const noFuse = existsSync('/dev/fuse') ? undefined : 'no /dev/fuse here';
const skip = whyNoContainers() ?? noFuse ?? false;
const members = { container: { name: 'silent-*' } };
let site: Site;
let hosted: string;
let early: Container;
let late: Container;

/** Mounts filesystems that never answer there; `silent` in the container ends with the container. */
async function silence(container: Container, ...places: string[]): Promise<void> {
  const { output } = await container.shell(`
    (silent ${places.join(' ')} > /tmp/said 2>&1 &)
    for i in $(seq 200); do [ -s /tmp/said ] && break; sleep 0.05; done; cat /tmp/said`);
  assert.equal(output, 'mounted\n');
}

async function start(name: string): Promise<Container> {
  const fuse = ['--cap-add=SYS_ADMIN', '--device=/dev/fuse', '--security-opt=apparmor=unconfined'];
  const program = `--volume=${helper('silent_fuse')}:/bin/silent:ro`;
  const container = await site.start(name, [...fuse, program]);
  await container.shell(
    'mkdir -p /data/hang /data/dir /srv; echo x > /data/secret; echo x > /data/file',
  );
  await container.shell('echo x > /srv/file; ln -s /data/hang/app /srv/app');
  return container;
}

/** A member that comes now, and its rules with it. */
async function newcomer(name: string): Promise<void> {
  const container = await site.startCovered(name);
  await container.shell('mkdir -p /data/new; echo x > /data/new/secret');
  await waitUntil('denial', async () => (await opens(container, '/data/new/secret')) === 'EPERM');
}

/** What is new on the host is protected at once. */
async function newFile(name: string): Promise<void> {
  mkdirSync(path.join(hosted, name));
  const file = path.join(hosted, name, 'secret');
  writeFileSync(file, 'x');
  await waitUntil('denial', async () => (await openInChild(file, 'O_RDONLY')) === 'EPERM');
}

function gap(container: Container, where: string): Promise<void> {
  const query = {
    event: 'fileward.coverage.degraded',
    attributes: { 'error.type': 'filesystem_may_hang' },
    resource: { 'container.id': container.id },
  };
  const isOf = ({ body }: RecordLine) => body.includes(`: ${where}: `);
  return waitUntil(`gap of ${where}`, () => site.agent.matching(query).some(isOf));
}

before(async () => {
  if (skip !== false) return;
  site = await Site.make('silent');
  hosted = site.scratch.directory('hosted');
  early = await start('silent-early');
  await silence(early, '/data/hang', '/data/file', '/etc/passwd');
  const block = (name: string, where: string, apps: unknown[]) => {
    return { name, path: where, behavior: 'block', operations: ['read'], apps };
  };
  await site.startAgent([
    {
      name: 'web',
      members,
      mode: 'protect',
      rules: [
        block('data', '/data/**', ['/bin/listed', '/srv/app', '/data/hang/*/app']),
        block('deep', '/data/hang/deep/**', []),
      ],
    },
    {
      name: 'host',
      members: { host: true },
      mode: 'protect',
      rules: [block('hosted', path.join(hosted, '**'), [])],
    },
  ]);
});
after(() => site?.remove());

describe('a filesystem of a container’s that never answers', { skip }, () => {
  it('is a gap of its rules; what else they cover is covered', async () => {
    await site.covered(early);
    await gap(early, '/data/hang');
    assert.equal(await opens(early, '/data/secret'), 'EPERM');
    assert.equal(await opens(early, '/data/secret', 'O_RDONLY', '/bin/listed'), 'ok');
    await newcomer('silent-first');
    await newFile('first');
  });

  it('keeps nobody waiting when it comes later', async () => {
    late = await start('silent-late');
    await site.covered(late);
    await silence(late, '/data/hang', '/data/file', '/data/dir', '/srv', '/etc');
    await gap(late, '/data/dir');
    assert.equal(await opens(late, '/data/secret'), 'EPERM');
    await newcomer('silent-second');
    await newFile('second');
  });

  it('is covered no more when it goes, and what was under it is again', async () => {
    await late.shell('umount /data/dir; echo x > /data/dir/secret');
    await waitUntil('denial', async () => (await opens(late, '/data/dir/secret')) === 'EPERM');
  });

  it('doesn’t keep the agent from its end', async () => {
    const began = performance.now();
    assert.deepEqual(await site.agent.stop(), { code: 0, signal: null });
    assert.ok(performance.now() - began < 5000); // the contract
  });
});

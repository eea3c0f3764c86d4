/** Whose program it is: apps of containers by identity, the runtime's own starts, and what came in from outside. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { copyHelper, helper, openInChild, run } from '../kernel/children.ts';
import type { RecordLine } from '../kernel/harness.ts';
import { joinCgroups } from './chroot.ts';
import type { Container } from './container.ts';
import { whyNoContainers } from './podman.ts';
import { opens, Site, waitUntil } from './site.ts';

const skip = whyNoContainers() ?? false;
let site: Site;
let web: Container;
let other: Container;
/** Its own files are under `block`, no app is listed. */
let locked: Container;
/** The same with `runtime: false`. */
let sealed: Container;
/** Outside of containers: listed with `workload: host`, and another one. */
let hostListed: string;
let hostOther: string;

function groups(): unknown[] {
  const operations = ['read', 'write', 'exec'];
  const rule = (name: string, where: string | string[], apps: unknown[], more: object = {}) => ({
    name,
    path: where,
    behavior: 'block',
    operations,
    apps,
    ...more,
  });
  const group = (name: string, rules: unknown[]) => ({
    name,
    members: { container: { name: name === 'web' ? ['apps-web', 'apps-brief'] : `apps-${name}` } },
    mode: 'protect',
    rules,
  });
  const everything = ['/bin/**', '/etc/**', '/data/**'];
  return [
    group('web', [
      rule('secret', '/etc/{secret,mounted}', ['/bin/listed']),
      rule('volume', '/data/secret', ['/bin/listed', '/data/tool']),
      rule('reach', '/etc/reach', [{ exe: hostListed, workload: 'host' }]),
      rule('reuse', site.scratch.path('reuse/secret'), []),
      rule('same-path', '/etc/same-path', [hostListed]),
      rule('unit', '/etc/unit', [{ exe: '/bin/opener', unit: 'web.service' }]),
    ]),
    group('locked', [rule('everything', everything, [])]),
    group('sealed', [rule('everything', everything, [], { runtime: false })]),
  ];
}

before(async () => {
  if (skip !== false) return;
  site = await Site.make('apps');
  const programs = path.join(site.scratch.base, 'bin');
  mkdirSync(programs);
  hostListed = copyHelper('opener', path.join(programs, 'host-listed'));
  hostOther = copyHelper('opener', path.join(programs, 'host-other'));
  const binds = [
    `--volume=${programs}:/from-host:ro`,
    '--volume=/bin/busybox:/from-host-box/busybox:ro',
  ];
  web = await site.start('apps-web', [...binds, '--volume=volume:/data', '--cap-add=SYS_ADMIN']);
  other = await site.start('apps-other', ['--volume=volume:/data']);
  await web.shell(`for f in secret mounted reach same-path unit; do echo x > /etc/$f; done
    echo x > /data/secret; cp /bin/opener /data/tool; cp /bin/listed /tmp/listed
    mkdir -p ${programs}; cp /bin/opener ${hostListed}`);
  const health = ['--health-cmd=true', '--health-interval=disable'];
  locked = await site.start('apps-locked', health);
  sealed = await site.start('apps-sealed', health);
  await site.startAgent(groups());
});
after(() => site?.remove());

/** Asks for a file of `web` and says who was told to have been denied. */
async function deniedBy(file: string): Promise<RecordLine> {
  await site.agent.settle();
  const query = { event: 'fileward.file.denied', path: file, resource: { 'container.id': web.id } };
  const record = site.agent.matching(query).at(-1);
  assert.ok(record, `nobody was denied ${file}`);
  return record;
}

describe('an app is a file of the container', { skip }, () => {
  it('a copy elsewhere, one in memory and the host’s match nothing', async () => {
    assert.equal(await opens(web, '/etc/secret', 'O_RDONLY', '/bin/listed'), 'ok');
    for (const app of [
      '/tmp/listed',
      '/from-host/host-listed',
      '/from-host/host-other',
      'outsider memfd /bin/listed',
    ]) {
      assert.equal(await opens(web, '/etc/secret', 'O_RDONLY', app), 'EPERM', app);
    }
    const { output } = await web.shell('/from-host-box/busybox cat /etc/secret');
    assert.match(output, /Operation not permitted/);
    assert.equal(
      (await deniedBy('/etc/secret')).attributes['process.executable.path'],
      '/from-host-box/busybox',
    );
  });

  it('a mount over a listed program does not lend its name', async () => {
    const over = 'mount --bind /tmp/listed /bin/listed && /bin/listed openat O_RDONLY /etc/mounted';
    const { output } = await web.shell(`unshare --mount /bin/sh -c '${over}'`);
    assert.equal(output, 'EPERM\n');
    const { attributes } = await deniedBy('/etc/mounted');
    assert.equal(attributes['fileward.reason'], 'identity_mismatch');
    assert.equal(await opens(web, '/etc/mounted', 'O_RDONLY', '/bin/listed'), 'ok');
  });

  it('what another container runs is not it, even from a volume of both', async () => {
    assert.equal(await opens(web, '/data/secret', 'O_RDONLY', '/data/tool'), 'ok');
    await other.shell('cp /bin/listed /data/from-other');
    assert.equal(await opens(web, '/data/secret', 'O_RDONLY', '/data/from-other'), 'EPERM');
  });

  it('a path that is listed inside is not the host’s file, and the other way round', async () => {
    assert.equal(await opens(web, '/etc/same-path', 'O_RDONLY', hostListed), 'ok');
    assert.equal(await opens(web, '/etc/same-path', 'O_RDONLY', '/from-host/host-listed'), 'EPERM');
    assert.equal(await opens(web, '/etc/reach', 'O_RDONLY', hostListed), 'EPERM');
  });

  it('a unit is one of the container’s own system manager', async () => {
    assert.equal(await opens(web, '/etc/unit'), 'EPERM');
    joinCgroups(site.podman, `libpod-${web.id}/system.slice/web.service`, web.pid);
    assert.equal(await opens(web, '/etc/unit'), 'ok');
    joinCgroups(site.podman, `libpod-${web.id}/user.slice/web.service`, web.pid);
    assert.equal(await opens(web, '/etc/unit'), 'EPERM');
    joinCgroups(site.podman, `libpod-${web.id}`, web.pid);
  });
});

describe('the runtime', { skip }, () => {
  const program = (container: Container) => container.exec(['/bin/true']);

  it('a container whose own files are under block is exec’ed into and probed', async () => {
    assert.deepEqual(await program(locked), { code: 0, signal: null, stdout: '', stderr: '' });
    assert.equal((await site.podman.run(['healthcheck', 'run', locked.name])).code, 0);
    const shell = await locked.exec(['/bin/sh', '-c', '/bin/cat /etc/passwd']);
    assert.match(shell.stderr, /\/bin\/cat: Operation not permitted/);
    const byUser = await locked.exec(['/bin/id'], { args: ['--user', 'app'] });
    assert.match(byUser.stdout + byUser.stderr, /uid=1000/);
  });

  it('and starts', async () => {
    await locked.remove();
    locked = await site.start('apps-locked', ['--health-cmd=true'], ['/bin/sleep', '300']);
    await site.covered(locked);
    assert.equal((await program(locked)).code, 0);
    const copied = await site.podman.run(['cp', `${locked.name}:/etc/passwd`, '-']);
    assert.equal(copied.code, 0, copied.stderr);
  });

  it('is denied by a rule that says runtime: false', async () => {
    const { code, stderr } = await program(sealed);
    assert.notEqual(code, 0);
    assert.match(stderr, /operation not permitted/i);
    assert.notEqual((await site.podman.run(['healthcheck', 'run', sealed.name])).code, 0);
    const { attributes } = await site.agent.record({
      event: 'fileward.file.denied',
      path: '/bin/busybox',
      attributes: { 'fileward.operation': 'exec' },
      resource: { 'container.id': sealed.id },
    });
    assert.equal(attributes['process.executable.name'], 'runc');
  });

  it('only while it is the runtime: what a container runs from memory is not', async () => {
    const { output } = await web.shell('outsider memfd /bin/opener openat O_RDONLY /etc/secret');
    assert.equal(output, 'EPERM\n');
  });
});

describe('a process of the host', { skip }, () => {
  it('that reaches in is judged by the container’s rules, and shown as what it is', async () => {
    const merged = await web.merged();
    for (const file of [web.path('/etc/secret'), path.join(merged, 'etc/secret')]) {
      const { stderr } = await run('cp', [file, path.join(site.scratch.base, 'stolen')]);
      assert.match(stderr, /Operation not permitted/, file);
      const { attributes, resource } = await deniedBy('/etc/secret');
      assert.equal(attributes['fileward.process.origin'], 'host');
      assert.equal(attributes['process.executable.path'], '/usr/bin/cp');
      assert.equal('fileward.process.container.id' in attributes, false);
      assert.equal(resource['container.name'], web.name);
    }
    const { stdout } = await run(helper('outsider'), ['join', String(web.pid), '/etc/secret']);
    assert.equal(stdout, 'EPERM\n');
    const enter = ['--target', String(web.pid), '--mount', '--root'];
    const { stderr } = await run('nsenter', [...enter, '/bin/cat', '/etc/secret']);
    assert.match(stderr, /Operation not permitted/);
    assert.equal((await deniedBy('/etc/secret')).attributes['fileward.process.origin'], 'host');
  });

  it('is listed by an entry with workload: host', async () => {
    const file = web.path('/etc/reach');
    assert.equal(await openInChild(file, 'O_RDONLY', { app: hostListed }), 'ok');
    assert.equal(await openInChild(file, 'O_RDONLY', { app: hostOther }), 'EPERM');
    assert.equal(
      await openInChild(web.path('/etc/secret'), 'O_RDONLY', { app: hostListed }),
      'EPERM',
    );
  });

  it('what it changes inside is told as its doing', async () => {
    const merged = await web.merged();
    writeFileSync(path.join(site.scratch.base, 'new'), 'new\n');
    await run(helper('change'), ['chmod', path.join(merged, 'etc/secret'), '600']);
    const { attributes, resource } = await site.agent.record({
      event: 'fileward.file.modified',
      path: '/etc/secret',
      attributes: { 'fileward.operation': 'attributes' },
    });
    assert.equal(attributes['fileward.process.origin'], 'host');
    assert.equal(attributes['process.executable.path'], helper('change'));
    assert.equal(resource['container.id'], web.id);
  });

  it('that takes the pid of a container’s init is not held to its rules', async () => {
    const file = site.scratch.write('reuse/secret', 'of the host\n');
    const brief = await site.startCovered('apps-brief');
    await brief.shell(`mkdir -p ${path.dirname(file)}; echo inside > ${file}`);
    await waitUntil('denial', async () => (await opens(brief, file)) === 'EPERM');
    await brief.remove();
    const script = `for try in $(seq 200); do echo ${brief.pid - 1} > /proc/sys/kernel/ns_last_pid
      sh -c '[ $$ = ${brief.pid} ] || exit 1; cat "$0"' ${file} && exit; done; exit 1`;
    const { code, stdout, stderr } = await run('sh', ['-c', script]);
    assert.deepEqual([code, stdout], [0, 'of the host\n'], stderr);
  });
});

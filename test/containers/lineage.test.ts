/** Who did it, in containers: ancestors by what they ran, also of processes that have gone, and the container's users. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { RecordLine } from '../kernel/harness.ts';
import type { Container } from './container.ts';
import { whyNoContainers } from './podman.ts';
import { Site, waitUntil } from './site.ts';

const skip = whyNoContainers() ?? false;
/** Shells that are files of their own, in one another's order. */
const chain = Array.from({ length: 10 }, (_, index) => `/opt/${index}/sh`);
let site: Site;
let web: Container;

before(async () => {
  if (skip !== false) return;
  site = await Site.make('lineage');
  web = await site.start('lineage-web');
  await web.shell(`
    for n in 0 1 2 3 4 5 6 7 8 9 parent; do mkdir -p /opt/$n; cp /bin/busybox /opt/$n/sh; done
    mkdir -p /usr/bin /etc/who; cp /bin/outsider /usr/bin/conmon
    for n in $(seq 200); do echo x > /etc/who/seen-$n; done
    for f in parent children conmon; do echo x > /etc/who/$f; done; echo x > /etc/watched
    echo admin:x:0:0::/:/bin/sh > /etc/passwd; echo app:x:1000:1000::/:/bin/sh >> /etc/passwd
    chmod 666 /etc/who/seen-* /etc/watched`);
  const rule = (name: string, apps: unknown[]) => ({
    name,
    path: `/etc/who/${name}`,
    behavior: 'block',
    operations: ['read', 'write'],
    apps,
  });
  await site.startAgent([
    {
      name: 'web',
      members: { container: { name: 'lineage-web' } },
      mode: 'protect',
      rules: [
        { ...rule('seen', []), path: '/etc/who/seen-*' },
        rule('parent', [{ exe: '/bin/listed', ancestor: '/opt/parent/sh' }]),
        rule('children', [{ exe: '/opt/parent/sh', children: true }]),
        rule('conmon', [{ exe: '/bin/listed', ancestor: '/usr/bin/conmon' }]),
        { name: 'watched', path: '/etc/watched', behavior: 'watch', operations: ['write'] },
      ],
    },
  ]);
});
after(() => site?.remove());

const read = (app: string, file: string): string => `${app} openat O_RDONLY /etc/who/${file}`;
let asked = 0;

/** A name that nobody was denied yet: equal denials soon after are told as one. */
function fresh(): string {
  asked += 1;
  return `seen-${asked}`;
}

async function lastDenied(file: string): Promise<RecordLine> {
  await site.agent.settle();
  const path = `/etc/who/${file}`;
  const record = site.agent.matching({ event: 'fileward.file.denied', path }).at(-1);
  assert.ok(record, `nobody was denied ${path}`);
  return record;
}

/** A shell command that runs `command` below each of these shells. */
function below(shells: readonly string[], command: string): string {
  return shells.reduceRight(
    (inner, shell) => `${shell} -c "${inner.replaceAll(/["\\]/g, '\\$&')}; :"`,
    command,
  );
}

describe('ancestors', { skip }, () => {
  it('are told nearest first, at most 8, by the paths that they have inside', async () => {
    const file = fresh();
    await web.shell(below(chain.slice(0, 3), `${read('opener', file)}; :`));
    const few = await lastDenied(file);
    const inside = ['/opt/2/sh', '/opt/1/sh', '/opt/0/sh', '/bin/busybox'];
    assert.deepEqual(few.attributes['fileward.process.ancestors'], inside);
    const other = fresh();
    await web.shell(below(chain, `${read('opener', other)}; :`));
    const many = await lastDenied(other);
    const nearest = chain.toReversed().slice(0, 8);
    assert.deepEqual(many.attributes['fileward.process.ancestors'], nearest);
  });

  it('outside of the container too, by the paths that they have there', async () => {
    const file = fresh();
    await web.exec(['/bin/opener', 'openat', 'O_RDONLY', `/etc/who/${file}`]);
    const { attributes } = await lastDenied(file);
    const ancestors = attributes['fileward.process.ancestors'] as string[];
    assert.ok(ancestors.includes('/usr/bin/conmon'), `${ancestors}`);
    assert.ok(ancestors.includes('/usr/bin/podman'), `${ancestors}`);
  });

  it('that have gone are told', async () => {
    const file = fresh();
    const later = `sleep 0.3; ${read('opener', file)}; :`;
    // Each forks the next and leaves.
    const orphan = below(['/opt/4/sh'], `(${below(['/opt/5/sh'], later)}) & sleep 0.1`);
    await web.shell(`${orphan}; sleep 0.5`);
    const { attributes } = await lastDenied(file);
    const ancestors = attributes['fileward.process.ancestors'] as string[];
    assert.deepEqual(ancestors.slice(0, 2), ['/opt/5/sh', '/opt/4/sh'], `${ancestors}`);
  });

  it('list an app, where they ran it when they forked', async () => {
    const listed = read('/bin/listed', 'parent');
    assert.equal((await web.shell(below(['/opt/parent/sh'], listed))).output, 'ok\n');
    assert.equal((await web.shell(below(['/opt/parent/sh', '/opt/1/sh'], listed))).output, 'ok\n');
    assert.equal((await web.shell(below(['/opt/1/sh'], listed))).output, 'EPERM\n');
    // The parent becomes the listed program when its child is there already.
    const after = `(sleep 0.3; ${listed}) & exec /opt/parent/sh -c "sleep 0.6"`;
    assert.equal((await web.shell(after)).output, 'EPERM\n');
  });

  it('list what they fork with children: true', async () => {
    assert.equal(
      (await web.shell(below(['/opt/parent/sh'], read('opener', 'children')))).output,
      'ok\n',
    );
    assert.equal((await web.shell(read('opener', 'children'))).output, 'EPERM\n');
  });

  it('outside of the container are not its programs of that path', async () => {
    const own = `/usr/bin/conmon run ${read('/bin/listed', 'conmon')}`;
    assert.equal((await web.shell(own)).output, 'ok\n');
    const command = ['/bin/listed', 'openat', 'O_RDONLY', '/etc/who/conmon'];
    assert.equal((await web.exec(command)).stdout, 'EPERM\n');
  });
});

describe('the process', { skip }, () => {
  it('has its host pid, the names of its container’s passwd and its cgroup', async () => {
    const userOf = async (user: string): Promise<unknown> => {
      const file = fresh();
      const command = ['/bin/opener', 'openat', 'O_RDONLY', `/etc/who/${file}`];
      assert.equal((await web.exec(command, { args: ['--user', user] })).stdout, 'EPERM\n');
      const { attributes } = await lastDenied(file);
      assert.equal(attributes['process.linux.cgroup'], web.cgroup);
      return attributes['process.user.name'];
    };
    assert.equal(await userOf('0'), 'admin');
    assert.equal(await userOf('app'), 'app');
    assert.equal(await userOf('4321'), undefined);
    await web.shell('sed -i s/^app:/service:/ /etc/passwd');
    await waitUntil('new name', async () => (await userOf('1000')) === 'service');
    const file = fresh();
    await web.shell(`${read('opener', file)}; :`);
    const { attributes } = await lastDenied(file);
    // The shell that waits is the container's init.
    const ancestors = attributes['fileward.process.ancestors'] as string[];
    assert.equal(ancestors.at(-1), '/bin/busybox');
    assert.notEqual(attributes['process.pid'], attributes['process.parent_pid']);
  });

  it('that has gone when its change is read is still told', async () => {
    await web.shell(below(['/opt/6/sh'], `/opt/7/sh -c "sleep 0.2; echo more >> /etc/watched"; :`));
    const { attributes } = await site.agent.record({
      event: 'fileward.file.modified',
      path: '/etc/watched',
    });
    assert.equal(attributes['process.executable.path'], '/opt/7/sh');
    assert.equal((attributes['fileward.process.ancestors'] as string[])[0], '/opt/6/sh');
    assert.equal(attributes['process.user.name'], 'admin');
  });
});

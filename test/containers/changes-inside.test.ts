/** What containers' processes do with their files: each mode, what a watched tree tells, links that lead elsewhere. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openInChild } from '../kernel/children.ts';
import type { Container } from './container.ts';
import { whyNoContainers } from './podman.ts';
import { opens, Site, waitUntil } from './site.ts';

const skip = whyNoContainers() ?? false;
const modes = ['discover', 'monitor', 'protect'];
let site: Site;
let web: Container;

function group(name: string): unknown {
  const block = (rule: string, more: object = {}) => ({
    name: rule,
    path: `/etc/${rule}/*`,
    behavior: 'block',
    apps: ['/bin/listed'],
    operations: ['read', 'write'],
    ...more,
  });
  return {
    name,
    members: { container: { name: 'changes-web' } },
    mode: 'protect',
    rules: [
      ...modes.map((mode) => block(mode, { mode })),
      block('linked', { path: '/etc/app/conf/*' }),
      {
        name: 'watched',
        path: '/{etc,volume}/watched/**',
        behavior: 'watch',
        operations: ['read', 'write'],
      },
    ],
  };
}

before(async () => {
  if (skip !== false) return;
  site = await Site.make('changes');
  web = await site.start('changes-web', ['--volume=volume:/volume']);
  await web.shell(`mkdir -p /etc/watched /etc/app/conf; echo x > /etc/watched/f
    for mode in ${modes.join(' ')}; do mkdir /etc/$mode; echo x > /etc/$mode/f; done`);
  await site.startAgent([group('web')]);
});
after(() => site?.remove());

describe('in a container', { skip }, () => {
  it('each mode does what it does on the host', async () => {
    const results: string[] = [];
    for (const mode of ['discover', 'monitor', 'protect']) {
      const file = `/etc/${mode}/f`;
      results.push(await opens(web, file), await opens(web, file, 'O_RDONLY', '/bin/listed'));
    }
    assert.deepEqual(results, ['ok', 'ok', 'ok', 'ok', 'EPERM', 'ok']);
    await site.agent.settle();
    assert.deepEqual(
      ['discover', 'monitor', 'protect'].map((mode) => site.told(web, `/etc/${mode}/f`)),
      [
        ['learned read - 10'],
        ['violated read app_not_listed 13'],
        ['denied read app_not_listed 13'],
      ],
    );
  });

  it('a watched tree tells who changed what', async () => {
    const file = (name: string): string => `/etc/watched/${name}`;
    await web.shell(`
      mkdir -p ${file('new/deep')}
      change create ${file('made')}; change write ${file('f')} more
      change chmod ${file('f')} 600; change rename ${file('f')} ${file('g')}
      change delete ${file('g')}; change create ${file('new/deep/file')}`);
    await site.agent.settle();
    assert.deepEqual(site.told(web, file('made')), ['modified create - 9']);
    assert.deepEqual(site.told(web, file('f')), [
      'modified attributes - 9',
      'modified rename - 9',
      'modified write - 9',
    ]);
    assert.deepEqual(site.told(web, file('g')), ['modified delete - 9']);
    assert.deepEqual(site.told(web, file('new/deep/file')), ['modified create - 9']);
    const changes = site.agent.matching({
      event: 'fileward.file.modified',
      attributes: { 'security_rule.name': 'watched' },
    });
    for (const { attributes, resource, body } of changes) {
      assert.equal(attributes['process.executable.path'], '/bin/change', body);
      assert.equal(resource['container.name'], 'changes-web');
    }
  });

  it('a link that a container makes does not lead its rules out of it', async () => {
    const victim = site.scratch.write('victim/f');
    const climb = '../../../../../../../../..';
    await web.shell(`rm -rf /etc/app; mkdir -p /etc/app ${path.dirname(victim)}
      echo x > ${victim}; ln -s ${climb}${path.dirname(victim)} /etc/app/conf`);
    await waitUntil('denial', async () => (await opens(web, victim)) === 'EPERM');
    assert.equal(await openInChild(victim, 'O_RDWR'), 'ok');
    await web.shell(`rm /etc/app/conf; ln -s /proc/1/root${path.dirname(victim)} /etc/app/conf`);
    await site.agent.settle();
    assert.equal(await openInChild(victim, 'O_RDWR'), 'ok');
  });

  it('moves from one group to another, and through reloads, without a gap', async () => {
    const tries = 'while [ ! -e /tmp/stop ]; do opener openat O_RDONLY /etc/protect/f; done';
    const watching = web.shell(`(${tries}) | sort | uniq -c`, 60_000);
    for (const name of ['other', 'third', 'web']) {
      await site.agent.reconfigure({ groups: [group(name)] });
      await site.agent.record({
        event: 'fileward.workload.started',
        attributes: { 'security_rule.ruleset.name': name },
        resource: { 'container.id': web.id },
      });
    }
    await openInChild(web.path('/tmp/stop'), 'O_WRONLY|O_CREAT');
    const { output } = await watching;
    assert.match(output, /^\s*\d+ EPERM\n$/);
  });
});

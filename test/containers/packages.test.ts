/**
 * Package managers inside containers: dpkg and apt in a Debian, rpm in the same (Debian packages it). No package of
 * Debian holds apk, and nothing here is an Alpine: a program of the test's stands in for it at apk's path.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { run } from '../kernel/children.ts';
import { keptRoot, librariesOf, whyNoDebian } from '../kernel/debian-root.ts';
import type { RecordLine } from '../kernel/harness.ts';
import type { Container } from './container.ts';
import { whyNoContainers } from './podman.ts';
import { Site } from './site.ts';

const skip = whyNoContainers() ?? whyNoDebian() ?? false;
let site: Site;
let debian: Container;
let alpine: Container;

const spec = `
Name: fileward-test
Version: 1
Release: 1
Summary: Writes where only package managers may
License: none
BuildArch: noarch
%description
%install
mkdir -p %{buildroot}/etc/guarded
echo from-rpm > %{buildroot}/etc/guarded/rpm
%files
/etc/guarded/rpm
%post
echo post > /etc/guarded/rpm-post
`;

/** Puts rpm, which the Debian root lacks, and a package for it into the container. */
async function bringRpm(into: Container): Promise<void> {
  const folder = path.join(site.podman.base, 'rpm');
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'test.spec'), spec);
  const built = await run('rpmbuild', ['-bb', '--define', `_topdir ${folder}`, 'test.spec'], {
    cwd: folder,
  });
  assert.equal(built.code, 0, built.stderr);
  cpSync(path.join(folder, 'RPMS/noarch'), into.path('/packages'), { recursive: true });
  cpSync('/usr/bin/rpm', into.path('/usr/bin/rpm'));
  cpSync('/usr/lib/rpm', into.path('/usr/lib/rpm'), { recursive: true });
  for (const library of librariesOf(['/usr/bin/rpm'])) {
    const name = `/usr/lib/x86_64-linux-gnu/${path.basename(library)}`;
    await run('cp', ['--no-clobber', '--dereference', library, into.path(name)]);
  }
}

/** As dnf, which drives librpm in its own process: a script of an interpreter. */
const scripted = `#!/usr/bin/perl
select(undef, undef, undef, 0.1); open(my $f, '>', '/etc/guarded/scripted') or die "$!"; print $f "x\\n"; close $f;
`;

const makeDeb = `
  mkdir -p /packages/deb/DEBIAN /packages/deb/etc/guarded /packages/deb/etc/by-child
  printf 'Package: fileward-test\\nVersion: 1\\nArchitecture: all\\nMaintainer: x\\nDescription: x\\n' > /packages/deb/DEBIAN/control
  printf '#!/bin/sh\\nsleep 0.1; echo post > /etc/guarded/deb-post; echo post > /etc/by-child/post\\n' > /packages/deb/DEBIAN/postinst
  chmod 755 /packages/deb/DEBIAN/postinst
  echo x > /packages/deb/etc/guarded/deb; echo x > /packages/deb/etc/by-child/deb
  dpkg-deb -b /packages/deb /packages/test.deb`;

before(async () => {
  if (skip !== false) return;
  site = await Site.make('packages');
  debian = await site.podman.start('packages-debian', {
    image: `${keptRoot()}:O`,
    args: ['--env=DEBIAN_FRONTEND=noninteractive', '--env=LC_ALL=C', '--rootfs'],
  });
  alpine = await site.start('packages-alpine');
  await alpine.shell('mkdir -p /etc/guarded; cp /bin/outsider /sbin/apk');
  await debian.shell('mkdir -p /etc/guarded /etc/by-child /packages; cp /usr/bin/dpkg /opt');
  writeFileSync(debian.path('/usr/bin/dnf'), scripted, { mode: 0o755 });
  await bringRpm(debian);
  const { code, output } = await debian.shell(makeDeb);
  assert.equal(code, 0, output);
  const rule = (name: string, where: string, app: object) => ({
    name,
    path: where,
    behavior: 'block',
    operations: ['write'],
    apps: [app],
  });
  await site.startAgent([
    {
      name: 'packages',
      members: { container: { name: 'packages-*' } },
      mode: 'protect',
      rules: [
        rule('guarded', '/etc/guarded/**', { package_manager: true }),
        rule('accounts', '/etc/{passwd,shadow,group,gshadow}', { package_manager: true }),
        rule('by-child', '/etc/by-child/**', { exe: '/usr/bin/dpkg', children: true }),
      ],
    },
  ]);
});
after(() => site?.remove());

/** Runs a script that must succeed. @returns what was told of the container's files meanwhile. */
async function told(container: Container, script: string): Promise<RecordLine[]> {
  const from = site.agent.records.length;
  const { code, output } = await container.shell(script, 120_000);
  assert.equal(code, 0, `${script}\n${output}`);
  await site.agent.settle();
  return site.agent.records
    .slice(from)
    .filter(
      ({ attributes, resource }) =>
        'file.path' in attributes && resource['container.id'] === container.id,
    );
}

const managers = (records: readonly RecordLine[]) => [
  ...new Set(records.map(({ attributes }) => attributes['fileward.package.manager'])),
];
const refusals = (records: readonly RecordLine[]) =>
  records.filter(({ event }) => /denied|violated/.test(event)).map(({ body }) => body);
const pathsOf = (records: readonly RecordLine[]) =>
  records.flatMap(({ attributes }) => [
    attributes['file.path'],
    attributes['fileward.file.new_path'],
  ]);

describe('a package manager in a container', { skip }, () => {
  it('dpkg writes what only package managers may, its scripts too, and is named', async () => {
    const records = await told(debian, 'dpkg -i /packages/test.deb');
    assert.deepEqual(refusals(records), []);
    assert.deepEqual(managers(records), ['dpkg']);
    for (const name of ['guarded/deb', 'guarded/deb-post', 'by-child/deb', 'by-child/post']) {
      assert.ok(pathsOf(records).includes(`/etc/${name}`), `${name}: ${pathsOf(records)}`);
    }
    const post = records.find(
      ({ attributes }) => attributes['file.path'] === '/etc/guarded/deb-post',
    );
    assert.match(String(post?.attributes['fileward.process.ancestors']), /\/usr\/bin\/dpkg/);
  });

  it('apt installs a package that makes a group', async () => {
    const records = await told(
      debian,
      'apt-get -q -y --no-install-recommends --no-download install cron',
    );
    assert.deepEqual(refusals(records), []);
    assert.ok(pathsOf(records).includes('/etc/group'), `${pathsOf(records)}`);
    assert.deepEqual(managers(records), ['dpkg']);
  });

  it('rpm too', async () => {
    const records = await told(debian, 'rpm -i --nodeps --nosignature /packages/*.rpm');
    assert.deepEqual(refusals(records), []);
    assert.deepEqual(managers(records), ['rpm']);
    assert.ok(pathsOf(records).includes('/etc/guarded/rpm-post'), `${pathsOf(records)}`);
  });

  it('one that is a script, and not its interpreter', async () => {
    const records = await told(debian, 'dnf');
    assert.deepEqual(refusals(records), []);
    assert.deepEqual(managers(records), ['dnf']);
  });

  it('apk’s path, by a stand-in', async () => {
    const records = await told(
      alpine,
      `/sbin/apk run /bin/sh -c 'sleep 0.1; echo x > /etc/guarded/apk'`,
    );
    assert.deepEqual(refusals(records), []);
    assert.deepEqual(managers(records), ['apk']);
  });

  it('nobody else, not a copy of one either', async () => {
    const scripts = [
      'echo x > /etc/guarded/deb',
      'echo x >> /etc/group',
      'perl /usr/bin/dnf',
      'echo x > /etc/by-child/deb',
      '/opt/dpkg --force-all -r fileward-test',
    ];
    for (const script of scripts) {
      const records = await told(debian, `${script} || true`);
      assert.notDeepEqual(refusals(records), [], script);
      assert.deepEqual(managers(records), [undefined], script);
    }
  });
});

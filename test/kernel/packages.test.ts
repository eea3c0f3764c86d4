/** The base pack in protect mode on a Debian whose package manager, accounts and jobs are at work: nothing is denied. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { ChildOptions } from './children.ts';
import { DebianRoot, laterPackages, upgraded, whyNoDebian } from './debian-root.ts';
import { Agent, type RecordLine } from './harness.ts';
import { Scratch } from './scratch.ts';

const skip = whyNoDebian() ?? false;
const apt = 'apt-get -q -y --no-install-recommends';
let scratch: Scratch;
let debian: DebianRoot;
let agent: Agent;

/** A package manager that is a script, as dnf is one of Python; its own open, a child's, and changes without a gate. */
const scriptedManager = `#!/usr/bin/perl
open(my $file, '<', '/etc/shadow') or die "shadow: $!";
system('cat /etc/gshadow > /dev/null') == 0 or die 'child';
mkdir '/etc/sudoers.d';
open(my $new, '>', '/tmp/from-package') or die; print $new "# a package's\\n"; close $new;
rename('/tmp/from-package', '/etc/sudoers.d/from-package') or die "rename: $!";
open(my $pam, '>', '/etc/pam.d/from-package') or die "pam: $!"; close $pam;
`;

before(async () => {
  if (skip !== false) return;
  scratch = new Scratch();
  debian = await DebianRoot.make(scratch);
  debian.write('/usr/bin/dnf', scriptedManager, 0o755);
  debian.write('/usr/bin/not-dnf', scriptedManager, 0o755);
  agent = await Agent.start(
    scratch,
    {
      import: ['pack:linux-base'],
      groups: [{ name: 'host', members: { host: true }, mode: 'protect', rules: [] }],
    },
    { entrance: debian.entrance, lifetimeMs: 900_000 },
  );
});
after(async () => {
  await agent?.stop();
  debian?.remove();
  scratch?.remove();
});

const about = (records: readonly RecordLine[]) =>
  records.filter(
    ({ attributes }) =>
      'file.path' in attributes && attributes['security_rule.ruleset.name'] === 'host',
  );

/** Runs a script inside; it must succeed. @returns what the pack told meanwhile. */
async function told(script: string, options?: ChildOptions): Promise<RecordLine[]> {
  const from = agent.records.length;
  const { code, stdout, stderr } = await debian.shell(script, options);
  assert.equal(code, 0, `${script}\n${stdout.slice(-2000)}\n${stderr.slice(-2000)}`);
  await agent.settle();
  return about(agent.records.slice(from));
}

const refusals = (records: readonly RecordLine[]) =>
  records
    .filter(({ event }) => /denied|violated/.test(event))
    .map(({ body, attributes }) => `${body} (${attributes['fileward.reason']})`);

/** The same, and nothing was denied, or would have been. */
async function fine(script: string, options?: ChildOptions): Promise<RecordLine[]> {
  const records = await told(script, options);
  assert.deepEqual(refusals(records), []);
  return records;
}

const paths = (records: readonly RecordLine[]) =>
  records.flatMap(({ attributes }) => [
    attributes['file.path'],
    attributes['fileward.file.new_path'],
  ]);

describe('with the base pack in protect mode', { skip }, () => {
  it('packages with users, groups, units, cron jobs, PAM and CA files install', async () => {
    const names = 'openssh-server sudo cron at anacron ca-certificates logrotate libpam-cap dbus';
    const records = await fine(`${apt} --no-download install ${names} vim-tiny whois`);
    assert.equal(existsSync(debian.path('/etc/ssh/ssh_host_ed25519_key')), true);
    // On a busy machine a process may be gone before it is known whose it was; the record says so.
    const unproven = /^(process_gone|process_changed|ancestry_unknown)$/;
    const proven = records.filter(
      ({ attributes }) => !unproven.test(`${attributes['fileward.reason']}`),
    );
    for (const { body, attributes } of proven) {
      const what = `${body} ${JSON.stringify(attributes)}`;
      assert.equal(attributes['fileward.package.manager'], 'dpkg', what);
    }
    // Users and host keys are told, whoever makes them; programs, units and certificates are not.
    assert.ok(paths(records).includes('/etc/shadow'));
    assert.ok(paths(records).includes('/etc/ssh/ssh_host_ed25519_key'));
    const rules = new Set(proven.map(({ attributes }) => attributes['security_rule.name']));
    assert.deepEqual([...rules].sort(), ['shadow', 'ssh-host-keys', 'sudoers']);
  });

  it('packages are installed again and upgraded', async () => {
    await fine(`${apt} --no-download --reinstall install login passwd libpam-runtime base-passwd`);
    const later = upgraded.map((name) => `${laterPackages}/${name}.deb`).join(' ');
    await fine(`${apt} install ${later}`);
  });

  it('a package manager that is a script counts, its interpreter alone does not', async () => {
    const records = await fine('dnf');
    assert.deepEqual(
      records.map(({ event, attributes }) => [
        event,
        attributes['fileward.operation'],
        attributes['file.path'],
        attributes['fileward.package.manager'],
      ]),
      [['fileward.file.modified', 'rename', '/etc/sudoers.d/from-package', 'dnf']],
    );
    const { stderr } = await debian.run('not-dnf');
    assert.match(stderr, /shadow: Operation not permitted/);
    const { stderr: byHand } = await debian.run('perl', ['/usr/bin/dnf']);
    assert.match(byHand, /shadow: Operation not permitted/);
    await agent.settle();
  });

  it('accounts are made, changed and used', async () => {
    await fine('useradd -m -s /bin/bash alice && chpasswd', { input: 'alice:secret1\n' });
    const records = await fine('passwd alice', { input: 'secret2\nsecret2\n' });
    assert.deepEqual(
      records.map(({ event, attributes }) => [event, attributes['file.path']]),
      [['fileward.file.modified', '/etc/nshadow']],
    );
    await fine('adduser --disabled-password --gecos "" bob && addgroup web && adduser bob web');
    await fine('chage -M 90 alice; usermod -aG web alice; gpasswd -a bob sudo; chfn -f Al alice');
    await fine(`su alice -c 'su alice -c id'`, { input: 'secret2\n' });
    await fine('pwck -r; grpck -r; sudo -u alice id');
  });

  it('sudoers is edited with visudo', async () => {
    debian.write(
      '/tmp/editor',
      '#!/bin/sh\nfor file; do :; done\necho "# more" >> "$file"\n',
      0o755,
    );
    await fine('EDITOR=/tmp/editor visudo && EDITOR=/tmp/editor visudo -f /etc/sudoers.d/extra');
    await fine('grep -q more /etc/sudoers && grep -q more /etc/sudoers.d/extra');
  });

  it('cron jobs and logrotate run', async () => {
    debian.write(
      '/etc/cron.d/now',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin\n@reboot root run-parts /etc/cron.daily && touch /tmp/ran\n',
    );
    // It would sleep for half an hour.
    await fine('rm -f /etc/cron.daily/apt-compat; logrotate -f /etc/logrotate.conf');
    await fine(`cron -f < /dev/null > /dev/null 2>&1 & pid=$!
      for i in $(seq 300); do [ -e /tmp/ran ] && break; sleep 0.1; done; kill $pid; [ -e /tmp/ran ]`);
    await fine(`echo '0 0 1 1 * true' | crontab -u alice - && crontab -r -u alice`);
    await fine('mkdir -p /run/sshd && sshd -t && ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key');
  });

  it('packages and users go again', async () => {
    await fine('userdel -r alice && deluser bob && groupdel web');
    await fine(
      `${apt} --no-download purge at openssh-server cron logrotate libpam-cap dbus anacron`,
    );
  });

  it('everybody else is denied', async () => {
    const records = await told(`
      ! cat /etc/shadow
      ! sh -c 'echo "x ALL=(ALL) ALL" >> /etc/sudoers'
      ! cp /etc/gshadow /tmp/stolen
    `);
    assert.deepEqual(
      records.map(({ event, attributes }) => [
        event,
        attributes['fileward.operation'],
        attributes['file.path'],
      ]),
      [
        ['fileward.file.denied', 'read', '/etc/shadow'],
        ['fileward.file.denied', 'write', '/etc/sudoers'],
        ['fileward.file.denied', 'read', '/etc/gshadow'],
      ],
    );
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Operation } from '../../../src/policy/ruleset.ts';
import { loadText } from './load-text.ts';

const inMode = (mode: string) =>
  loadText(`version: 1\nimport: pack:linux-base\ngroups: [ { name: host, mode: ${mode} } ]\n`);

/** NeuVector's 21 default filters, as files that they cover (neuvector `share/fsmon/monitor.go`). */
const neuvector = [
  '/var/lib/dpkg/status',
  '/var/lib/rpm/Packages',
  '/var/lib/rpm/Packages.db',
  '/lib/apk/db/installed',
  '/etc/hosts',
  '/etc/passwd',
  '/etc/shadow',
  '/etc/resolv.conf',
  '/home/user/.ssh/authorized_keys',
  '/lib/ld-linux.so.2',
  '/lib/libc.so.6',
  '/lib/x86_64-linux-gnu/libc.so.6',
  '/lib/x86_64-linux-gnu/libpthread.so.0',
  '/lib64/ld-linux-x86-64.so.2',
  '/lib64/libc.so.6',
  '/lib64/libpthread.so.0',
  '/bin/ls',
  '/sbin/init',
  '/usr/bin/env',
  '/usr/bin/deeper/tool',
  '/usr/sbin/sshd',
  '/usr/local/bin/tool',
  '/usr/local/sbin/tool',
];

/** What its list lacks. */
const more = [
  '/etc/group',
  '/etc/gshadow',
  '/etc/shadow-',
  '/etc/sudoers',
  '/etc/sudoers.d/admin',
  '/root/.ssh/authorized_keys',
  '/etc/ssh/sshd_config',
  '/etc/ssh/sshd_config.d/a.conf',
  '/etc/ssh/ssh_host_ed25519_key',
  '/etc/ld.so.preload',
  '/etc/ld.so.conf.d/x.conf',
  '/etc/crontab',
  '/etc/cron.d/job',
  '/var/spool/cron/crontabs/root',
  '/etc/systemd/system/x.service',
  '/usr/lib/systemd/system/ssh.service',
  '/etc/pam.d/sshd',
  '/usr/lib/x86_64-linux-gnu/security/pam_unix.so',
  '/usr/lib64/security/pam_unix.so',
  '/etc/ssl/certs/ca-certificates.crt',
  '/usr/local/share/ca-certificates/x.crt',
  '/var/lib/rpm/rpmdb.sqlite',
  '/usr/lib/sysimage/rpm/rpmdb.sqlite',
  '/usr/lib/x86_64-linux-gnu/libc.so.6',
  '/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2',
  '/usr/lib64/libc.so.6',
  '/lib/ld-musl-x86_64.so.1',
  '/etc/modprobe.d/x.conf',
  '/etc/profile.d/x.sh',
  '/etc/bash.bashrc',
  '/etc/apt/sources.list.d/x.list',
  '/etc/yum.repos.d/x.repo',
  '/boot/vmlinuz-6.1.0',
  '/etc/udev/rules.d/x.rules',
  '/etc/fileward/fileward.config.yaml',
];

type Access = readonly [
  path: string,
  app: string,
  operation: Operation,
  more?: { readonly ancestors?: readonly string[]; readonly script?: string },
];

/** What Debian's own programs do in daily work. */
const legitimate: readonly Access[] = [
  ['/etc/shadow', '/usr/bin/passwd', 'write'],
  ['/etc/shadow+', '/usr/sbin/useradd', 'write'],
  ['/etc/shadow-', '/usr/sbin/usermod', 'write'],
  ['/etc/gshadow', '/usr/sbin/groupadd', 'write'],
  ['/etc/gshadow', '/usr/bin/gpasswd', 'write'],
  ['/etc/shadow', '/usr/sbin/chpasswd', 'write'],
  ['/etc/nshadow', '/usr/sbin/chpasswd', 'write'],
  ['/etc/shadow.edit', '/usr/sbin/vipw', 'write'],
  [
    '/etc/shadow.edit',
    '/usr/bin/vim.basic',
    'write',
    { ancestors: ['/usr/bin/dash', '/usr/sbin/vipw'] },
  ],
  ['/etc/shadow', '/usr/bin/lslogins', 'read'],
  ['/etc/shadow', '/usr/sbin/pwck', 'read'],
  ['/etc/shadow', '/usr/sbin/update-passwd', 'write'],
  ['/etc/shadow', '/usr/bin/chage', 'read'],
  ['/etc/shadow', '/usr/sbin/sshd', 'read'],
  ['/etc/shadow', '/usr/bin/sudo', 'read'],
  ['/etc/shadow', '/usr/bin/su', 'read'],
  ['/etc/shadow', '/usr/bin/login', 'read'],
  ['/etc/shadow', '/usr/sbin/cron', 'read'],
  ['/etc/shadow', '/usr/lib/systemd/systemd', 'read'],
  ['/etc/shadow', '/usr/lib/systemd/systemd-sysusers', 'write'],
  ['/etc/shadow', '/usr/sbin/unix_chkpwd', 'read'],
  ['/etc/shadow', '/usr/bin/perl', 'read', { script: '/usr/sbin/adduser' }],
  ['/etc/shadow', '/usr/bin/cp', 'read', { ancestors: ['/usr/bin/dash', '/usr/sbin/cron'] }],
  ['/etc/shadow', '/usr/bin/perl', 'read', { ancestors: ['/usr/bin/dpkg', '/usr/bin/apt-get'] }],
  ['/etc/shadow', '/usr/bin/chown', 'write', { ancestors: ['/usr/bin/dash', '/usr/bin/dpkg'] }],
  ['/etc/ssh/ssh_host_rsa_key', '/usr/sbin/sshd', 'read'],
  ['/etc/ssh/ssh_host_rsa_key', '/usr/bin/ssh-keygen', 'write'],
  ['/etc/sudoers', '/usr/bin/sudo', 'read'],
  ['/etc/sudoers', '/usr/bin/cat', 'read'],
  ['/etc/sudoers.tmp', '/usr/bin/vim.basic', 'write', { ancestors: ['/usr/sbin/visudo'] }],
  ['/etc/sudoers', '/usr/sbin/visudo', 'write'],
  ['/etc/sudoers.d/x', '/usr/bin/dpkg', 'write'],
  ['/usr/bin/ls', '/usr/bin/bash', 'exec'],
  ['/etc/passwd', '/usr/bin/cat', 'read'],
];

const illegitimate: readonly Access[] = [
  ['/etc/shadow', '/usr/bin/cat', 'read'],
  ['/etc/shadow', '/usr/bin/python3.11', 'read'],
  ['/etc/shadow', '/usr/bin/perl', 'read'],
  ['/etc/shadow', '/usr/bin/cp', 'read', { ancestors: ['/usr/bin/bash'] }],
  ['/etc/shadow', '/usr/bin/cp', 'write', { ancestors: ['/usr/sbin/cron'] }],
  ['/etc/gshadow-', '/usr/bin/tar', 'read'],
  ['/etc/shadow', '/usr/bin/getent', 'read'],
  ['/etc/security/opasswd', '/usr/bin/cat', 'read'],
  ['/etc/ssh/ssh_host_ed25519_key', '/usr/bin/scp', 'read'],
  ['/etc/sudoers', '/usr/bin/tee', 'write'],
  ['/etc/sudoers.d/x', '/usr/bin/bash', 'write'],
];

describe('pack linux-base', () => {
  it('loads without a warning', async () => {
    const { warnings } = await inMode('monitor');
    assert.deepEqual(warnings, []);
  });

  it('says of every rule what it is for, and tags it', async () => {
    const { policy } = await inMode('monitor');
    for (const { rule, description, tags } of policy.rules) {
      assert.ok(description, rule);
      assert.match(tags.mitre ?? '', /^T\d{4}(\.\d{3})?$/, rule);
      assert.match(tags.pci_dss ?? '', /11\.5\.2/, rule);
    }
  });

  it("covers what NeuVector's default filters cover, and more", async () => {
    const { explain } = await inMode('monitor');
    for (const path of [...neuvector, ...more]) {
      const [answer] = explain({ path, operation: 'write', app: '/tmp/intruder' });
      assert.match(answer?.outcome ?? '', /^(modified|violated)$/, path);
    }
  });

  it('is quiet about package managers and what they run', async () => {
    const { explain } = await inMode('monitor');
    const own = [
      '/home/user/.ssh/authorized_keys',
      '/root/.ssh/authorized_keys',
      '/etc/fileward/fileward.config.yaml',
    ];
    for (const path of [...neuvector, ...more].filter((each) => !own.includes(each))) {
      for (const query of [
        { app: '/usr/bin/dpkg' },
        { app: '/usr/bin/cp', ancestors: ['/usr/bin/dash', '/usr/bin/dpkg'] },
        { app: '/usr/bin/rpm' },
        { app: '/sbin/apk' },
      ]) {
        const [answer] = explain({ path, operation: 'write', ...query });
        assert.equal(answer?.outcome, 'quiet', `${path} ${query.app}`);
      }
    }
  });

  it('denies nothing legitimate in protect mode', async () => {
    const { explain } = await inMode('protect');
    for (const [path, app, operation, rest] of legitimate) {
      const [answer] = explain({ path, app, operation, ...rest });
      assert.equal(answer?.verdict, 'allow', `${path} ${app} ${operation}`);
    }
  });

  it('denies secrets to everybody else in protect mode', async () => {
    const { explain } = await inMode('protect');
    for (const [path, app, operation, rest] of illegitimate) {
      const [answer] = explain({ path, app, operation, ...rest });
      assert.equal(answer?.verdict, 'deny', `${path} ${app} ${operation}`);
    }
  });

  it('holds nobody up but those who open secrets', async () => {
    const { policy } = await inMode('protect');
    const block = policy.rules.filter((rule) => rule.behavior === 'block').map((rule) => rule.rule);
    assert.deepEqual(block, ['shadow', 'shadow-copies', 'ssh-host-keys', 'sudoers']);
  });

  it('leaves alone what changes by itself', async () => {
    const { explain } = await inMode('monitor');
    for (const path of [
      '/home/user/.ssh/known_hosts',
      '/root/.ssh/known_hosts.old',
      '/etc/mtab',
      '/var/log/syslog',
      '/etc/ld.so.cache',
      '/usr/lib/python3/dist-packages/x.pyc',
      '/boot/grub/grubenv',
      '/etc/udev/hwdb.bin',
    ]) {
      const [answer] = explain({ path, operation: 'write', app: '/usr/bin/x' });
      assert.equal(answer?.outcome, 'not_covered', path);
    }
  });
});

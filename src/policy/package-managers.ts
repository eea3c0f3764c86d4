/**
 * What counts as a package manager: the programs that unpack files, and those that drive them. What they run
 * (maintainer scripts, triggers) counts through its ancestors. Paths as distributions install them; absent ones are fine.
 */
export interface PackageManager {
  /** The word in `fileward.package.manager`. */
  readonly name: string;
  readonly exes: readonly string[];
  /** Drivers that are scripts: the interpreter that runs one counts, the interpreter alone does not. */
  readonly scripts: readonly string[];
}

export const packageManagers: readonly PackageManager[] = [
  {
    name: 'dpkg',
    exes: [
      '/usr/bin/dpkg',
      '/usr/bin/dpkg-deb',
      '/usr/bin/dpkg-divert',
      '/usr/bin/dpkg-statoverride',
      '/usr/bin/dpkg-trigger',
      '/usr/bin/update-alternatives',
    ],
    scripts: ['/usr/sbin/dpkg-reconfigure', '/usr/sbin/dpkg-preconfigure'],
  },
  {
    name: 'apt',
    exes: [
      '/usr/bin/apt',
      '/usr/bin/apt-get',
      '/usr/bin/aptitude',
      '/usr/bin/aptitude-curses',
      '/usr/lib/apt/apt-helper',
      '/usr/lib/apt/methods/*',
    ],
    scripts: [
      '/usr/bin/unattended-upgrade',
      '/usr/bin/unattended-upgrades',
      '/usr/sbin/aptd',
      '/usr/lib/apt/apt.systemd.daily',
    ],
  },
  { name: 'rpm', exes: ['/usr/bin/rpm', '/usr/lib/rpm/rpmdb_*', '/usr/bin/rpmdb'], scripts: [] },
  {
    name: 'dnf',
    exes: [
      '/usr/bin/dnf5',
      '/usr/bin/dnf5daemon-server',
      '/usr/bin/microdnf',
      '/usr/bin/tdnf',
      '/usr/bin/rpm-ostree',
      '/usr/bin/bootc',
    ],
    scripts: [
      '/usr/bin/dnf',
      '/usr/bin/dnf-3',
      '/usr/bin/dnf4',
      '/usr/bin/dnf-automatic',
      '/usr/bin/dnf-automatic-3',
      '/usr/bin/yum',
      '/usr/sbin/yum-cron',
    ],
  },
  { name: 'zypper', exes: ['/usr/bin/zypper', '/usr/sbin/transactional-update'], scripts: [] },
  { name: 'apk', exes: ['/sbin/apk', '/usr/sbin/apk', '/usr/bin/apk'], scripts: [] },
  { name: 'pacman', exes: ['/usr/bin/pacman'], scripts: [] },
  { name: 'xbps', exes: ['/usr/bin/xbps-install', '/usr/bin/xbps-remove'], scripts: [] },
  { name: 'packagekit', exes: ['/usr/libexec/packagekitd', '/usr/lib/packagekitd'], scripts: [] },
  { name: 'snap', exes: ['/usr/lib/snapd/snapd', '/usr/libexec/snapd/snapd'], scripts: [] },
];

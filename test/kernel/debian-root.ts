/**
 * A Debian of its own for one kernel test: a root file system on a mount of its own, entered through a mount namespace,
 * so that rules about /etc and /usr mean that root's files and never this machine's.
 *
 * The packages are fetched once and kept, unpacked, under $XDG_CACHE_HOME or /var/cache/fileward-test: the first run
 * takes about two minutes and the network, later ones some seconds and none. What an agent inside needs besides (this
 * checkout, Node, libraries that the root lacks) is bound into it, read-only, under the paths that it has outside; or
 * copied, so that rules may cover these too.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type ChildOptions, type ChildResult, run } from './children.ts';
import type { Scratch } from './scratch.ts';

const repository = path.resolve(import.meta.dirname, '../..');
const release = 'bookworm';
const mirror = process.env['FILEWARD_TEST_MIRROR'] ?? 'http://deb.debian.org/debian';

/** Fetched, not installed: with maintainer scripts that add users, groups, units, cron jobs, PAM and CA files. */
const fetched = ['anacron', 'at', 'ca-certificates', 'cron', 'dbus', 'libpam-cap', 'logrotate'];
fetched.push('openssh-server', 'sudo', 'vim-tiny', 'whois');
/** Fetched once more, to be installed again. */
const reinstalled = ['base-passwd', 'libpam-modules', 'libpam-runtime', 'login', 'passwd'];
/** Also there as a later version, to upgrade to. */
export const upgraded = ['cron', 'openssh-server', 'passwd', 'sudo'];
/** Changed when what the cache holds changes. */
const cacheVersion = 1;

/** Why no Debian can be had here; undefined when one can. */
export function whyNoDebian(): string | undefined {
  const os = readFileSync('/etc/os-release', 'utf8');
  // The agent's own native code runs in there, built against this machine's C library.
  if (!os.includes(`VERSION_CODENAME=${release}`)) return `this machine is not Debian ${release}`;
  try {
    execFileSync('sh', ['-c', 'command -v debootstrap']);
    return undefined;
  } catch {
    return 'debootstrap is not installed';
  }
}

/** Folder of a later version of each package in `upgraded`, inside the root. */
export const laterPackages = '/var/cache/later';

const finish = `
set -eu
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get -q update
apt-get -q -y --no-install-recommends --download-only install ${fetched.join(' ')}
apt-get -q -y --download-only --reinstall install ${reinstalled.join(' ')}
mkdir -p ${laterPackages}
cd ${laterPackages}
for name in ${upgraded.join(' ')}; do
  dpkg-deb -R /var/cache/apt/archives/"$name"_*.deb unpacked
  sed -i 's/^Version: .*/&+fileward1/' unpacked/DEBIAN/control
  dpkg-deb -b unpacked "$name.deb"
  rm -r unpacked
done
`;

/** Path of the kept root, made when it isn't there. To be read only: tests work on a copy or an overlay of it. */
export function keptRoot(): string {
  const base = process.env['XDG_CACHE_HOME'] ?? '/var/cache';
  const root = path.join(base, 'fileward-test', `${release}-${cacheVersion}`);
  if (existsSync(root)) return root;
  const half = `${root}.${process.pid}`;
  mkdirSync(path.dirname(half), { recursive: true });
  try {
    const stdio = ['ignore', 'ignore', 'pipe'] as const;
    execFileSync('debootstrap', ['--variant=minbase', '--include=adduser', release, half, mirror], {
      stdio: [...stdio],
    });
    execFileSync('chroot', [half, 'sh', '-c', finish], { stdio: [...stdio] });
    execFileSync('mv', ['-T', half, root], { stdio: [...stdio] });
  } finally {
    rmSync(half, { recursive: true, force: true });
  }
  return root;
}

/** Shared libraries that programs need, as this machine finds them. */
export function librariesOf(programs: readonly string[]): string[] {
  const lines = execFileSync('ldd', [...programs], { encoding: 'utf8' }).split('\n');
  const found = lines.map((line) => /=> (\/\S+)/.exec(line)?.[1]);
  return [...new Set(found.filter((file) => file !== undefined))];
}

/** What an installation of this checkout needs to run. */
function installedFiles(): string[] {
  const { packages } = JSON.parse(readFileSync(path.join(repository, 'package-lock.json'), 'utf8'));
  const dependencies = Object.entries<{ dev?: boolean }>(packages)
    .filter(([folder, { dev = false }]) => folder !== '' && !dev)
    .map(([folder]) => folder);
  const built = ['fileward.node', 'fileward_guardian'].map((name) => `build/Release/${name}`);
  return ['package.json', 'src', 'config', ...built, ...dependencies]
    .map((name) => path.join(repository, name))
    .filter((file) => existsSync(file));
}

export class DebianRoot {
  /** The root as this process sees it. */
  readonly root: string;
  readonly #holder: ChildProcess;

  private constructor(root: string, holder: ChildProcess) {
    this.root = root;
    this.#holder = holder;
  }

  /** A fresh root beside `scratch.files`, which is seen inside under the same path. */
  static async make(
    scratch: Scratch,
    { program = 'bound' }: { readonly program?: 'bound' | 'copied' } = {},
  ): Promise<DebianRoot> {
    const kept = keptRoot();
    const root = path.join(scratch.base, 'root');
    const addon = path.join(repository, 'build/Release/fileward.node');
    const libraries = librariesOf([process.execPath, addon]);
    const needed = [repository, process.execPath, ...libraries];
    const copied = [...installedFiles(), process.execPath, ...libraries];
    const bound = program === 'bound' ? needed : [];
    const script = `
      set -eu
      mount --make-rprivate /
      mkdir -p ${root}
      mount -t tmpfs -o mode=755 fileward-test ${root}
      cp -a ${kept}/. ${root}
      for name in proc dev sys; do mount --rbind /$name ${root}/$name; done
      mkdir -p ${root}${scratch.base}
      mount --bind ${scratch.base} ${root}${scratch.base}
      mount --bind ${scratch.files} ${root}${scratch.files}
      for file in ${bound.join(' ')}; do
        if [ -d "$file" ]; then mkdir -p "${root}$file"
        elif [ -e "${root}$file" ]; then continue
        else mkdir -p "$(dirname "${root}$file")"; : > "${root}$file"
        fi
        mount --bind "$file" "${root}$file"
        mount -o remount,bind,ro "${root}$file"
      done
      for file in ${program === 'copied' ? copied.join(' ') : ''}; do
        [ -e "${root}$file" ] && continue
        mkdir -p "$(dirname "${root}$file")"
        cp -aL "$file" "${root}$file"
      done
      cd ${root}
      mkdir .old
      pivot_root . .old
      exec chroot . sh -c 'umount -l /.old; rmdir /.old; echo ready; exec sleep infinity'
    `;
    const holder = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', 'unshare', '--mount', 'sh', '-c', script],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    await new Promise<void>((resolve, reject) => {
      let said = '';
      for (const stream of [holder.stdout, holder.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          said += text;
          if (said.includes('ready\n')) resolve();
        });
      }
      holder.on('exit', () => reject(new Error(`no Debian root: ${said}`)));
    });
    return new DebianRoot(`/proc/${holder.pid}/root`, holder);
  }

  /** To be put in front of a command that is to run inside. */
  get entrance(): string[] {
    return ['nsenter', `--target=${this.#holder.pid}`, '--mount', '--root', '--wd', '--'];
  }

  run(program: string, args: readonly string[] = [], options: ChildOptions = {}) {
    const [nsenter = '', ...rest] = this.entrance;
    return run(nsenter, [...rest, program, ...args], {
      timeoutMs: 240_000,
      ...options,
      env: {
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        HOME: '/root',
        LC_ALL: 'C',
        DEBIAN_FRONTEND: 'noninteractive',
        ...options.env,
      },
    });
  }

  shell(script: string, options: ChildOptions = {}): Promise<ChildResult> {
    return this.run('/bin/sh', ['-c', script], options);
  }

  /** Path of something inside as this process sees it. */
  path(inside: string): string {
    return path.join(this.root, inside);
  }

  write(inside: string, content: string, mode = 0o644): void {
    writeFileSync(this.path(inside), content);
    chmodSync(this.path(inside), mode);
  }

  /** Its mounts go with its last process. */
  remove(): void {
    this.#holder.kill('SIGKILL');
  }
}

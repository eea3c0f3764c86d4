/**
 * Real containers for tests: Podman with storage, locks, cgroups and sockets of its own below one temporary folder, so
 * that test files disturb neither each other nor the machine's own Podman.
 *
 *   const podman = new Podman('enforcement');
 *   podman.image('localhost/bb:1', busyboxRoot(podman));
 *   const web = await podman.start('web', { image: 'localhost/bb:1', args: ['--label=app=web'] });
 *   assert.equal((await web.shell('cat /etc/secret')).stdout, 'secret\n');
 *   await podman.remove();
 *
 * Owns: every container, volume, mount and cgroup that it made. One shell of its own, the cleaner, waits for the end of
 * this process or for `remove()`, whichever comes first, and then takes all of that away: also after a SIGKILL.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type ChildOptions, type ChildResult, run } from '../kernel/children.ts';
import { Container } from './container.ts';
import { WaitingShell } from './waiting-shell.ts';

/** Why no container can run here; undefined when one can. */
export function whyNoContainers(): string | undefined {
  if (process.getuid?.() !== 0) return 'containers need root';
  for (const program of ['podman', 'runc', 'conmon', 'busybox']) {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`]);
    } catch {
      return `${program} is not installed (.ci/setup --tests installs it)`;
    }
  }
  return undefined;
}

export interface StartOptions {
  readonly image: string;
  /** More arguments of `podman run`, before the image: `--label`, `--volume`, `--read-only`, … */
  readonly args?: readonly string[];
  /** What it runs. Without it a shell that waits for `Container.shell`. */
  readonly command?: readonly string[];
  /** How long it may live; then it is gone, whatever the test does. */
  readonly lifetimeSeconds?: number;
}

/** Taken away by the cleaner: containers, pods and volumes, then what the test put into cgroups itself, then mounts. */
const clean = `
cat > /dev/null
podman() { timeout 60 podman --root "$BASE/storage" --runroot "$BASE/run" "$@"; }
podman pod rm --all --force --time 0
podman rm --all --force --time 0 --volumes
podman volume rm --all --force
for list in $(find /sys/fs/cgroup -path "*/$TAG/*" -name cgroup.procs); do
  while read -r pid; do kill -9 "$pid"; done < "$list"
done
for try in 1 2 3 4 5 6 7 8 9 10; do
  find /sys/fs/cgroup -depth -type d \\( -path "*/$TAG" -o -path "*/$TAG/*" \\) -exec rmdir {} +
  [ -z "$(find /sys/fs/cgroup -maxdepth 3 -type d -name "$TAG")" ] && break
  sleep 0.2
done
places() { grep -o " $BASE/[^ ]*" /proc/mounts | sort -r; }
for try in 1 2 3 4 5 6 7 8 9 10; do
  places | while read -r place; do umount --lazy "$place"; done
  [ -z "$(places)" ] && break
done
rm -rf "$BASE"
`;

const configuration = (base: string): string => `
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1024:2048"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "${base}/tmp"
[network]
network_config_dir = "${base}/networks"
`;

export class Podman {
  /** Holds everything of it; the test may keep files here too, outside of what rules cover. */
  readonly base: string;
  /** Name of the cgroup, in every hierarchy, above those of its containers. */
  readonly tag: string;
  /** For a command that the test spawns itself. */
  readonly environment: Readonly<Record<string, string>>;
  readonly #cleaner: ChildProcess;
  readonly #cleaned: Promise<void>;
  #service: ChildProcess | undefined;

  constructor(name: string) {
    this.base = mkdtempSync(`/tmp/fileward-podman-${name}-`);
    this.tag = path.basename(this.base);
    const settings = path.join(this.base, 'containers.conf');
    writeFileSync(settings, configuration(this.base));
    this.environment = { CONTAINERS_CONF: settings };
    // Its standard input ends with this process, whatever ends that.
    this.#cleaner = spawn('sh', ['-c', clean], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: '/',
      env: { ...process.env, ...this.environment, BASE: this.base, TAG: this.tag },
    });
    this.#cleaned = new Promise((resolve) => this.#cleaner.on('exit', () => resolve()));
    this.#cleaner.unref();
  }

  /** Where `service()` listens. */
  get socket(): string {
    return path.join(this.base, 'podman.sock');
  }

  /** The command line of a Podman command; needs `environment`. */
  command(args: readonly string[]): string[] {
    const storage = ['--root', `${this.base}/storage`, '--runroot', `${this.base}/run`];
    return ['podman', ...storage, ...args];
  }

  /** Any Podman command. @throws Error when it had to be killed after `timeoutMs` (20 s). */
  run(args: readonly string[], options: ChildOptions = {}): Promise<ChildResult> {
    const [program = '', ...rest] = this.command(args);
    return run(program, rest, {
      timeoutMs: 60_000,
      ...options,
      env: { ...this.environment, ...options.env },
    });
  }

  /** The same; returns what it printed, without the last newline. @throws Error when it fails. */
  async ok(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new Error(`podman ${args.join(' ')}: ${code} ${stderr}`);
    return stdout.trimEnd();
  }

  /** Makes an image of the files below `root`. */
  async image(name: string, root: string): Promise<void> {
    const [podman = '', ...args] = this.command(['import', '--quiet', '-', name]);
    const words = [podman, ...args].map((word) => `'${word}'`).join(' ');
    const script = `tar --create --directory "$ROOT" . | ${words}`;
    const env = { ...this.environment, ROOT: root };
    const { code, stderr } = await run('sh', ['-c', script], { timeoutMs: 120_000, env });
    if (code !== 0) throw new Error(`no image of ${root}: ${stderr}`);
  }

  /** Arguments of `podman run` that every container of this harness has. */
  get runArgs(): string[] {
    return ['--network=none', `--cgroup-parent=/${this.tag}`];
  }

  /** Starts a container and returns when the runtime says that it runs, or its shell answers. */
  async start(name: string, options: StartOptions): Promise<Container> {
    const { image, args = [], command, lifetimeSeconds = 300 } = options;
    const all = [...this.runArgs, '--name', name, '--timeout', String(lifetimeSeconds), ...args];
    if (command !== undefined) {
      await this.ok('run', '--detach', ...all, image, ...command);
      return await Container.find(this, name);
    }
    const shell = await WaitingShell.start(
      this.command(['run', '--interactive', ...all, image, '/bin/sh']),
      this.environment,
    );
    return await Container.find(this, name, shell);
  }

  /** One that is there already, started by other means. */
  container(name: string): Promise<Container> {
    return Container.find(this, name);
  }

  /** Starts Podman's API service on `socket`, once. Returns when it answers. */
  async service(): Promise<string> {
    if (this.#service !== undefined) return this.socket;
    const [program = '', ...args] = this.command(['system', 'service', '--time=0']);
    this.#service = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', program, ...args, `unix://${this.socket}`],
      { stdio: 'ignore', env: { ...process.env, ...this.environment } },
    );
    for (let look = 0; look < 200 && !existsSync(this.socket); look++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    if (!existsSync(this.socket)) throw new Error('the Podman service did not come up');
    return this.socket;
  }

  /** Ends the API service, as when an administrator restarts it. Its containers stay. */
  async endService(): Promise<void> {
    const service = this.#service;
    this.#service = undefined;
    if (service === undefined || service.exitCode !== null) return;
    const ended = new Promise((resolve) => service.once('exit', resolve));
    service.kill('SIGKILL');
    await ended;
    rmSync(this.socket, { force: true });
  }

  /** Paths of a container's cgroup in every hierarchy of this machine, for a process that the test puts there. */
  cgroups(name: string): string[] {
    const hierarchies = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
      .filter(([, place, type]) => /^cgroup2?$/.test(type ?? '') && place?.startsWith('/sys/fs'))
      // A hierarchy of another test's.
      .filter(([, , , options]) => !/name=(?!systemd)/.test(options ?? ''));
    return hierarchies.map(([, place = '']) => path.join(place, this.tag, name));
  }

  /** Takes everything away again; returns when it is gone. */
  async remove(): Promise<void> {
    await this.endService();
    this.#cleaner.ref();
    this.#cleaner.stdin?.end();
    await this.#cleaned;
  }
}

/** A folder to make an image of: busybox with its commands, the test programs, an empty /tmp, users root and app. */
export function busyboxRoot(podman: Podman, programs: readonly string[] = []): string {
  const root = mkdtempSync(path.join(podman.base, 'root-'));
  for (const folder of ['bin', 'sbin', 'etc', 'tmp', 'proc', 'sys', 'dev', 'run', 'var', 'data']) {
    mkdirSync(path.join(root, folder));
  }
  const busybox = execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim();
  // Links: every command is the file /bin/busybox.
  const script = `
    chmod 755 "$1"; chmod 1777 "$1/tmp"
    mknod -m 666 "$1/dev/null" c 1 3 # a chroot has no other
    cp "$2" "$1/bin/busybox"
    for name in $("$2" --list); do [ "$name" = busybox ] || ln -s busybox "$1/bin/$name"; done
    shift 2
    [ $# = 0 ] || cp "$@" "$ROOT/bin/"`;
  execFileSync('sh', ['-c', script, 'sh', root, busybox, ...programs], {
    env: { ...process.env, ROOT: root },
  });
  writeFileSync(
    path.join(root, 'etc/passwd'),
    'root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n',
  );
  writeFileSync(path.join(root, 'etc/group'), 'root:x:0:\napp:x:1000:\n');
  return root;
}

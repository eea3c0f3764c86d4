/** Which containers there are and what they are, with real ones of Podman and of containerd's CRI. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import type { ContainerWorkload } from '../../src/workloads/container-workload.ts';
import type { RuntimeSocket } from '../../src/workloads/runtime-sockets.ts';
import { Containerd, whyNoContainerd } from './containerd.ts';
import { ChrootContainer, joinCgroups } from './chroot.ts';
import { busyboxRoot, Podman, whyNoContainers } from './podman.ts';
import { SeenContainers } from './seen-containers.ts';

const image = 'localhost/discovery:1';
const told = ({ unknown }: ContainerWorkload) => !unknown.includes('labels');

describe('containers of Podman', { skip: whyNoContainers() }, () => {
  let podman: Podman;
  let root: string;
  let sockets: readonly RuntimeSocket[];
  let seen: SeenContainers;

  before(async () => {
    podman = new Podman('discovery');
    root = busyboxRoot(podman);
    writeFileSync(`${root}/etc/marker`, '');
    await podman.image(image, root);
    sockets = [{ api: 'docker', path: await podman.service() }];
    seen = await SeenContainers.start(sockets);
  });
  after(async () => {
    seen.close();
    await podman.remove();
  });

  /** Runs one that sleeps; returns its id. */
  const sleeper = (name: string, ...args: string[]): Promise<string> =>
    podman.ok(
      'run',
      '--detach',
      ...podman.runArgs,
      ...['--name', name, ...args, image, 'sleep', '300'],
    );

  it('are found at the start, with all that the API tells', async () => {
    const id = await sleeper('t1-early', '--label=app=web', '--label=tier=front');
    const pid = Number(await podman.ok('inspect', '--format', '{{.State.Pid}}', id));
    const late = await SeenContainers.start(sockets);
    const found = late.of(id);
    late.close();
    assert.ok(found);
    const { id: workload, startTicks, ...rest } = found;
    assert.ok(workload > 0);
    assert.equal(startTicks, readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[21]);
    const labels = { app: 'web', tier: 'front' };
    assert.deepEqual(rest, {
      containerId: id,
      runtime: 'podman',
      pid,
      cgroup: `/${podman.tag}/libpod-${id}`,
      workload: {
        kind: 'container',
        container: { keys: { id, runtime: 'podman', name: 't1-early', image }, labels },
      },
      unknown: [],
      unknownWhy: '',
      asking: false,
      resource: {
        'container.id': id,
        'container.name': 't1-early',
        'container.image.name': 'localhost/discovery',
        'container.image.tags': ['1'],
        'container.runtime.name': 'podman',
      },
      uidMap: [[0, 0, 4294967295]],
    });
  });

  it('are never handed over before their root is their own', async () => {
    const early = new Map<string, boolean>();
    const watching = await SeenContainers.start([], ({ containerId, pid }) => {
      early.set(containerId, existsSync(`/proc/${pid}/root/etc/marker`));
    });
    const names = Array.from({ length: 6 }, (_, index) => `t1-storm-${index}`);
    const ids = await Promise.all(names.map((name) => sleeper(name)));
    for (const id of ids) await watching.until(id);
    watching.close();
    assert.deepEqual(
      ids.map((id) => early.get(id)),
      ids.map(() => true),
    );
    // Each once: what a runtime does before is nobody's init.
    for (const id of ids) {
      const times = [...watching.first.values()].filter(({ containerId }) => containerId === id);
      assert.equal(times.length, 1);
    }
    await podman.ok('rm', '--force', '--time', '0', ...names);
    for (const id of ids) await seen.untilGone(id);
  });

  it('keep their workload id under a new name, and get another with a new init', async () => {
    const id = await sleeper('t1-named', '--label=app=web');
    const first = await seen.until(id, told);
    await podman.ok('rename', 't1-named', 't1-renamed');
    const renamed = await seen.until(
      id,
      (each) => each.resource['container.name'] === 't1-renamed',
    );
    assert.equal(renamed.id, first.id);
    await podman.ok('restart', '--time', '0', 't1-renamed');
    const again = await seen.until(id, (each) => each.id !== first.id && told(each));
    assert.notEqual(again.pid, first.pid);
    assert.equal(again.resource['container.name'], 't1-renamed');
    await podman.ok('rm', '--force', '--time', '0', 't1-renamed');
    await seen.untilGone(id);
    // The same name, and other labels: another container.
    const next = await sleeper('t1-renamed', '--label=app=db');
    const other = await seen.until(next, told);
    assert.notEqual(other.id, again.id);
    assert.equal(other.workload.kind, 'container');
    assert.deepEqual(other.workload.kind === 'container' && other.workload.container.labels, {
      app: 'db',
    });
  });

  it('are none before they start, and stay while they are paused', async () => {
    const created = await podman.ok(
      ...['create', ...podman.runArgs, '--name', 't1-created', image, 'sleep', '300'],
    );
    const initialized = await podman.ok(
      ...['create', ...podman.runArgs, '--name', 't1-init', image, 'sleep', '300'],
    );
    // Its root is there and its program isn't run: what is rules' business may happen any moment.
    await podman.ok('init', 't1-init');
    const waiting = await seen.until(initialized, told);
    await podman.ok('start', 't1-init');
    await podman.ok('pause', 't1-init');
    await pause(1500);
    assert.equal(seen.of(initialized)?.id, waiting.id);
    assert.equal(seen.of(created), undefined);
    await podman.ok('unpause', 't1-init');
    await podman.ok('start', 't1-created');
    await seen.until(created, told);
  });

  it('are each their own in a pod, though they share name spaces', async () => {
    const infra = ['--infra-image', image, '--infra-command', '/bin/sleep 300'];
    const share = ['--share=ipc,uts,pid', '--network=none', `--cgroup-parent=/${podman.tag}`];
    await podman.ok('pod', 'create', '--name', 't1-pod', ...infra, ...share);
    const run = ['run', '--detach', '--pod', 't1-pod', '--network=none'];
    const a = await podman.ok(...run, '--name', 't1-a', image, 'sleep', '300');
    const b = await podman.ok(...run, '--name', 't1-b', image, 'sleep', '300');
    for (const [id, name] of [
      [a, 't1-a'],
      [b, 't1-b'],
    ] as const) {
      const found = await seen.until(id, told);
      assert.equal(found.resource['container.name'], name);
      assert.equal(
        found.pid,
        Number(await podman.ok('inspect', '--format', '{{.State.Pid}}', name)),
      );
    }
  });

  it('have the users that their user name space gives them', async () => {
    const id = await sleeper('t1-users', '--uidmap=0:100000:5000');
    assert.deepEqual((await seen.until(id)).uidMap, [[0, 100000, 5000]]);
  });

  it('that one runs inside another is of its own, and nobody outside says what it is', async () => {
    const outerId = await sleeper('t1-outer');
    const outer = await seen.until(outerId);
    const id = randomBytes(32).toString('hex');
    const cgroup = `libpod-${outerId}/docker/${id}`;
    const script = `echo "$$"; read go; exec "$@"`;
    const inner = spawn('setpriv', [
      ...['--pdeathsig', 'KILL', 'sh', '-c', script, 'sh'],
      ...['unshare', '--mount', 'chroot', root, 'sleep', '300'],
    ]);
    const chrooted = spawn('setpriv', [
      ...['--pdeathsig', 'KILL', 'sh', '-c', script, 'sh', 'nsenter', '--target', `${outer.pid}`],
      ...['--mount', 'chroot', '/', 'sleep', '300'],
    ]);
    const forged = randomBytes(32).toString('hex');
    try {
      joinCgroups(podman, cgroup, Number(await firstLine(inner)));
      joinCgroups(podman, `libpod-${outerId}/docker/${forged}`, Number(await firstLine(chrooted)));
      chrooted.stdin?.write('\n');
      inner.stdin?.write('\n');
      const found = await seen.until(id, ({ asking }) => !asking);
      assert.equal(found.cgroup, `/${podman.tag}/${cgroup}`);
      assert.deepEqual(found.unknown, ['name', 'image', 'labels', 'kubernetes']);
      assert.match(found.unknownWhy, /inside another container/);
      // One that has only a name is a part of the outer one.
      assert.equal(seen.of(forged), undefined);
    } finally {
      inner.kill('SIGKILL');
      chrooted.kill('SIGKILL');
    }
    await seen.untilGone(id);
  });

  it('that is a chroot only gets another workload id when another process takes over', async () => {
    const first = await ChrootContainer.start(podman, root);
    const before = await seen.until(first.id);
    assert.equal(before.pid, first.pid);
    const next = spawn('setpriv', [
      ...['--pdeathsig', 'KILL', 'sh', '-c', 'echo "$$"; read go; exec chroot "$0" sleep 300'],
      root,
    ]);
    const pid = Number(await firstLine(next));
    joinCgroups(podman, `docker-${first.id}.scope`, pid);
    next.stdin?.write('\n');
    await first.close();
    const taken = await seen.until(first.id, (each) => each.pid === pid);
    assert.notEqual(taken.id, before.id);
    next.kill('SIGKILL');
    await seen.untilGone(first.id);
  });

  it('are known without the socket but for their labels, and by these when it is back', async () => {
    const known = await sleeper('t1-known');
    await seen.until(known, told);
    await podman.endService();
    const id = await sleeper('t1-alone', '--label=app=late');
    const alone = await seen.until(id, ({ asking }) => !asking);
    assert.equal(alone.runtime, 'podman');
    assert.deepEqual(alone.unknown, ['labels']);
    assert.equal(alone.resource['container.name'], 't1-alone');
    assert.equal(alone.resource['container.image.name'], 'localhost/discovery');
    assert.match(alone.unknownWhy, /no container runtime listens at .*podman\.sock/);
    // What was known of the others doesn't change for that.
    assert.equal(seen.of(known)?.resource['container.name'], 't1-known');
    await podman.ok('rename', 't1-known', 't1-known-later');
    await podman.service();
    const back = await seen.until(id, told);
    assert.equal(back.id, alone.id);
    assert.ok(back.workload.kind === 'container');
    assert.deepEqual(back.workload.container.labels, { app: 'late' });
    await seen.until(known, (each) => each.resource['container.name'] === 't1-known-later');
  });

  it('tell their name and image from the first on, and no more where nobody notes it', async () => {
    const without = await SeenContainers.start([]);
    const id = await sleeper('t1-none');
    const { id: workload } = await without.until(id);
    const first = without.first.get(workload);
    assert.deepEqual(first?.unknown, ['labels']);
    assert.match(first?.unknownWhy ?? '', /no runtime that has such containers can be asked/);
    assert.equal(first?.resource['container.name'], 't1-none');
    const bare = await ChrootContainer.start(podman, root);
    const { unknown, resource } = await without.until(bare.id, ({ asking }) => !asking);
    await bare.close();
    without.close();
    assert.deepEqual(unknown, ['name', 'image', 'labels', 'kubernetes']);
    assert.deepEqual(resource, { 'container.id': bare.id, 'container.runtime.name': 'docker' });
  });
});

describe("containers of containerd's CRI", { skip: whyNoContainers() ?? whyNoContainerd() }, () => {
  const pod = {
    name: 'web-0',
    namespace: 'shop',
    uid: '3d1b5b0e-6c1f-4c39-9d6f-8a1c2f3e4d5b',
    labels: { app: 'web' },
    annotations: { 'kubernetes.io/service-account.name': 'web-runner' },
  };
  let podman: Podman;
  let containerd: Containerd;
  let parent: string;
  let seen: SeenContainers;

  before(async () => {
    podman = new Podman('discovery-cri');
    containerd = new Containerd();
    parent = `/${podman.tag}/kubepods/burstable/pod${pod.uid}`;
    await containerd.start();
    await podman.image(image, busyboxRoot(podman));
    const id = await podman.ok('create', '--network=none', image, 'true');
    const command = ['--change', 'CMD=["/bin/sleep","300"]', '--quiet'];
    await podman.ok('commit', ...command, id, 'localhost/shop:2');
    await containerd.takeImage(podman, 'localhost/shop:2');
    seen = await SeenContainers.start([{ api: 'cri', path: containerd.socket }]);
  });
  after(async () => {
    seen.close();
    await containerd.remove();
    await podman.remove();
  });

  it('are known with their pod, before and after the daemon was away', async () => {
    const sandbox = await containerd.runPod(pod, parent);
    const app = { name: 'app', image: 'localhost/shop:2', command: ['sleep', '300'] };
    const id = await containerd.runContainer(sandbox, pod, parent, app);
    const found = await seen.until(id, told);
    assert.equal(found.cgroup, `${parent}/${id}`);
    assert.deepEqual(found.resource, {
      'container.id': id,
      'container.name': 'app',
      'container.image.name': 'localhost/shop',
      'container.image.tags': ['2'],
      'container.runtime.name': 'containerd',
      'k8s.pod.name': 'web-0',
      'k8s.pod.uid': pod.uid,
      'k8s.namespace.name': 'shop',
      'k8s.container.name': 'app',
    });
    assert.deepEqual(found.unknown, []);
    assert.ok(found.workload.kind === 'container');
    assert.deepEqual(found.workload.kubernetes?.keys, {
      namespace: 'shop',
      pod: 'web-0',
      container: 'app',
      service_account: 'web-runner',
    });
    assert.equal(found.workload.kubernetes?.labels?.['app'], 'web');
    const pause = await seen.until(sandbox, told);
    assert.ok(pause.workload.kind === 'container');
    assert.equal(pause.workload.kubernetes?.keys['container'], '');

    await containerd.stop();
    const late = await SeenContainers.start([{ api: 'cri', path: containerd.socket }]);
    const unknown = await late.until(id, ({ asking }) => !asking);
    assert.deepEqual(unknown.unknown, ['name', 'image', 'labels', 'kubernetes']);
    assert.deepEqual(unknown.resource, { 'container.id': id, 'k8s.pod.uid': pod.uid });
    await containerd.start();
    const back = await late.until(id, told);
    late.close();
    assert.equal(back.id, unknown.id);
    assert.equal(back.resource['k8s.namespace.name'], 'shop');
    await containerd.removePod(sandbox);
    await seen.untilGone(id);
    await seen.untilGone(sandbox);
  });
});

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => child.stdout?.once('data', (text) => resolve(String(text))));
}

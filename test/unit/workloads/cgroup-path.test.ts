import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cgroupOfText, containerOfCgroup } from '../../../src/workloads/cgroup-path.ts';

const id = '7be92808767a667f35c8505cbf40d14e931ef6db5b0210329cf193b15ba9d605';
const other = '51d3ee14c36ea3bfc5a9cc2e36a4c2d0c1a4cbd8f6dd6b1f54e8a8b8f5a9e1d2';
const uid = '3d1b5b0e-6c1f-4c39-9d6f-8a1c2f3e4d5b';
const slice = uid.replaceAll('-', '_');
const user = '/user.slice/user-1000.slice/user@1000.service';

/** Path to runtime, where the container's cgroup ends when not at the end of the path, and what else it tells. */
const containers: readonly (readonly [
  what: string,
  path: string,
  runtime: string,
  rest?: string,
  more?: object,
])[] = [
  ['Docker, cgroupfs', `/docker/${id}`, 'docker'],
  ['Docker, cgroupfs, below a parent', `/batch/jobs/${id}`, ''],
  ['Docker, systemd', `/system.slice/docker-${id}.scope`, 'docker'],
  ['Docker, systemd inside', `/system.slice/docker-${id}.scope`, 'docker', '/init.scope'],
  ['Docker, rootless', `${user}/user.slice/docker-${id}.scope`, 'docker', '', { user: 1000 }],
  ['Docker, systemd path at the cgroupfs driver', `/system.slice:docker:${id}`, 'docker'],
  ["Docker's builder", `/docker/buildkit/x1f0q6w2l4mzv8r1c3t5y7u9i`, 'docker'],
  ['Docker on ECS', `/ecs/0aa58ca7-5f2d-4f6c-9c29-5d9ad94d4d2f/${id}`, 'docker'],
  ['GitHub runner', `/actions_job/${id}`, ''],
  ['Podman, cgroupfs', `/libpod_parent/libpod-${id}`, 'podman'],
  ['Podman, cgroupfs, in a pod', `/libpod_parent/${other}/libpod-${id}`, 'podman'],
  ['Podman, in a pod below a parent', `/mine/${other}/libpod-${id}`, 'podman'],
  ['Podman, systemd', `/machine.slice/libpod-${id}.scope`, 'podman'],
  ['Podman, systemd, v2', `/machine.slice/libpod-${id}.scope`, 'podman', '/container'],
  [
    'Podman, systemd, in a pod',
    `/machine.slice/machine-libpod_pod_${other}.slice/libpod-${id}.scope`,
    'podman',
    '/container',
  ],
  [
    'Podman, rootless',
    `${user}/user.slice/libpod-${id}.scope`,
    'podman',
    '/container',
    { user: 1000 },
  ],
  ['Podman, Quadlet', `/system.slice/web.service/libpod-payload-${id}`, 'podman'],
  ['Buildah', `/system.slice/buildah-buildah1234567.scope`, 'buildah'],
  ['ctr', `/default/redis-1`, 'containerd'],
  ['nerdctl, cgroupfs', `/default/${id}`, 'containerd'],
  ['nerdctl, systemd', `/system.slice/nerdctl-${id}.scope`, 'containerd'],
  ['containerd, CRI without a parent', `/k8s.io/${id}`, 'containerd'],
  ['runc alone', `/user.slice/runc-my-box.scope`, 'runc'],
  ['crun alone', `/system.slice/crun-my_box.scope`, 'crun'],
  [
    'Kubernetes, cgroupfs, burstable',
    `/kubepods/burstable/pod${uid}/${id}`,
    '',
    '',
    { podUid: uid },
  ],
  ['Kubernetes, cgroupfs, guaranteed', `/kubepods/pod${uid}/${id}`, '', '', { podUid: uid }],
  [
    'Kubernetes, an id that is not hexadecimal',
    `/kubepods/besteffort/pod${uid}/sandbox-1.app`,
    '',
    '',
    { podUid: uid },
  ],
  [
    'Kubernetes, static pod',
    `/kubepods/burstable/podd4bfa1ac0a1f2b3c4d5e6f708192a3b4/${id}`,
    '',
    '',
    { podUid: 'd4bfa1ac0a1f2b3c4d5e6f708192a3b4' },
  ],
  [
    'Kubernetes, containerd, systemd',
    `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${slice}.slice/cri-containerd-${id}.scope`,
    'containerd',
    '',
    { podUid: uid },
  ],
  [
    'Kubernetes, containerd, an id that is not hexadecimal',
    `/kubepods.slice/kubepods-pod${slice}.slice/cri-containerd-web_1.scope`,
    'containerd',
    '',
    { podUid: uid },
  ],
  [
    'Kubernetes, containerd, systemd path at the cgroupfs driver',
    `/system.slice/containerd.service/kubepods-besteffort-pod${slice}.slice:cri-containerd:${id}`,
    'containerd',
    '',
    { podUid: uid },
  ],
  [
    'Kubernetes, CRI-O, systemd, v2',
    `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${slice}.slice/crio-${id}.scope`,
    'cri-o',
    '/container',
    { podUid: uid },
  ],
  [
    'Kubernetes, CRI-O, cgroupfs',
    `/kubepods/besteffort/pod${uid}/crio-${id}`,
    'cri-o',
    '',
    { podUid: uid },
  ],
  [
    'Kubernetes, Docker, systemd',
    `/kubepods.slice/kubepods-pod${slice}.slice/docker-${id}.scope`,
    'docker',
    '',
    { podUid: uid },
  ],
  [
    'Kubernetes, a runtime not known here',
    `/kubepods.slice/kubepods-pod${slice}.slice/isulad-${id}.scope`,
    '',
    '',
    { podUid: uid },
  ],
  ['in a cgroup name space beside ours', `/../cri-containerd-${id}.scope`, 'containerd'],
  [
    'Docker in Docker',
    `/docker/${other}/docker/${id}`,
    'docker',
    '',
    { outer: `/docker/${other}` },
  ],
  [
    'kind: Kubernetes in Docker',
    `/system.slice/docker-${other}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod${slice}.slice/cri-containerd-${id}.scope`,
    'containerd',
    '',
    { podUid: uid, outer: `/system.slice/docker-${other}.scope` },
  ],
  [
    'Podman in a pod',
    `/kubepods/burstable/pod${uid}/${other}/libpod_parent/libpod-${id}`,
    'podman',
    '',
    { outer: `/kubepods/burstable/pod${uid}/${other}` },
  ],
];

const none = [
  '',
  '/',
  '/init.scope',
  '/system.slice/docker.service',
  '/system.slice/docker-proxy.service',
  '/system.slice/crio-wipe.service',
  '/machine.slice',
  '/libpod_parent',
  '/libpod_parent/conmon',
  `/libpod_parent/${id}`,
  `/machine.slice/libpod-conmon-${id}.scope`,
  `/machine.slice/machine-libpod_pod_${id}.slice`,
  `/system.slice/crio-conmon-${id}.scope`,
  `/kubepods/besteffort/pod${uid}`,
  `/kubepods/besteffort/pod${uid}/crio-conmon-${id}`,
  `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${slice}.slice`,
  '/user.slice/user-1000.slice/session-1.scope',
  '/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-1234.scope',
  '/machine.slice/machine-qemu\\x2d1\\x2dvm.scope',
  '/system.slice/run-p1234-i5678.scope',
  `/docker/${id.slice(1)}`,
  `/docker/${id.toUpperCase()}`,
  '/system.slice/docker-.scope',
  `/system.slice/docker-${'a'.repeat(300)}.scope`,
  `/${'a/'.repeat(3000)}docker/${id}`,
];

describe('the container of a cgroup path', () => {
  for (const [what, path, runtime, rest = '', more = {}] of containers) {
    it(`is known: ${what}`, () => {
      const last =
        path
          .split(/[/:]/)
          .at(-1)
          ?.replace(/\.scope$/, '') ?? '';
      const containerId = last.endsWith(id)
        ? id
        : last.replace(/^(?:buildah|runc|crun|cri-containerd)-/, '');
      assert.deepEqual(containerOfCgroup(path + rest), {
        cgroup: path,
        containerId,
        runtime,
        ...more,
      });
    });
  }
  for (const path of none) {
    it(`is none: ${path.slice(0, 80)}`, () => {
      assert.equal(containerOfCgroup(path), undefined);
    });
  }
});

describe('the cgroup of a process', () => {
  it('is that of the systemd hierarchy, else of v2, else the first', () => {
    const v1 = '12:pids:/a\n11:memory:/b\n1:name=systemd:/c\n';
    assert.equal(cgroupOfText(v1), '/c');
    assert.equal(cgroupOfText(`${v1}0::/d\n`), '/c');
    assert.equal(cgroupOfText('4:memory:/b\n0::/d\n'), '/d');
    assert.equal(cgroupOfText('0::/d/e:f\n'), '/d/e:f');
    assert.equal(cgroupOfText('4:memory:/b\n3:pids:/x\n'), '/b');
    assert.equal(cgroupOfText('0::/docker/x (deleted)\n'), '/docker/x');
    assert.equal(cgroupOfText(''), '');
  });
});

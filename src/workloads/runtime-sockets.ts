/** Where container runtimes listen. */
import { readdirSync } from 'node:fs';

/** A runtime's socket: the Docker Engine API (Docker, Podman) or CRI (containerd, CRI-O, cri-dockerd). */
export interface RuntimeSocket {
  readonly api: 'docker' | 'cri';
  readonly path: string;
  /** Who is expected to answer there, as `container.runtime.name`; absent: anybody. */
  readonly runtime?: string;
  /** Of a user's own runtime: it is believed for that user's containers only. */
  readonly user?: number;
}

/** CRI first: it knows of pods what Docker's API doesn't. */
const usual: readonly RuntimeSocket[] = [
  { api: 'cri', path: '/run/containerd/containerd.sock', runtime: 'containerd' },
  { api: 'cri', path: '/run/k3s/containerd/containerd.sock', runtime: 'containerd' },
  { api: 'cri', path: '/run/k0s/containerd.sock', runtime: 'containerd' },
  { api: 'cri', path: '/var/snap/microk8s/common/run/containerd.sock', runtime: 'containerd' },
  { api: 'cri', path: '/run/crio/crio.sock', runtime: 'cri-o' },
  { api: 'cri', path: '/run/cri-dockerd.sock', runtime: 'docker' },
  { api: 'docker', path: '/run/docker.sock', runtime: 'docker' },
  { api: 'docker', path: '/run/podman/podman.sock', runtime: 'podman' },
];

const overrides: readonly (readonly [variable: string, api: RuntimeSocket['api']])[] = [
  ['CONTAINER_RUNTIME_ENDPOINT', 'cri'],
  ['DOCKER_HOST', 'docker'],
  ['CONTAINER_HOST', 'docker'],
];

/** The usual places, and what the variables name that the runtimes' own tools read; unix sockets only. */
export function runtimeSockets(env: NodeJS.ProcessEnv = process.env): readonly RuntimeSocket[] {
  const named = overrides.flatMap(([variable, api]) => {
    const path = (env[variable] ?? '').replace(/^unix:(?:\/\/)?/, '');
    return path.startsWith('/') && !usual.some((each) => each.path === path) ? [{ api, path }] : [];
  });
  return [...named, ...usual];
}

const maxUsers = 64;
const userRuntimes = [
  ['docker', 'docker.sock'],
  ['podman', 'podman/podman.sock'],
] as const;

/** Of users who are logged in, or linger. */
export function userSockets(folder = '/run/user'): readonly RuntimeSocket[] {
  let names: readonly string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  const users = names.filter((name) => /^[1-9]\d*$/.test(name)).slice(0, maxUsers);
  return users.flatMap((name) =>
    userRuntimes.map(([runtime, socket]) => ({
      api: 'docker' as const,
      path: `${folder}/${name}/${socket}`,
      runtime,
      user: Number(name),
    })),
  );
}

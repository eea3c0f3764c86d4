/**
 * containerd with its CRI plugin, with storage, state and socket of its own below one temporary folder, and what kubelet asks
 * of it. Pods use the host's network: no CNI is needed.
 * Owns the daemon and all pods; `remove` takes them and the folder away.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  createWriteStream,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import {
  credentials,
  loadPackageDefinition,
  type ServiceClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import { run } from '../kernel/children.ts';
import type { Podman } from './podman.ts';

/** Why it can't run here; undefined when it can. */
export function whyNoContainerd(): string | undefined {
  for (const program of ['containerd', 'ctr']) {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`]);
    } catch {
      return `${program} is not installed (.ci/setup --tests installs it)`;
    }
  }
  return undefined;
}

export interface Pod {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

const sandboxImage = 'localhost/pause:1';

const configuration = (base: string): string => `
version = 2
root = "${base}/root"
state = "${base}/state"
[grpc]
  address = "${base}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${sandboxImage}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${base}/cni"
    conf_dir = "${base}/cni"
`;

export class Containerd {
  readonly base = mkdtempSync('/tmp/fileward-containerd-');
  readonly socket = `${this.base}/containerd.sock`;
  readonly #pods: string[] = [];
  #daemon: ChildProcess | undefined;

  /** Returns when it answers. */
  async start(): Promise<void> {
    writeFileSync(`${this.base}/config.toml`, configuration(this.base));
    const program = ['containerd', '--config', `${this.base}/config.toml`];
    const daemon = spawn('setpriv', ['--pdeathsig', 'KILL', ...program], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    daemon.stderr.pipe(createWriteStream(`${this.base}/log`, { flags: 'a' }));
    this.#daemon = daemon;
    for (let look = 0; look < 300; look++) {
      if (existsSync(this.socket) && (await this.#answers())) return;
      await pause(100);
    }
    throw new Error(`containerd did not come up: ${readFileSync(`${this.base}/log`, 'utf8')}`);
  }

  /** Ends the daemon; its containers stay. */
  async stop(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    if (daemon === undefined || daemon.exitCode !== null) return;
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill('SIGTERM');
    await ended;
    rmSync(this.socket, { force: true });
  }

  /** Takes an image of Podman's over, under its name and as that of pods' sandboxes; it must have a command. */
  async takeImage(podman: Podman, name: string): Promise<void> {
    await podman.ok('tag', name, sandboxImage);
    const archive = `${this.base}/image.tar`;
    await podman.ok(
      'save',
      '--quiet',
      '--multi-image-archive',
      '--output',
      archive,
      name,
      sandboxImage,
    );
    const ctr = ['--address', this.socket, '--namespace', 'k8s.io'];
    const { code, stderr } = await run('ctr', [...ctr, 'images', 'import', archive]);
    if (code !== 0) throw new Error(stderr);
  }

  /** Runs a pod's sandbox; returns its id. */
  async runPod(pod: Pod, cgroupParent: string): Promise<string> {
    const config = podConfig(pod, cgroupParent);
    const answer = (await call(this.socket, 'RunPodSandbox', { config })) as {
      podSandboxId: string;
    };
    this.#pods.push(answer.podSandboxId);
    return answer.podSandboxId;
  }

  /** Runs a container in it; returns its id. */
  async runContainer(
    podSandboxId: string,
    pod: Pod,
    cgroupParent: string,
    container: { name: string; image: string; command: readonly string[] },
  ): Promise<string> {
    const { name, image, command } = container;
    const labels = { ...kubeletLabels(pod), 'io.kubernetes.container.name': name };
    const config = { metadata: { name }, image: { image }, command, labels, linux: {} };
    const sandboxConfig = podConfig(pod, cgroupParent);
    const request = { podSandboxId, config, sandboxConfig };
    const { containerId } = (await call(this.socket, 'CreateContainer', request)) as {
      containerId: string;
    };
    await call(this.socket, 'StartContainer', { containerId });
    return containerId;
  }

  async removePod(podSandboxId: string): Promise<void> {
    await call(this.socket, 'StopPodSandbox', { podSandboxId });
    await call(this.socket, 'RemovePodSandbox', { podSandboxId });
    this.#pods.splice(this.#pods.indexOf(podSandboxId), 1);
  }

  async remove(): Promise<void> {
    if (this.#daemon === undefined) await this.start();
    for (const each of [...this.#pods]) await this.removePod(each);
    await this.stop();
    rmSync(this.base, { recursive: true, force: true });
  }

  async #answers(): Promise<boolean> {
    return await call(this.socket, 'Version', {}).then(
      () => true,
      () => false,
    );
  }
}

function kubeletLabels({ name, namespace, uid }: Pod): Record<string, string> {
  return {
    'io.kubernetes.pod.name': name,
    'io.kubernetes.pod.namespace': namespace,
    'io.kubernetes.pod.uid': uid,
  };
}

function podConfig(pod: Pod, cgroupParent: string): object {
  const { name, namespace, uid, labels, annotations = {} } = pod;
  const ofNode = 2;
  return {
    metadata: { name, namespace, uid },
    labels: { ...kubeletLabels(pod), ...labels },
    annotations,
    linux: { cgroupParent, securityContext: { namespaceOptions: { network: ofNode } } },
  };
}

const text = (id: number) => ({ type: 'string', id });
const of = (type: string, id: number) => ({ type, id });
const map = (id: number) => ({ keyType: 'string', type: 'string', id });

/** The part of runtime.v1 that starts and ends things. */
const messages = {
  VersionRequest: {},
  VersionResponse: {},
  PodSandboxMetadata: { name: text(1), uid: text(2), namespace: text(3) },
  NamespaceOption: { network: of('int32', 1) },
  LinuxSandboxSecurityContext: { namespaceOptions: of('NamespaceOption', 1) },
  LinuxPodSandboxConfig: {
    cgroupParent: text(1),
    securityContext: of('LinuxSandboxSecurityContext', 2),
  },
  PodSandboxConfig: {
    metadata: of('PodSandboxMetadata', 1),
    labels: map(6),
    annotations: map(7),
    linux: of('LinuxPodSandboxConfig', 8),
  },
  RunPodSandboxRequest: { config: of('PodSandboxConfig', 1) },
  RunPodSandboxResponse: { podSandboxId: text(1) },
  StopPodSandboxRequest: { podSandboxId: text(1) },
  StopPodSandboxResponse: {},
  RemovePodSandboxRequest: { podSandboxId: text(1) },
  RemovePodSandboxResponse: {},
  ContainerMetadata: { name: text(1) },
  ImageSpec: { image: text(1) },
  LinuxContainerConfig: {},
  ContainerConfig: {
    metadata: of('ContainerMetadata', 1),
    image: of('ImageSpec', 2),
    command: { rule: 'repeated' as const, ...text(3) },
    labels: map(9),
    linux: of('LinuxContainerConfig', 15),
  },
  CreateContainerRequest: {
    podSandboxId: text(1),
    config: of('ContainerConfig', 2),
    sandboxConfig: of('PodSandboxConfig', 3),
  },
  CreateContainerResponse: { containerId: text(1) },
  StartContainerRequest: { containerId: text(1) },
  StartContainerResponse: {},
};

const fields = Object.entries(messages).map(([name, each]) => [name, { fields: each }]);
const methods = Object.keys(messages)
  .filter((name) => name.endsWith('Request'))
  .map((name) => name.slice(0, -'Request'.length))
  .map((name) => [
    name,
    { requestType: `${name}Request`, responseType: `${name}Response`, comment: '' },
  ]);
const nested = {
  ...Object.fromEntries(fields),
  RuntimeService: { methods: Object.fromEntries(methods) },
};
const Service = (
  loadPackageDefinition(
    fromJSON({ nested: { runtime: { nested: { v1: { nested } } } } }),
  ) as unknown as { runtime: { v1: { RuntimeService: ServiceClientConstructor } } }
).runtime.v1.RuntimeService;

function call(socket: string, method: string, request: object): Promise<object> {
  const client = new Service(`unix:${socket}`, credentials.createInsecure());
  const { promise, resolve, reject } = Promise.withResolvers<object>();
  const deadline = Date.now() + 30_000;
  const methods = client as unknown as Record<
    string,
    (
      request: object,
      options: object,
      callback: (error: ServiceError | null, response: object) => void,
    ) => void
  >;
  methods[method]?.(request, { deadline }, (error, response) =>
    error ? reject(error) : resolve(response),
  );
  return promise.finally(() => client.close());
}

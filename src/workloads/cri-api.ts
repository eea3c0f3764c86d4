/**
 * The Container Runtime Interface over gRPC on a unix socket, as containerd and CRI-O serve it to kubelet.
 * Owns one gRPC channel. It has no events that all runtimes offer, and needs none: what it says of a container or a pod never
 * changes (kubelet doesn't tell a runtime of labels changed later).
 */
import { credentials, status as grpcStatus } from '@grpc/grpc-js';
import {
  type CriContainer,
  type CriMethod,
  type CriRequest,
  type CriResponse,
  CriRuntimeService,
  type CriSandbox,
  type CriService,
} from './cri-protocol.ts';
import {
  answerTimeoutMs,
  boundedLabels,
  boundedName,
  type ContainerFacts,
  type FollowHooks,
  type KubernetesFacts,
  maxAnswerBytes,
  type RuntimeClient,
} from './runtime-client.ts';

/** Some admission controllers and schedulers note it there; the interface itself has no field for it. */
const serviceAccountAnnotations = [
  'kubernetes.io/service-account.name',
  'io.kubernetes.pod.serviceAccountName',
];

export class CriApi implements RuntimeClient {
  readonly #service: CriService;
  #runtime = '';
  #fail: (error: Error) => void = () => {};

  constructor(socketPath: string) {
    this.#service = new CriRuntimeService(`unix:${socketPath}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': maxAnswerBytes,
      'grpc.use_local_subchannel_pool': 1,
    }) as unknown as CriService;
  }

  async identify(): Promise<string> {
    const { runtimeName } = await this.#ask('Version', {});
    this.#runtime = boundedName(runtimeName) ?? '';
    return this.#runtime;
  }

  async list(): Promise<ReadonlyMap<string, ContainerFacts>> {
    const [{ containers }, { items }] = await Promise.all([
      this.#ask('ListContainers', {}),
      this.#ask('ListPodSandbox', {}),
    ]);
    const sandboxes = new Map(items.map((each) => [each.id, each]));
    const facts = new Map(items.map((each) => [each.id, this.#sandboxFacts(each)]));
    for (const each of containers) {
      facts.set(each.id, await this.#containerFacts(each, sandboxes.get(each.podSandboxId)));
    }
    return facts;
  }

  async find(containerId: string): Promise<ContainerFacts | undefined> {
    const { containers } = await this.#ask('ListContainers', { filter: { id: containerId } });
    const container = containers.find((each) => each.id === containerId);
    const sandbox = await this.#sandbox(container?.podSandboxId ?? containerId);
    if (container) return this.#containerFacts(container, sandbox);
    return sandbox && this.#sandboxFacts(sandbox);
  }

  follow(hooks: FollowHooks): Promise<never> {
    hooks.onReady();
    const { promise, reject } = Promise.withResolvers<never>();
    this.#fail = reject;
    return promise;
  }

  close(): void {
    this.#fail(new Error('closed'));
    this.#service.close();
  }

  async #sandbox(id: string): Promise<CriSandbox | undefined> {
    const { items } = await this.#ask('ListPodSandbox', { filter: { id } });
    return items.find((each) => each.id === id);
  }

  async #containerFacts(container: CriContainer, sandbox?: CriSandbox): Promise<ContainerFacts> {
    const name = boundedName(container.metadata?.name);
    const image = boundedName(await this.#imageOf(container));
    const labels = boundedLabels(container.labels);
    return {
      runtime: this.#runtime,
      ...(name !== undefined && { name }),
      ...(image !== undefined && { image }),
      ...(labels && { labels }),
      kubernetes: sandbox ? kubernetesOf(sandbox, name) : {},
    };
  }

  #sandboxFacts(sandbox: CriSandbox): ContainerFacts {
    const labels = boundedLabels(sandbox.labels);
    return {
      runtime: this.#runtime,
      // As kubelet calls it; of its image the interface says nothing, and no criterion means it.
      name: 'POD',
      image: '',
      ...(labels && { labels }),
      kubernetes: kubernetesOf(sandbox, ''),
    };
  }

  /** kubelet asks for images by id; what the pod's author wrote is another field, or the image's first name. */
  async #imageOf({ id, image }: CriContainer): Promise<string | undefined> {
    if (image?.userSpecifiedImage) return image.userSpecifiedImage;
    if (image && !/^(?:sha256:)?[0-9a-f]{64}$/.test(image.image)) return image.image;
    const { status } = await this.#ask('ContainerStatus', { containerId: id });
    return status?.image?.image || image?.image;
  }

  #ask<M extends CriMethod>(method: M, request: CriRequest<M>): Promise<CriResponse<M>> {
    const { promise, resolve, reject } = Promise.withResolvers<CriResponse<M>>();
    const options = { deadline: Date.now() + answerTimeoutMs };
    this.#service[method](request, options, (error, response) => {
      if (response !== undefined) resolve(response as CriResponse<M>);
      else reject(new Error(error ? `${grpcStatus[error.code]}: ${error.details}` : 'no answer'));
    });
    return promise;
  }
}

function kubernetesOf(sandbox: CriSandbox, container: string | undefined): KubernetesFacts {
  const namespace = boundedName(sandbox.metadata?.namespace);
  const pod = boundedName(sandbox.metadata?.name);
  const podUid = boundedName(sandbox.metadata?.uid);
  const labels = boundedLabels(sandbox.labels);
  const annotation = serviceAccountAnnotations.find((each) => sandbox.annotations[each]);
  const serviceAccount = boundedName(annotation && sandbox.annotations[annotation]);
  return {
    ...(namespace !== undefined && { namespace }),
    ...(pod !== undefined && { pod }),
    ...(podUid !== undefined && { podUid }),
    ...(container !== undefined && { container }),
    ...(serviceAccount !== undefined && { serviceAccount }),
    ...(labels && { labels }),
  };
}

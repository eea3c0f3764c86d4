/** What a container runtime's API is asked for. All it says is untrusted text: lengths are bounded here. */

export interface ContainerFacts {
  /** As `container.runtime.name`. */
  readonly runtime: string;
  /** Absent, here and below: the runtime doesn't say, or says more than is believed. */
  readonly name?: string;
  /** With tag or digest, as it was asked for. */
  readonly image?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Absent: not run by Kubernetes. */
  readonly kubernetes?: KubernetesFacts;
}

export interface KubernetesFacts {
  readonly namespace?: string;
  readonly pod?: string;
  readonly podUid?: string;
  /** '' for the sandbox (pause) container. */
  readonly container?: string;
  readonly serviceAccount?: string;
  /** The pod's. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface FollowHooks {
  /** From here on no change is missed. */
  readonly onReady: () => void;
  /** Something about this container may have changed; `created`: what the runtime says of a new one before it answers. */
  readonly onStir: (containerId: string, created?: ContainerFacts) => void;
  readonly onRemoved: (containerId: string) => void;
}

/** Every call fails with an Error whose message is for people, after `answerTimeoutMs` at the latest; `follow` lasts. */
export interface RuntimeClient {
  /** `container.runtime.name` of who answers. */
  identify(): Promise<string>;
  /** Running containers by id. */
  list(): Promise<ReadonlyMap<string, ContainerFacts>>;
  /** Undefined: it doesn't know such a container. */
  find(containerId: string): Promise<ContainerFacts | undefined>;
  /** Until the connection ends, which is an error, or until `close`. */
  follow(hooks: FollowHooks): Promise<never>;
  close(): void;
}

export const answerTimeoutMs = 5000;
/** A list of some thousand containers with all their labels. */
export const maxAnswerBytes = 16 * 1024 * 1024;

const maxNameLength = 1024;
const maxLabels = 1024;
const maxLabelsLength = 64 * 1024;

/** Undefined for what is no text, empty or too long to be a name. */
export function boundedName(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= maxNameLength
    ? value
    : undefined;
}

/** Undefined for what is no map of text, or so large that it is not kept: then nothing of it counts as known. */
export function boundedLabels(value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object') return undefined;
  const entries = Object.entries(value);
  let length = 0;
  for (const [key, text] of entries) {
    if (typeof text !== 'string') return undefined;
    length += key.length + text.length;
  }
  if (entries.length > maxLabels || length > maxLabelsLength) return undefined;
  return Object.fromEntries(entries);
}

const sandboxTypes = ['podsandbox', 'sandbox'];

/** From the labels that kubelet gives every container; undefined when there are none. */
export function kubernetesOfLabels(
  labels: Readonly<Record<string, string>>,
): KubernetesFacts | undefined {
  const namespace = labels['io.kubernetes.pod.namespace'];
  const pod = labels['io.kubernetes.pod.name'];
  if (namespace === undefined || pod === undefined) return undefined;
  const podUid = labels['io.kubernetes.pod.uid'];
  const type = labels['io.kubernetes.docker.type'] ?? '';
  const container = sandboxTypes.includes(type) ? '' : labels['io.kubernetes.container.name'];
  return {
    namespace,
    pod,
    ...(podUid !== undefined && { podUid }),
    ...(container !== undefined && { container }),
  };
}

/** Puts together what a cgroup, a process and a runtime tell of one container. */
import type { Workload } from '../policy/members.ts';
import type { ContainerCgroup } from './cgroup-path.ts';
import type { ContainerWorkload, UnknownFact } from './container-workload.ts';
import type { ContainerFacts, KubernetesFacts } from './runtime-client.ts';
import type { Told } from './runtime-facts.ts';

type Description = Pick<
  ContainerWorkload,
  'runtime' | 'workload' | 'unknown' | 'unknownWhy' | 'asking' | 'resource'
>;

export function describeContainer(place: ContainerCgroup, told: Told): Description {
  const { facts } = told;
  const runtime = facts?.runtime || place.runtime;
  const kubernetes = facts ? facts.kubernetes : mayBeKubernetes(place) ? {} : undefined;
  const unknown = unknownFacts(facts, kubernetes);
  return {
    runtime,
    workload: workloadOf(place.containerId, runtime, facts, kubernetes),
    unknown,
    unknownWhy: unknown.length === 0 ? '' : told.why || whyMissing(unknown),
    asking: told.asking,
    resource: resourceOf(place, runtime, facts, kubernetes),
  };
}

/** Podman runs no containers for kubelet. */
function mayBeKubernetes({ runtime }: ContainerCgroup): boolean {
  return runtime !== 'podman';
}

function unknownFacts(
  facts: ContainerFacts | undefined,
  kubernetes: KubernetesFacts | undefined,
): UnknownFact[] {
  const unknown: UnknownFact[] = [];
  if (facts?.name === undefined) unknown.push('name');
  if (facts?.image === undefined) unknown.push('image');
  if (facts?.labels === undefined) unknown.push('labels');
  if (kubernetes === undefined) return unknown;
  const { namespace, pod, container, labels } = kubernetes;
  const all = [namespace, pod, container, labels];
  if (all.includes(undefined)) unknown.push('kubernetes');
  else if (kubernetes.serviceAccount === undefined) unknown.push('service_account');
  return unknown;
}

function whyMissing(unknown: readonly UnknownFact[]): string {
  return unknown.every((each) => each === 'service_account')
    ? 'container runtimes are not told of service accounts'
    : "the runtime doesn't say, or says more than is kept";
}

function workloadOf(
  id: string,
  runtime: string,
  facts: ContainerFacts | undefined,
  kubernetes: KubernetesFacts | undefined,
): Workload {
  const { name, image, labels } = facts ?? {};
  return {
    kind: 'container',
    container: {
      keys: { id, runtime: runtime || undefined, name, image },
      ...(labels && { labels }),
    },
    ...(kubernetes && {
      kubernetes: {
        keys: {
          namespace: kubernetes.namespace,
          pod: kubernetes.pod,
          container: kubernetes.container,
          service_account: kubernetes.serviceAccount,
        },
        ...(kubernetes.labels && { labels: kubernetes.labels }),
      },
    }),
  };
}

function resourceOf(
  place: ContainerCgroup,
  runtime: string,
  facts: ContainerFacts | undefined,
  kubernetes: KubernetesFacts | undefined,
): ContainerWorkload['resource'] {
  const { name, tag } = partsOfImage(facts?.image ?? '');
  const all = {
    'container.id': place.containerId,
    'container.name': facts?.name,
    'container.image.name': name,
    'container.image.tags': tag === undefined ? undefined : [tag],
    'container.runtime.name': runtime,
    'k8s.pod.name': kubernetes?.pod,
    // kubelet names the pod's cgroup after it.
    'k8s.pod.uid': kubernetes?.podUid ?? place.podUid,
    'k8s.namespace.name': kubernetes?.namespace,
    'k8s.container.name': kubernetes?.container,
  };
  return Object.fromEntries(
    Object.entries(all).flatMap(([key, value]) => (value ? [[key, value]] : [])),
  );
}

/** `registry:5000/a/b:tag@sha256:…`: name and tag, as the semantic conventions have them. */
function partsOfImage(image: string): { name: string; tag?: string } {
  const [named = ''] = image.split('@');
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const isId = /^sha256:/.test(named);
  if (colon < 0 || isId) return { name: named };
  return { name: named.slice(0, colon), tag: named.slice(colon + 1) };
}

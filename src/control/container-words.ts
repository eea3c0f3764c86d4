/** A container as people are told of it. */
import type { ContainerWorkload } from '../workloads/container-workload.ts';

/** '' for what is not known or not so. */
export interface ContainerFacts {
  readonly name: string;
  readonly image: string;
  readonly pod: string;
  readonly namespace: string;
}

export function factsOf({ workload }: ContainerWorkload): ContainerFacts {
  const keys = workload.kind === 'container' ? workload.container.keys : {};
  const { name = '', image = '' } = keys;
  const { pod = '', namespace = '' } =
    workload.kind === 'container' ? (workload.kubernetes?.keys ?? {}) : {};
  return { name, image, pod, namespace };
}

/** Its name, or its id as runtimes shorten it. */
export function nameOf(container: ContainerWorkload): string {
  return factsOf(container).name || container.containerId.slice(0, 12);
}

/** `Container web-1 (podman, docker.io/library/nginx:1.27)` */
export function describe(container: ContainerWorkload): string {
  const about = [container.runtime, factsOf(container).image].filter(Boolean).join(', ');
  return `Container ${nameOf(container)}${about === '' ? '' : ` (${about})`}`;
}

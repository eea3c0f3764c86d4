/** One container as the rest of the program knows it. */
import type { Workload } from '../policy/members.ts';

/** What no cgroup tells, only a runtime. `service_account`: known of few Kubernetes containers. */
export type UnknownFact = 'name' | 'image' | 'labels' | 'kubernetes' | 'service_account';

export interface ContainerWorkload {
  /** The native WorkloadId: from 1, never used again while the agent runs. */
  readonly id: number;
  readonly containerId: string;
  /** `container.runtime.name`: docker, podman, containerd, cri-o; '' when not known. */
  readonly runtime: string;
  /** Its init, whose root is the container's, by host pid. */
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat. */
  readonly startTicks: string;
  /** As /proc/<pid>/cgroup names it (systemd hierarchy, else v2, else the first), up to the segment with the id. */
  readonly cgroup: string;
  /** For criteria. */
  readonly workload: Workload;
  /** Empty: all is known. */
  readonly unknown: readonly UnknownFact[];
  /** For people; '' when nothing is unknown. */
  readonly unknownWhy: string;
  /** True: a runtime has been asked just now and answers within 100 ms or so; what is unknown is no gap yet. */
  readonly asking: boolean;
  /** `container.*` and `k8s.*` only. */
  readonly resource: Readonly<Record<string, string | readonly string[]>>;
  /** Lines of /proc/<pid>/uid_map. */
  readonly uidMap: readonly (readonly [inside: number, outside: number, count: number])[];
}

/** Which container a cgroup path means, for all that name cgroups after containers. */

export interface ContainerCgroup {
  /** The path up to and with the segment that holds the id. */
  readonly cgroup: string;
  readonly containerId: string;
  /** As in `container.runtime.name`; '' when the path doesn't tell. */
  readonly runtime: string;
  /** Of a Kubernetes pod, as the API server writes it. */
  readonly podUid?: string;
  /** Below user@UID.service, which that user owns: what is there is named by that user. Never root. */
  readonly user?: number;
  /** The cgroup of the container in which this one is: whoever runs there chose the names below it. */
  readonly outer?: string;
}

/** The innermost container on a path as /proc/<pid>/cgroup has it, or undefined when it is no container's. */
export function containerOfCgroup(path: string): ContainerCgroup | undefined {
  if (path.length > maxPathLength) return undefined;
  const segments = path.split('/');
  let found: ContainerCgroup | undefined;
  let podUid: string | undefined;
  let user: number | undefined;
  for (const [index, segment] of segments.entries()) {
    podUid = podUidOf(segment) ?? podUid;
    user = userOf(segment) ?? user;
    const named = containerOfSegment(segments, index);
    if (named === undefined) continue;
    found = {
      cgroup: segments.slice(0, index + 1).join('/'),
      containerId: named.id,
      runtime: named.runtime,
      ...(podUid !== undefined && { podUid }),
      ...(user !== undefined && { user }),
      ...(found && { outer: found.cgroup }),
    };
    podUid = undefined;
  }
  return found;
}

/** The path that counts among those of /proc/<pid>/cgroup: of the systemd hierarchy, else of v2, else the first. */
export function cgroupOfText(text: string): string {
  let unified = '';
  let other = '';
  for (const line of text.split('\n')) {
    const match = /^\d+:([^:]*):(.*?)(?: \(deleted\))?$/.exec(line);
    if (match === null) continue;
    const [, controllers, path = ''] = match;
    if (controllers === 'name=systemd') return path;
    if (controllers === '') unified = path;
    else if (other === '') other = path;
  }
  return unified || other;
}

const maxPathLength = 4096;
const hexId = /^[0-9a-f]{64}$/;
/** What runtimes accept as an id, bounded. */
const anyId = /^[A-Za-z0-9][\w.+-]{0,199}$/;
const unitSuffix = /\.(?:service|slice|socket|mount|automount|swap|timer|path|device|target)$/;
/** The monitor of a container, not the container: libpod-conmon-ID, crio-conmon-ID. */
const monitor = /(?:^|-)conmon(?:-|$)/;

/** `only`: names without `.scope` count too, of the cgroupfs driver. */
const prefixes: readonly { prefix: string; runtime: string; plain: boolean }[] = [
  { prefix: 'docker-', runtime: 'docker', plain: false },
  { prefix: 'libpod-payload-', runtime: 'podman', plain: true },
  { prefix: 'libpod-', runtime: 'podman', plain: true },
  { prefix: 'cri-containerd-', runtime: 'containerd', plain: false },
  { prefix: 'nerdctl-', runtime: 'containerd', plain: false },
  { prefix: 'crio-', runtime: 'cri-o', plain: true },
  { prefix: 'buildah-', runtime: 'buildah', plain: true },
  { prefix: 'runc-', runtime: 'runc', plain: false },
  { prefix: 'crun-', runtime: 'crun', plain: false },
];

/** A path meant for the systemd driver that the cgroupfs driver got: `kubepods-pod1.slice:cri-containerd:ID`. */
const unparsed: Readonly<Record<string, string>> = {
  docker: 'docker',
  libpod: 'podman',
  'cri-containerd': 'containerd',
  nerdctl: 'containerd',
  crio: 'cri-o',
  buildah: 'buildah',
};

/** Parents whose direct children are containers, whatever their ids look like. */
const parents: Readonly<Record<string, string>> = {
  'k8s.io': 'containerd',
  default: 'containerd',
  buildkit: 'docker',
};

interface Named {
  readonly id: string;
  readonly runtime: string;
}

function containerOfSegment(segments: readonly string[], index: number): Named | undefined {
  const segment = segments[index] ?? '';
  const parent = segments[index - 1] ?? '';
  if (unitSuffix.test(segment) || monitor.test(segment)) return undefined;
  const [slice = '', prefix = '', id = ''] = segment.split(':');
  if (slice.endsWith('.slice') && anyId.test(id) && Object.hasOwn(unparsed, prefix)) {
    return { id, runtime: unparsed[prefix] ?? '' };
  }
  const isScope = segment.endsWith('.scope');
  const name = isScope ? segment.slice(0, -'.scope'.length) : segment;
  const known = prefixes.find((each) => (isScope || each.plain) && name.startsWith(each.prefix));
  if (known) return ofId(name.slice(known.prefix.length), known.runtime);
  // A runtime not known here.
  if (isScope) return hexId.test(name.slice(-64)) ? ofId(name.slice(-64), '') : undefined;
  if (hexId.test(segment)) {
    return isPodmanPod(segments, index) ? undefined : { id: segment, runtime: ofFolders(segments) };
  }
  if (isPodFolder(parent)) return ofId(segment, '');
  // containerd's own name spaces lie at the top, Docker's builder in its folder.
  const isTop = index === 2 || parent === 'buildkit';
  return isTop && Object.hasOwn(parents, parent) ? ofId(segment, parents[parent] ?? '') : undefined;
}

function ofId(id: string, runtime: string): Named | undefined {
  return anyId.test(id) ? { id, runtime } : undefined;
}

function ofFolders(segments: readonly string[]): string {
  if (segments.some((each) => each === 'docker' || each === 'ecs')) return 'docker';
  const top = segments[1] ?? '';
  return Object.hasOwn(parents, top) ? (parents[top] ?? '') : '';
}

/** Podman's pods are named like containers where it manages cgroups itself. */
function isPodmanPod(segments: readonly string[], index: number): boolean {
  return (
    segments[index - 1] === 'libpod_parent' || segments[index + 1]?.startsWith('libpod-') === true
  );
}

function isPodFolder(segment: string): boolean {
  return /^pod[0-9a-f-]{32,36}$/.test(segment);
}

/** Of `pod<uid>` and `kubepods-burstable-pod<uid>.slice`, where `-` is written `_`; static pods have 32 digits. */
function podUidOf(segment: string): string | undefined {
  const match = /^pod([0-9a-f-]{32,36})$|-pod([0-9a-f_]{32,36})\.slice(?::|$)/.exec(segment);
  return match?.[1] ?? match?.[2]?.replaceAll('_', '-');
}

function userOf(segment: string): number | undefined {
  const uid = /^user@([1-9]\d{0,9})\.service$/.exec(segment)?.[1];
  return uid === undefined ? undefined : Number(uid);
}

/**
 * The programs that start processes in containers, where they lie on hosts. What one of them opens of a container's files
 * is listed for read and exec unless a rule says `runtime: false`. Absent ones are fine; each is held to its identity.
 * Clients that only ask a runtime are none: whoever reads a container's file through one does so by `podman`, `dockerd`, …
 */
export const containerRuntimes: readonly string[] = [
  // OCI runtimes: in the container's namespaces when they run its first program.
  '/usr/{bin,sbin,local/bin,local/sbin}/{runc,crun,youki,runsc,kata-runtime}',
  '/usr/libexec/{crio,docker}/{runc,crun}',
  // What holds a container's standard streams.
  '/usr/{bin,local/bin,libexec/crio,libexec/podman}/{conmon,conmonrs}',
  // What makes a container's root and looks up its user there.
  '/usr/{bin,local/bin,libexec/docker}/{containerd,containerd-shim*}',
  '/usr/{bin,sbin,local/bin}/{dockerd,docker-containerd*,docker-runc,cri-dockerd}',
  '/usr/{bin,local/bin}/{podman,crio,buildah,buildkitd,buildkit-runc,ctr,nerdctl}',
  '/opt/{kata,containerd}/bin/{containerd-shim*,kata-runtime}',
  // Distributions that bring their own.
  '/usr/local/bin/{k3s,rke2,k0s}',
  '/var/lib/rancher/{k3s,rke2}/data/*/bin/{containerd,containerd-shim*,runc,k3s}',
  '/var/lib/k0s/bin/{containerd,containerd-shim*,runc}',
  '/snap/{docker,microk8s}/current/bin/{dockerd,containerd,containerd-shim*,runc}',
];

/** Which mount a path lies on: what lies on another one than before has not been changed by anybody. */
import { readFileSync } from 'node:fs';

export interface Mount {
  /** Bytes of the path as latin1, so that it compares as they do. */
  readonly point: string;
  /** e.g. `ext4`, `tmpfs`. */
  readonly type: string;
}

/** The mounts of this process's namespace; of several at one point the last, which hides the others. */
export function readMounts(): Mount[] {
  const mounts = new Map<string, Mount>();
  for (const line of readFileSync('/proc/self/mountinfo', 'latin1').split('\n')) {
    // 36 35 98:0 /root /point options optional... - type source options
    const [front = '', back = ''] = line.split(' - ');
    const point = front.split(' ')[4];
    const [type = ''] = back.split(' ');
    if (point === undefined) continue;
    // Blanks, tabs, newlines and backslashes are written in octal.
    const plain = point.replace(/\\(\d{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    mounts.set(plain, { point: plain, type });
  }
  return [...mounts.values()];
}

/** @returns the mount that a path lies on, by the longest mount point above it. */
export function mountFinder(mounts: readonly Mount[]): (path: Buffer) => Mount | undefined {
  const byPoint = new Map(mounts.map((mount) => [mount.point, mount]));
  return (path) => {
    for (let at = path.toString('latin1'); at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
      const mount = byPoint.get(at);
      if (mount !== undefined) return mount;
    }
    return byPoint.get('/');
  };
}

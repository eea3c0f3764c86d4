/** Where the hierarchy is mounted whose paths tell containers apart. */
import { readFileSync } from 'node:fs';

export interface CgroupMount {
  readonly folder: string;
  /** The cgroup that the folder shows, '' for the top. */
  readonly root: string;
}

/** The systemd hierarchy, else v2, else the first controller's, as `cgroupOfText` has it; undefined where it isn't mounted. */
export function cgroupMount(
  mountinfo = readFileSync('/proc/self/mountinfo', 'utf8'),
  cgroups = readFileSync('/proc/self/cgroup', 'utf8'),
): CgroupMount | undefined {
  const hierarchies = cgroups.split('\n').flatMap((line) => /^\d+:([^:]*):/.exec(line)?.[1] ?? []);
  const controllers = hierarchies.includes('name=systemd')
    ? 'name=systemd'
    : hierarchies.includes('')
      ? ''
      : (hierarchies[0] ?? '');
  const mounts = mountinfo.split('\n').flatMap((line) => mountOf(line, controllers) ?? []);
  // Others may show a part of the tree only.
  return mounts.sort((a, b) => a.root.length - b.root.length)[0];
}

/** `31 23 0:28 ROOT FOLDER OPTIONS … - TYPE SOURCE SUPER_OPTIONS` */
function mountOf(line: string, controllers: string): CgroupMount | undefined {
  const [before = '', after = ''] = line.split(' - ');
  const [, , , root = '', folder = ''] = before.split(' ').map(unescaped);
  const [type, , options = ''] = after.split(' ');
  const names = options.split(',');
  const shows =
    controllers === ''
      ? type === 'cgroup2'
      : type === 'cgroup' && controllers.split(',').every((each) => names.includes(each));
  return shows ? { folder, root: root === '/' ? '' : root } : undefined;
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
}

/** A control group of a test's own, at the root of one hierarchy, where this machine has that. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Where the hierarchy with this controller is mounted, v1 or v2; `v2` stands for the unified one itself. */
function mountOf(controller: string): { mount: string; isV2: boolean } | undefined {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '));
  const v1 = mounts.find(
    ([, , type, options = '']) => type === 'cgroup' && options.split(',').includes(controller),
  );
  if (v1?.[1] !== undefined) return { mount: v1[1], isV2: false };
  const [, mount] = mounts.find(([, , type]) => type === 'cgroup2') ?? [];
  if (mount === undefined) return undefined;
  const controllers = readFileSync(path.join(mount, 'cgroup.subtree_control'), 'utf8');
  const has = controller === 'v2' || controllers.split(/\s+/).includes(controller);
  return has ? { mount, isV2: true } : undefined;
}

let made = 0;

export class TestCgroup {
  readonly path: string;
  readonly isV2: boolean;

  private constructor(folder: string, isV2: boolean) {
    this.path = folder;
    this.isV2 = isV2;
  }

  /** Undefined where the machine has no such hierarchy. */
  static make(controller: 'freezer' | 'memory' | 'v2'): TestCgroup | undefined {
    const found = mountOf(controller);
    if (found === undefined) return undefined;
    made += 1;
    const folder = path.join(found.mount, `fileward-test-${process.pid}-${made}`);
    mkdirSync(folder);
    return new TestCgroup(folder, found.isV2);
  }

  write(file: string, value: string | number): void {
    writeFileSync(path.join(this.path, file), `${value}\n`);
  }

  read(file: string): string {
    return readFileSync(path.join(this.path, file), 'utf8').trim();
  }

  freeze(isFrozen: boolean): void {
    if (this.isV2) this.write('cgroup.freeze', Number(isFrozen));
    else this.write('freezer.state', isFrozen ? 'FROZEN' : 'THAWED');
  }

  /** When all in it have ended. */
  remove(): void {
    rmdirSync(this.path);
  }
}

/** Put in front of a command: it runs in these. */
export function entering(cgroups: readonly TestCgroup[]): string[] {
  const enter = cgroups.map(({ path }) => `echo $$ >${path}/cgroup.procs`).join(' && ');
  return ['sh', '-c', `${enter || ':'} && exec "$@"`, 'sh'];
}

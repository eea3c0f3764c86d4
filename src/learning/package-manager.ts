import { packageManagers } from '../policy/package-managers.ts';

const named = new Map<string, string>();
const patterns: { readonly pattern: RegExp; readonly name: string }[] = [];
for (const { name, exes } of packageManagers) {
  for (const exe of exes) {
    if (!exe.includes('*')) named.set(exe, name);
    else patterns.push({ pattern: globOf(exe), name });
  }
}

/**
 * The package manager that a process is, or that one of its ancestors is, by their paths: what an entry
 * `{ package_manager: true }` would list is decided by identity, this only says which entry to propose.
 */
export function packageManagerOf(app: string, ancestors: readonly string[]): string {
  for (const exe of [app, ...ancestors]) {
    const name = named.get(exe) ?? patterns.find(({ pattern }) => pattern.test(exe))?.name;
    if (name !== undefined) return name;
  }
  return '';
}

/** One of its programs, such as `{ package_manager: true }` lists. */
export function exeOfPackageManager(name: string): string {
  const manager = packageManagers.find((each) => each.name === name) ?? packageManagers[0];
  return manager?.exes[0] ?? '';
}

function globOf(exe: string): RegExp {
  const parts = exe.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('[^/]*')}$`);
}

import { existsSync, readdirSync, statSync } from 'node:fs';

/** What changes must know of running processes. */
export interface ProcessFiles {
  isAlive(pid: number): boolean;
  /** Whether the process has this file open. */
  holds(pid: number, dev: bigint, ino: bigint): boolean;
}

export const procFiles: ProcessFiles = {
  isAlive: (pid) => existsSync(`/proc/${pid}`),
  holds(pid, dev, ino) {
    const folder = `/proc/${pid}/fd`;
    let descriptors: string[];
    try {
      descriptors = readdirSync(folder);
    } catch {
      return false;
    }
    return descriptors.some((descriptor) => {
      try {
        const status = statSync(`${folder}/${descriptor}`, { bigint: true });
        return status.ino === ino && status.dev === dev;
      } catch {
        return false; // closed meanwhile
      }
    });
  },
};

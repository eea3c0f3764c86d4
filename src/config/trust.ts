/** Who may write a file that decides what root does. */
import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const maxLinks = 40;

export type Care =
  /** For code: nothing on the way may be open to others. */
  | 'strict'
  /**
   * For data: what root has in a sticky folder such as /tmp is nobody else's, and a folder below one that only root may enter
   * is out of reach, as the volume of a ConfigMap (mode 0777) is.
   */
  | 'plain';

/**
 * Why somebody else than root could change what `path` holds: the path, its owner and mode; undefined when only root can.
 * Every folder above counts, and every link on the way. An ACL that lets others write shows in the group bits of the mode.
 * @throws Error when a step of it can't be looked at
 */
export function writableByOthers(path: string, care: Care): string | undefined {
  const pending = [resolve(path)];
  const seen = new Set<string>();
  for (let links = 0; pending.length > 0; ) {
    const next = pending.pop() as string;
    let isReachable = true;
    for (const step of chain(next)) {
      const status = lstatSync(step);
      if (!seen.has(step)) {
        seen.add(step);
        const reason = looseBits(step, status, care, isReachable);
        if (reason !== undefined) return reason;
      }
      if (status.isDirectory()) isReachable &&= isOpenToOthers(status);
      if (status.isSymbolicLink()) {
        links += 1;
        if (links > maxLinks) return `${step} is a link that leads back to itself`;
        pending.push(resolve(dirname(step), readlinkSync(step), rest(next, step)));
        break;
      }
    }
  }
  return undefined;
}

function looseBits(path: string, status: Stats, care: Care, isReachable: boolean) {
  const mode = (status.mode & 0o7777).toString(8).padStart(4, '0');
  // An agent with the capabilities that it needs may have another user.
  const isOurs = care === 'plain' && status.uid === process.geteuid?.();
  if (status.uid !== 0 && !isOurs) {
    return `${path} is owned by uid ${status.uid} (mode ${mode}), not by root`;
  }
  // The mode of a link means nothing; who may replace it is told by its folder.
  if (status.isSymbolicLink() || (status.mode & 0o022) === 0) return undefined;
  const isSticky = (status.mode & 0o1000) !== 0;
  if (care === 'plain' && status.isDirectory() && (isSticky || !isReachable)) return undefined;
  return `${path} can be written by others than root (mode ${mode})`;
}

function isOpenToOthers({ mode, gid }: Stats): boolean {
  return (mode & 0o001) !== 0 || ((mode & 0o010) !== 0 && gid !== 0);
}

/** From the root folder down to the path itself. */
function chain(path: string): string[] {
  const steps = [path];
  for (let at = path; dirname(at) !== at; ) {
    at = dirname(at);
    steps.unshift(at);
  }
  return steps;
}

function rest(path: string, step: string): string {
  return join('.', path.slice(step.length));
}

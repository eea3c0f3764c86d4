/** Who may write a file that is going to be run as root. */
import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const maxLinks = 40;

/**
 * Why somebody else than root could change what `path` holds: the path, its owner and mode; undefined when only root can.
 * Every folder above counts, and every link on the way. An ACL that lets others write shows in the group bits of the mode.
 */
export function writableByOthers(path: string): string | undefined {
  const pending = [resolve(path)];
  const seen = new Set<string>();
  for (let links = 0; pending.length > 0; ) {
    const next = pending.pop() as string;
    for (const step of chain(next)) {
      if (seen.has(step)) continue;
      seen.add(step);
      const status = lstatSync(step);
      const reason = looseBits(step, status);
      if (reason !== undefined) return reason;
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

function looseBits(path: string, status: Stats): string | undefined {
  const mode = (status.mode & 0o7777).toString(8).padStart(4, '0');
  if (status.uid !== 0) return `${path} is owned by uid ${status.uid} (mode ${mode}), not by root`;
  // The mode of a link means nothing; who may replace it is told by its folder.
  if (!status.isSymbolicLink() && (status.mode & 0o022) !== 0) {
    return `${path} can be written by others than root (mode ${mode})`;
  }
  return undefined;
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

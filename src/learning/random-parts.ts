/** Parts of a path that the next run may not have: versions, hashes, pids, names made by mktemp. */

const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/giu;
/** A hash: letters and digits. */
const HEX = /(?<![0-9a-z])(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,}(?![0-9a-z])/giu;
const VERSION = /\d+(?:\.\d+)+/gu;
const NUMBER = /\d{3,}/gu;
/** `tmp.Xa83kLmQ0z`, `xyz123`: at the end of a name, of mixed classes. */
const MADE =
  /(?<=^|[._-])(?=[A-Za-z]*\d|[a-z]*[A-Z][A-Za-z]*[a-z]|[A-Z]+[a-z]+[A-Z])(?=\d*[A-Za-z])[A-Za-z0-9]{6,}$/gu;
const TEMPORARY = /^\/(?:tmp|var\/tmp|dev\/shm|run)\//u;

/** A glob that stands for what a path may be the next time; undefined when it has no such part. */
export function shapeOf(path: string): string | undefined {
  const temporary = isTemporary(path);
  const shape = path
    .split('/')
    .map((name) => shapeOfName(name, temporary))
    .join('/');
  return shape.includes('\0') ? shape.replace(/\0+/gu, '*') : undefined;
}

/** In a folder where everybody may put a program. */
export function isTemporary(path: string): boolean {
  return TEMPORARY.test(path);
}

function shapeOfName(name: string, temporary: boolean): string {
  const patterns = [UUID, HEX, VERSION, NUMBER, ...(temporary ? [MADE] : [])];
  const parts = patterns.reduce((text, pattern) => text.replace(pattern, '\0'), name);
  // The rest is literal.
  return parts.replace(/[*?[\]{}\\]/gu, '\\$&');
}

/** What was known of covered files against what is there now: which of them somebody changed, and how. */
import type { CoveredFile } from '../native/covered-files.ts';
import { FileState } from '../native/covered-files.ts';
import type { KnownFile } from './known-files-store.ts';
import type { RecordOperation } from './names.ts';

/** A path of which only one side knows, or both differently. */
export interface Difference {
  readonly path: Buffer;
  readonly known?: KnownFile;
  readonly now?: CoveredFile;
}

export interface FoundChange {
  /** Absent: nobody changed the file. */
  readonly operation?: RecordOperation;
  readonly replaced?: true;
  /** Of its content now, where that could be told. */
  readonly sha256?: Buffer;
}

/** SHA-256 of a file in exactly that state; undefined when it can't be had. */
export type HashOf = (file: CoveredFile) => Promise<Buffer | undefined>;

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;

/** Both sides in the order of the paths' bytes. Costs one comparison of bytes for each path. */
export function* pairs(
  known: Iterator<KnownFile>,
  now: Iterator<CoveredFile>,
): Generator<Difference> {
  let left = known.next();
  let right = now.next();
  while (!left.done || !right.done) {
    const order = left.done ? 1 : right.done ? -1 : left.value.path.compare(right.value.path);
    const path = order > 0 ? right.value.path : left.value.path;
    yield {
      path,
      ...(order <= 0 && { known: left.value }),
      ...(order >= 0 && { now: right.value }),
    };
    if (order <= 0) left = known.next();
    if (order >= 0) right = now.next();
  }
}

/** Whether nothing at all has happened: the usual case, told by the bytes alone. */
export function isSame({ known, now }: Difference): boolean {
  return known !== undefined && now?.state !== undefined && known.state.equals(now.state.bytes);
}

/**
 * What happened to the file that stands at one path before and now. Where only the time of the inode is another one,
 * the content decides, if its hash was known.
 */
export async function changeOf({ known, now }: Difference, hashOf: HashOf): Promise<FoundChange> {
  if (known === undefined || now?.state === undefined) return {};
  const before = new FileState(known.state);
  const after = now.state;
  const sameTimes = sameContent(before, after) && before.ctimeNs === after.ctimeNs;
  if (sameTimes && sameAttributes(before, after)) {
    // Some filesystems give other inode numbers after each mount; nobody can set the time of an inode.
    if (before.ino === after.ino || before.birthNs === after.birthNs) return kept(known);
  }
  if (!sameFile(before, after)) {
    return { operation: 'create', replaced: true, ...(await hashed(now, hashOf)) };
  }
  if ((after.mode & S_IFMT) !== S_IFREG) return {};
  const hash = await hashed(now, hashOf);
  const sameHash = hash.sha256 && known.sha256?.equals(hash.sha256);
  if (!(sameHash ?? sameContent(before, after))) return { operation: 'write', ...hash };
  const untouched = sameAttributes(before, after) && before.mtimeNs === after.mtimeNs;
  return untouched && sameHash ? hash : { operation: 'attributes', ...hash };
}

/** Whether another file stands there now than before. */
export function isReplaced({ known, now }: Difference): boolean {
  return (
    known !== undefined &&
    now?.state !== undefined &&
    !sameFile(new FileState(known.state), now.state)
  );
}

/** A file that left one covered name and stands at another was renamed: those of `arrived` that came from `gone`. */
export function renamesAmong(
  gone: readonly Difference[],
  arrived: readonly Difference[],
): Map<Difference, Difference> {
  const left = new Map<string, Difference>();
  for (const each of gone) {
    const key = each.known && identityOf(new FileState(each.known.state));
    if (key !== undefined) left.set(key, each);
  }
  const renames = new Map<Difference, Difference>();
  for (const each of arrived) {
    const key = each.now?.state && identityOf(each.now.state);
    const from = key === undefined ? undefined : left.get(key);
    if (key === undefined || from === undefined) continue;
    left.delete(key);
    renames.set(each, from);
  }
  return renames;
}

function kept({ sha256 }: KnownFile): { sha256?: Buffer } {
  return sha256 === undefined ? {} : { sha256 };
}

async function hashed(now: CoveredFile, hashOf: HashOf): Promise<{ sha256?: Buffer }> {
  const sha256 = await hashOf(now);
  return sha256 === undefined ? {} : { sha256 };
}

/** Inode numbers are used again; with the time of birth they are not. */
function identityOf({ ino, birthNs }: FileState): string | undefined {
  return birthNs === 0n ? undefined : `${ino}:${birthNs}`;
}

function sameFile(a: FileState, b: FileState): boolean {
  return a.ino === b.ino && a.birthNs === b.birthNs;
}

function sameContent(a: FileState, b: FileState): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs;
}

function sameAttributes(a: FileState, b: FileState): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;
}

/**
 * Hashes of known files: reads files, remembers what the agent's thread has read until the state that it was of is
 * known, and gathers at a start or reload what that thread should know, so that a first change can say what was there.
 */
import { hostWorkload } from '../native/event-layout.ts';
import { type CoveredFile, FileState } from '../native/covered-files.ts';
import { FileHashes } from './hash.ts';
import { pathName } from './kernel-event.ts';
import type { Difference } from './known-files-compare.ts';
import type { HashedFile, Plan } from './known-files-messages.ts';
import type { KnownFile, Update } from './known-files-store.ts';

/** A rule over a whole tree is not worth reading it: what changes there is known from its first change on. */
const MOST_READ_PER_RULE = 500;
const MOST_READ_BYTES = 64 * 1024 * 1024;
const LARGEST_READ = 1024 * 1024;
/** Known ones that the agent's thread is told. */
const MOST_TOLD = 20_000;
const AT_ONCE = 500;
const MOST_EARLY = 10_000;
/** A file on a dead network file system. */
const LONGEST_READ_MS = 5000;

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;

export class KnownHashes {
  #plan: Plan | undefined;
  readonly #hashes = new FileHashes(() => this.#plan?.largestHash ?? 0);
  readonly #early = new Map<string, HashedFile>();
  #toTell: HashedFile[] = [];
  #toRead: CoveredFile[] = [];
  #read = { bytes: 0, files: new Map<number, number>() };

  usePlan(plan: Plan): void {
    this.#plan = plan;
  }

  /** Before all covered files are looked at. */
  begin(): void {
    this.#toTell = [];
    this.#toRead = [];
    this.#read = { bytes: 0, files: new Map() };
  }

  /** One of all covered files: its hash is known, or it is to be read. */
  look({ known, now }: Difference, same: boolean): void {
    if (now?.state === undefined || !this.#isHashed(now)) return;
    const { state, ruleIndex } = now;
    if (same && known?.sha256 !== undefined) {
      if (this.#toTell.length < MOST_TOLD) this.#toTell.push(hashedFile(now, state, known.sha256));
      return;
    }
    const size = Number(state.size);
    const files = this.#read.files.get(ruleIndex) ?? 0;
    if (size > LARGEST_READ || files >= MOST_READ_PER_RULE) return;
    if (this.#read.bytes + size > MOST_READ_BYTES) return;
    this.#read.bytes += size;
    this.#read.files.set(ruleIndex, files + 1);
    this.#toRead.push(now);
  }

  /** Of a file in exactly this state; undefined when its rule wants none or it can't be read as it was. */
  async of({ path, dev, ruleIndex, state }: CoveredFile): Promise<Buffer | undefined> {
    if (state === undefined || !this.#isHashed({ path, dev, ruleIndex, state })) return undefined;
    const { ino, size, mtimeNs, mode, uid, gid } = state;
    const sha256 = await this.#hashes.of(
      {
        workload: hostWorkload,
        paths: [pathName(path)],
        dev,
        ino,
        status: { size, mtimeNs, mode, uid, gid },
      },
      AbortSignal.timeout(LONGEST_READ_MS),
    );
    return sha256 === undefined ? undefined : Buffer.from(sha256, 'hex');
  }

  /** Hashes by the agent's thread; the states that they are of become known now or later. */
  add(hashes: readonly HashedFile[]): void {
    for (const each of hashes) {
      const [oldest] = this.#early.keys();
      if (this.#early.size >= MOST_EARLY && oldest !== undefined) this.#early.delete(oldest);
      this.#early.set(keyOf(each.path), each);
    }
  }

  /** The hash that the agent's thread has sent of this path in this state. */
  take({ path, state }: Update): Buffer | undefined {
    const early = this.#early.get(keyOf(path));
    if (early === undefined || state === undefined) return undefined;
    const { ino, size, mtimeNs } = new FileState(state);
    if (early.ino !== ino || early.size !== size || early.mtimeNs !== mtimeNs) return undefined;
    this.#early.delete(keyOf(path));
    return Buffer.from(early.sha256, 'hex');
  }

  /** The next of what the agent's thread should know; `read` are new here too. Nothing: that was all. */
  async next(): Promise<{ tell: HashedFile[]; read: KnownFile[] }> {
    const tell = this.#toTell.splice(0, AT_ONCE);
    if (tell.length > 0) return { tell, read: [] };
    const read: KnownFile[] = [];
    while (read.length === 0 && this.#toRead.length > 0) {
      for (const file of this.#toRead.splice(0, AT_ONCE)) {
        const sha256 = await this.of(file);
        if (sha256 === undefined || file.state === undefined) continue;
        read.push({ path: file.path, state: file.state.bytes, sha256 });
        tell.push(hashedFile(file, file.state, sha256));
      }
    }
    return { tell, read };
  }

  #isHashed({ ruleIndex, state }: CoveredFile): boolean {
    const regular = state !== undefined && (state.mode & S_IFMT) === S_IFREG;
    return regular && this.#plan?.hashed[ruleIndex] === true;
  }
}

function hashedFile({ path, dev }: CoveredFile, state: FileState, sha256: Buffer): HashedFile {
  const { ino, size, mtimeNs } = state;
  return { path: Uint8Array.from(path), dev, ino, size, mtimeNs, sha256: sha256.toString('hex') };
}

function keyOf(path: Uint8Array): string {
  return Buffer.from(path.buffer, path.byteOffset, path.byteLength).toString('latin1');
}

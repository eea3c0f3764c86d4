/**
 * What `Session.coveredFiles()` gives: the TypeScript side of native/coverage/covered_files.h. `loadNative` compares the
 * numbers with what the addon says of itself.
 */
export interface CoveredFilesLayout {
  readonly header_bytes: number;
  readonly header: Readonly<Record<string, number>>;
  readonly entry_bytes: number;
  readonly entry: Readonly<Record<string, number>>;
}

const header = { ruleset_version: 0, count: 8, left_out: 12, full: 16 } as const;
const entry = {
  ino: 0,
  birth_ns: 8,
  size: 16,
  mtime_ns: 24,
  ctime_ns: 32,
  mode: 40,
  uid: 44,
  gid: 48,
  rule_index: 52,
  dev: 56,
  path_bytes: 64,
  gone: 68,
} as const;

export const coveredFilesLayout = {
  header_bytes: 24,
  header,
  entry_bytes: 72,
  entry,
} satisfies CoveredFilesLayout;

/** The first bytes of an entry: how the file is, without what names it. Equal bytes, equal state. */
export const stateBytes = entry.rule_index;

/** How a file was or is; read from the state bytes. */
export class FileState {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get ino(): bigint {
    return this.bytes.readBigUInt64LE(entry.ino);
  }

  /** 0n: the filesystem keeps none. */
  get birthNs(): bigint {
    return this.bytes.readBigUInt64LE(entry.birth_ns);
  }

  get size(): bigint {
    return this.bytes.readBigUInt64LE(entry.size);
  }

  get mtimeNs(): bigint {
    return this.bytes.readBigUInt64LE(entry.mtime_ns);
  }

  get ctimeNs(): bigint {
    return this.bytes.readBigUInt64LE(entry.ctime_ns);
  }

  /** With the type bits. */
  get mode(): number {
    return this.bytes.readUInt32LE(entry.mode);
  }

  get uid(): number {
    return this.bytes.readUInt32LE(entry.uid);
  }

  get gid(): number {
    return this.bytes.readUInt32LE(entry.gid);
  }
}

export interface CoveredFile {
  /** Views into the bytes of all. */
  readonly path: Buffer;
  /** Undefined: nothing covered stands there any more. */
  readonly state: FileState | undefined;
  /** Of the rule that decides about its changes. */
  readonly ruleIndex: number;
  readonly dev: bigint;
}

export class CoveredFiles implements Iterable<CoveredFile> {
  readonly #buffer: Buffer;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get count(): number {
    return this.#buffer.readUInt32LE(header.count);
  }

  /** Covered files that did not fit. */
  get leftOut(): number {
    return this.#buffer.readUInt32LE(header.left_out);
  }

  /** True: all covered files; false: those that changed since the last time. */
  get full(): boolean {
    return this.#buffer.readUInt32LE(header.full) !== 0;
  }

  get rulesetVersion(): bigint {
    return this.#buffer.readBigUInt64LE(header.ruleset_version);
  }

  /** In the order of the paths' bytes. @throws RangeError at an entry that isn't wholly there. */
  *[Symbol.iterator](): IterableIterator<CoveredFile> {
    const buffer = this.#buffer;
    for (let at = coveredFilesLayout.header_bytes; at < buffer.length; ) {
      const pathStart = at + coveredFilesLayout.entry_bytes;
      const end = pathStart + buffer.readUInt32LE(at + entry.path_bytes);
      if (end > buffer.length) throw new RangeError(`an entry up to ${end} of ${buffer.length}`);
      const gone = buffer.readUInt32LE(at + entry.gone) !== 0;
      yield {
        path: buffer.subarray(pathStart, end),
        state: gone ? undefined : new FileState(buffer.subarray(at, at + stateBytes)),
        ruleIndex: buffer.readUInt32LE(at + entry.rule_index),
        dev: buffer.readBigUInt64LE(at + entry.dev),
      };
      at = end;
    }
  }
}

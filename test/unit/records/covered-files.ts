/** Covered files as the native core hands them over. */
import { coveredFilesLayout } from '../../../src/native/covered-files.ts';

export interface FileValues {
  readonly ino?: number;
  readonly birth_ns?: number;
  readonly size?: number;
  readonly mtime_ns?: number;
  readonly ctime_ns?: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly dev?: number;
  readonly gone?: 1;
  /** 0 where it doesn't matter. */
  readonly rule_index?: number;
  /** Its content, as a test thinks of it; undefined: can't be read. */
  readonly content?: string;
}
export type Files = Readonly<Record<string, FileValues>>;

const usual = { birth_ns: 7, size: 5, mtime_ns: 1000, ctime_ns: 1000, mode: 0o100644, dev: 1 };

/** As the native core writes them, in the order of the paths. */
export function coveredBytes(files: Files, full = true, leftOut = 0): Buffer<ArrayBuffer> {
  const { header_bytes, header, entry_bytes, entry } = coveredFilesLayout;
  const head = Buffer.alloc(header_bytes);
  const names = Object.keys(files).sort((a, b) => Buffer.from(a).compare(Buffer.from(b)));
  head.writeUInt32LE(names.length, header.count);
  head.writeUInt32LE(leftOut, header.left_out);
  head.writeUInt32LE(full ? 1 : 0, header.full);
  const entries = names.map((name, index) => {
    const { content: _, ...values } = files[name] ?? {};
    const bytes = Buffer.alloc(entry_bytes + Buffer.byteLength(name));
    bytes.write(name, entry_bytes);
    bytes.writeUInt32LE(Buffer.byteLength(name), entry.path_bytes);
    for (const [field, value] of Object.entries({ ino: index + 1, ...usual, ...values })) {
      const offset = entry[field as keyof typeof entry];
      if (['mode', 'uid', 'gone', 'rule_index'].includes(field)) bytes.writeUInt32LE(value, offset);
      else bytes.writeBigUInt64LE(BigInt(value), offset);
    }
    return bytes;
  });
  // Not of the pool of small buffers: it is handed over to another thread.
  return Buffer.from(new Uint8Array(Buffer.concat([head, ...entries])).buffer);
}

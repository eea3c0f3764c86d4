/** Reads a file of the user's with everything that can be wrong with it said in words. */
import { constants } from 'node:fs';
import { lstat, open, readlink } from 'node:fs/promises';

const maxBytes = 16 * 1024 * 1024;

export type ReadResult =
  | { readonly ok: true; readonly text: string }
  | {
      readonly ok: false;
      readonly message: string;
      readonly line: number;
      readonly absent: boolean;
    };

/** Never waits (a FIFO) and never reads without bound (a device). */
export async function readText(path: string): Promise<ReadResult> {
  try {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const status = await handle.stat();
    if (status.isDirectory()) return refuse('is a folder; name the file in it');
    if (!status.isFile()) return refuse('is not a regular file');
    if (status.size > maxBytes) {
      const mebibytes = Math.ceil(status.size / 1024 / 1024);
      return refuse(`is ${mebibytes} MiB; at most ${maxBytes / 1024 / 1024} MiB are read`);
    }
    return decode(await handle.readFile());
  } catch (error) {
    return unreadable(path, error);
  }
}

function decode(bytes: Buffer): ReadResult {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    return refuse('is UTF-16; save it as UTF-8');
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return refuse('this line is not UTF-8', firstInvalidLine(bytes));
  }
  return text.trim() === '' ? refuse('is empty') : { ok: true, text };
}

function firstInvalidLine(bytes: Buffer): number {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  for (let from = 0; from < bytes.length; line += 1) {
    const end = bytes.indexOf(0x0a, from);
    const to = end === -1 ? bytes.length : end;
    try {
      decoder.decode(bytes.subarray(from, to));
    } catch {
      return line;
    }
    from = to + 1;
  }
  return line;
}

async function unreadable(path: string, error: unknown): Promise<ReadResult> {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT': {
      const target = await linkTarget(path);
      return target === undefined
        ? { ...refuse('no such file'), absent: true }
        : refuse(`is a link to ${target}, which does not exist`);
    }
    case 'ENOTDIR':
      return { ...refuse('no such file'), absent: true };
    case 'EACCES':
    case 'EPERM':
      return refuse('can not be read: permission denied');
    case 'ELOOP':
      return refuse('is a link that leads back to itself');
    case 'ENXIO':
      return refuse('is not a regular file');
    default:
      return refuse(`can not be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : undefined;
  } catch {
    return undefined;
  }
}

function refuse(message: string, line = 1): Extract<ReadResult, { ok: false }> {
  return { ok: false, message, line, absent: false };
}

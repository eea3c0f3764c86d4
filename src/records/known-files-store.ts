/**
 * `known-files.db` under `state`: how every covered file was when its last change was told, and under which policy and
 * mounts that was. Belongs to the worker of known-files-worker.ts; each write is one transaction. A crash of the machine
 * may take the last ones back: then a change is told twice, never not at all.
 */
import { closeSync, openSync, renameSync, rmSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { z } from 'zod';
import { stateBytes } from '../native/covered-files.ts';
import type { Mount } from './mounts.ts';

export interface KnownFile {
  readonly path: Buffer;
  /** As `FileState` of src/native/covered-files.ts reads it. */
  readonly state: Buffer;
  readonly sha256: Buffer | undefined;
}

/** What decides which files are in the store and whether they can be compared. */
export interface Basis {
  readonly policy: KnownPolicy;
  readonly mounts: readonly Mount[];
  readonly bootId: string;
  /** The last path, when there was no room for those behind it. */
  readonly end?: string;
}

export interface KnownPolicy {
  /** `CompiledPolicy.json`. */
  readonly json: string;
  /** Literal parts of patterns that led elsewhere, and where. */
  readonly resolved: Readonly<Record<string, string>>;
}

/** Undefined state: the path is known no more. */
export interface Update {
  readonly path: Buffer;
  readonly state: Buffer | undefined;
  readonly sha256?: Buffer | undefined;
}

// The first statement of a connection: with it the index of the WAL is kept in memory. Any other that looks into an
// existing database maps that index from a file, and then a disk full to the last byte ends the process with SIGBUS.
const LOCK = 'PRAGMA locking_mode = EXCLUSIVE';
const SETUP = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA journal_size_limit = 4194304;
`;
/** Of the tables and the bytes in them. */
const FORMAT = 1;
const TABLES = `
  BEGIN;
  CREATE TABLE files (
    path BLOB PRIMARY KEY, state BLOB NOT NULL, sha256 BLOB
  ) WITHOUT ROWID;
  CREATE TABLE basis (id INTEGER PRIMARY KEY CHECK (id = 1), value TEXT NOT NULL);
  PRAGMA user_version = ${FORMAT};
  COMMIT;
`;
const basisSchema: z.ZodType<Basis> = z.object({
  policy: z.object({ json: z.string(), resolved: z.record(z.string(), z.string()) }),
  mounts: z.array(z.object({ point: z.string(), type: z.string() })),
  bootId: z.string(),
  end: z.string().exactOptional(),
});
/** Of a statement that is right: the tables are not those that it was written for. */
const NO_SUCH = 1;
const CORRUPT = 11;
const NOT_A_DATABASE = 26;
const SHA256_BYTES = 32;

export class KnownFilesStore {
  readonly #database: DatabaseSync;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;
  readonly #putHash: StatementSync;
  readonly #putBasis: StatementSync;

  /** @throws Error of SQLite when the file is none of its databases or can't be used. */
  constructor(file: string) {
    closeSync(openSync(file, 'a', 0o600));
    const database = new DatabaseSync(file);
    this.#database = database;
    try {
      prepareTables(database);
      this.#put = database.prepare(
        'INSERT OR REPLACE INTO files (path, state, sha256) VALUES (?, ?, ?)',
      );
      this.#remove = database.prepare('DELETE FROM files WHERE path = ?');
      this.#putHash = database.prepare('UPDATE files SET sha256 = ? WHERE path = ? AND state = ?');
      this.#putBasis = database.prepare('INSERT OR REPLACE INTO basis VALUES (1, ?)');
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /**
   * One that is damaged is set aside, and `broken` says why.
   * @throws Error when the file can't be used.
   */
  static open(file: string): { store: KnownFilesStore; broken?: string } {
    try {
      return { store: new KnownFilesStore(file) };
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      setFileAside(file);
      return { store: new KnownFilesStore(file), broken: String(error) };
    }
  }

  /** Undefined: nothing was ever learned. @throws Error when it can't be read; see `isCorrupt`. */
  get basis(): Basis | undefined {
    const row = this.#database.prepare('SELECT value FROM basis').get();
    if (row === undefined) return undefined;
    try {
      return basisSchema.parse(JSON.parse(String(row['value'])));
    } catch (error) {
      throw damage(`known-files.db has a basis that is none: ${error}`);
    }
  }

  /**
   * In the order of the paths' bytes. Nothing may be written before it has ended.
   * @throws Error when it can't be read; see `isCorrupt`.
   */
  *files(): Generator<KnownFile> {
    const rows = this.#database.prepare('SELECT path, state, sha256 FROM files ORDER BY path');
    for (const { path, state, sha256 } of rows.iterate()) {
      yield {
        path: bufferOf(path),
        state: bufferOf(state, stateBytes),
        sha256: sha256 === null ? undefined : bufferOf(sha256, SHA256_BYTES),
      };
    }
  }

  /** All or nothing. `basis` is a `Basis` as JSON. */
  write(updates: Iterable<Update>, basis?: string): void {
    this.#transaction(() => {
      for (const { path, state, sha256 } of updates) {
        if (state === undefined) this.#remove.run(path);
        else this.#put.run(path, state, sha256 ?? null);
      }
      if (basis !== undefined) this.#putBasis.run(basis);
    });
  }

  /** Of files that are known in exactly this state. */
  writeHashes(files: Iterable<KnownFile>): void {
    this.#transaction(() => {
      for (const { path, state, sha256 } of files) this.#putHash.run(sha256 ?? null, path, state);
    });
  }

  close(): void {
    this.#database.close();
  }

  #transaction(change: () => void): void {
    this.#database.exec('BEGIN');
    try {
      change();
      this.#database.exec('COMMIT');
    } catch (error) {
      // SQLite has rolled back already where the disk failed.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }
}

/** Keeps a damaged file for somebody to look at, one of them at most. @throws Error when it can't be renamed. */
export function setFileAside(file: string): void {
  renameSync(file, `${file}.broken`);
  for (const more of ['-wal', '-shm']) rmSync(file + more, { force: true });
}

/** Whether the file is damaged or none of ours. */
export function isCorrupt(error: unknown): boolean {
  const { errcode } = error as { errcode?: number };
  return errcode !== undefined && [NO_SUCH, CORRUPT, NOT_A_DATABASE].includes(errcode & 0xff);
}

function damage(text: string): Error {
  return Object.assign(new Error(text), { errcode: CORRUPT });
}

function prepareTables(database: DatabaseSync): void {
  database.exec(LOCK);
  const { user_version: format } = database.prepare('PRAGMA user_version').get() ?? {};
  if (format !== 0 && format !== FORMAT) {
    const text = `known-files.db is of unknown version ${format}`;
    throw Object.assign(new Error(text), { errcode: NOT_A_DATABASE });
  }
  database.exec(SETUP);
  // Nothing is written to one that exists: it can be read while the disk is full.
  if (format === 0) database.exec(TABLES);
}

/** Of `size` bytes, where that is known. */
function bufferOf(value: unknown, size?: number): Buffer {
  if (!(value instanceof Uint8Array) || value.length !== (size ?? value.length)) {
    throw damage('known-files.db holds what was never written there');
  }
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

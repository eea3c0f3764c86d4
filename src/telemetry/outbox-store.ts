/**
 * The outbox on disk: one SQLite file. Owns its connection and nothing else; runs on the thread that opened it. What
 * `write` returned from is there after a power cut. Any failure leaves what was written before it; the caller closes the
 * store then and opens a new one, so no connection is used after an error.
 */
import { closeSync, openSync, renameSync, rmSync } from 'node:fs';
import { DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite';
import { type Chunk, type Lane, sizeOf } from './chunk.ts';

export interface StoredChunk extends Chunk {
  readonly id: number;
}

/** A record that the collector refuses whatever comes with it. */
export interface RefusedRecord {
  readonly reason: string;
  readonly resource: Uint8Array;
  readonly body: Uint8Array;
}

/** One transaction. */
export interface Change {
  readonly insert: readonly StoredChunk[];
  readonly remove: readonly number[];
  readonly refused: readonly RefusedRecord[];
}

export interface Contents {
  readonly records: number;
  readonly bytes: number;
  readonly lastId: number;
  readonly refused: number;
  /** With something to send. */
  readonly lanes: ReadonlySet<string>;
}

/** Kept for somebody to look at; the oldest go first. */
export const MOST_REFUSED = 200;
/** The file is given back to the disk when it is empty and larger than that. */
const SMALL_FILE_BYTES = 16 * 1024 * 1024;
/** For somebody who looks into the file with a tool of theirs while an agent starts. */
const LOCK_MS = 1000;
const FORMAT = 1;
// Chunks are up to 256 KiB: pages of 16 KiB take half the time of the default, larger ones cost small commits more.
// EXCLUSIVE before WAL keeps the index of the WAL in memory: mapped from a file, it ends the process with SIGBUS when
// the disk is full to the last byte.
const SETUP = `
  PRAGMA page_size = 16384;
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA journal_size_limit = ${SMALL_FILE_BYTES};
  PRAGMA cache_size = -8000;
`;
// `id` is given by us and never twice: a sender reads on from the last one that it has seen.
const TABLES = `
  BEGIN;
  CREATE TABLE chunk (
    id INTEGER PRIMARY KEY, lane TEXT NOT NULL, about_loss INTEGER NOT NULL, records INTEGER NOT NULL,
    size INTEGER NOT NULL, from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL,
    resource BLOB NOT NULL, body BLOB NOT NULL
  ) STRICT;
  CREATE INDEX chunk_by_lane ON chunk (lane, id, records, size);
  CREATE TABLE refused (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, reason TEXT NOT NULL,
    resource BLOB NOT NULL, body BLOB NOT NULL
  ) STRICT;
  PRAGMA user_version = ${FORMAT};
  COMMIT;
`;

export class OutboxStore {
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #remove: StatementSync;
  readonly #after: StatementSync;
  readonly #refuse: StatementSync;
  readonly #trim: StatementSync;

  /** Makes the file when it is absent. @throws Error when it can't be used; see `isCorrupt`. */
  constructor(file: string) {
    // SQLite would make it with the umask, and gives its side files the mode of this one.
    closeSync(openSync(file, 'a', 0o600));
    const database = new DatabaseSync(file, { timeout: LOCK_MS });
    this.#database = database;
    try {
      prepareTables(database);
      this.#insert = database.prepare('INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
      this.#remove = database.prepare('DELETE FROM chunk WHERE id = ?');
      this.#after = database.prepare('SELECT * FROM chunk WHERE lane = ? AND id > ? ORDER BY id');
      this.#after.setReadBigInts(true);
      this.#refuse = database.prepare(
        'INSERT INTO refused (time, reason, resource, body) VALUES (?, ?, ?, ?)',
      );
      this.#trim = database.prepare(
        `DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - ${MOST_REFUSED}`,
      );
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** @throws Error when it can't be read. */
  contents(): Contents {
    const lanes = this.#database
      .prepare(
        'SELECT lane, sum(records) AS records, sum(size) AS bytes, max(id) AS last FROM chunk GROUP BY lane',
      )
      .all();
    const refused = this.#database.prepare('SELECT count(*) AS count FROM refused').get();
    const sum = (column: string) => lanes.reduce((total, row) => total + Number(row[column]), 0);
    return {
      records: sum('records'),
      bytes: sum('bytes'),
      lastId: Math.max(0, ...lanes.map(({ last }) => Number(last))),
      refused: Number(refused?.['count']),
      lanes: new Set(lanes.map(({ lane }) => String(lane))),
    };
  }

  /** All or nothing, on the disk when it returns. @throws Error as SQLite gives it. */
  write({ insert, remove, refused }: Change): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      for (const id of remove) this.#remove.run(id);
      for (const chunk of insert) {
        const { id, lane, aboutLoss, records, fromNs, toNs, resource, body } = chunk;
        this.#insert.run(
          id,
          lane,
          Number(aboutLoss),
          records,
          sizeOf(chunk),
          fromNs,
          toNs,
          resource,
          body,
        );
      }
      const time = new Date().toISOString();
      for (const { reason, resource, body } of refused)
        this.#refuse.run(time, reason, resource, body);
      if (refused.length > 0) this.#trim.run();
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  /**
   * Chunks of a lane in the order they came, from the one after `id`.
   * @param bytes - at least one, then as many as fit
   * @throws Error when they can't be read.
   */
  read(lane: Lane, id: number, bytes: number): StoredChunk[] {
    const found: StoredChunk[] = [];
    let room = bytes;
    for (const row of this.#after.iterate(lane, id)) {
      const chunk = chunkOf(row, lane);
      found.push(chunk);
      room -= chunk.body.length;
      if (room <= 0) break;
    }
    return found;
  }

  /** @throws Error as SQLite gives it. */
  forgetAfter(id: number): void {
    this.#database.prepare('DELETE FROM chunk WHERE id > ?').run(id);
  }

  /** To be called when no chunk is left: gives the disk back what an outage took. @throws Error when it can't. */
  shrink(): void {
    const { page_count: pages = 0 } = this.#database.prepare('PRAGMA page_count').get() ?? {};
    const { page_size: size = 0 } = this.#database.prepare('PRAGMA page_size').get() ?? {};
    if (Number(pages) * Number(size) <= SMALL_FILE_BYTES) return;
    this.#database.exec('VACUUM; PRAGMA wal_checkpoint(TRUNCATE)');
  }

  close(): void {
    this.#database.close();
  }
}

/** The file isn't a database of ours, or not any more. */
export function isCorrupt(error: unknown): boolean {
  // Of statements that are right: the tables are not those that they were written for.
  const SQLITE_ERROR = 1;
  const SQLITE_CORRUPT = 11;
  const SQLITE_NOTADB = 26;
  if (error instanceof NotOurs) return true;
  const { errcode } = error as { errcode?: number };
  // Extended codes have the plain one in their lowest byte.
  return (
    errcode !== undefined && [SQLITE_ERROR, SQLITE_CORRUPT, SQLITE_NOTADB].includes(errcode & 0xff)
  );
}

/** Keeps the file for somebody to look at, one of them at most. @throws Error when it can't be renamed. */
export function setFileAside(file: string): void {
  renameSync(file, `${file}.broken`);
  rmSync(`${file}-wal`, { force: true });
}

class NotOurs extends Error {}

function prepareTables(database: DatabaseSync): void {
  database.exec(SETUP);
  const { user_version: format } = database.prepare('PRAGMA user_version').get() ?? {};
  if (format === FORMAT) return;
  const tables = database.prepare('SELECT count(*) AS count FROM sqlite_schema').get();
  if (format !== 0 || tables?.['count'] !== 0) throw new NotOurs(`unknown format ${format}`);
  database.exec(TABLES);
}

function chunkOf(row: Record<string, SQLOutputValue>, lane: Lane): StoredChunk {
  const { id, about_loss, records, from_ns: fromNs, to_ns: toNs, resource, body } = row;
  // The tables are strict, but what a disk gives back was not always written.
  const isWhole =
    typeof fromNs === 'bigint' &&
    typeof toNs === 'bigint' &&
    resource instanceof Uint8Array &&
    body instanceof Uint8Array;
  const [number, count] = [Number(id), Number(records)];
  if (!isWhole || !Number.isSafeInteger(number) || !(count > 0 && count <= body.length)) {
    throw new NotOurs(`chunk ${id} is damaged`);
  }
  return {
    id: number,
    lane,
    aboutLoss: about_loss !== 0n,
    records: count,
    fromNs,
    toNs,
    resource,
    body,
  };
}

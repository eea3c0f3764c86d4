/**
 * `learned.db` under `state`: rules that something was learned for, and the pairs. Owns its connection and nothing else;
 * each write is one transaction. A crash of the machine may take the last ones back: then a pair is learned twice.
 */
import { closeSync, openSync, renameSync, rmSync } from 'node:fs';
import { DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite';
import { z } from 'zod';
import type { Learned, LearnedPair, LearnedRule, Refusal } from './learned-pair.ts';

/** One transaction: rows as they are now, and ids that are gone. */
export interface LearnedUpdate {
  readonly rules: readonly LearnedRule[];
  readonly pairs: readonly (LearnedPair & { readonly ruleId: number })[];
  /** All that there are. */
  readonly refusals: readonly Refusal[];
  /** With all their pairs. */
  readonly goneRules: readonly number[];
}

/** For a command that reads the file while an agent starts, and the other way round. */
const LOCK_MS = 2000;
const FORMAT = 2;
// EXCLUSIVE before WAL keeps the index of the WAL in memory: mapped from a file, it ends the process with SIGBUS when
// the disk is full to the last byte.
const SETUP = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA journal_size_limit = 4194304;
`;
// Evidence is JSON: read whole, never asked for by a part of it.
const TABLES = `
  BEGIN;
  CREATE TABLE rule (
    id INTEGER PRIMARY KEY, "group" TEXT NOT NULL, name TEXT NOT NULL, fingerprint TEXT NOT NULL,
    behavior TEXT NOT NULL, operations TEXT NOT NULL, gone_ms INTEGER, UNIQUE ("group", name)
  ) STRICT;
  CREATE TABLE pair (
    id INTEGER PRIMARY KEY, rule INTEGER NOT NULL, app TEXT NOT NULL, operation TEXT NOT NULL,
    user TEXT NOT NULL, origin TEXT NOT NULL, evidence TEXT NOT NULL
  ) STRICT;
  CREATE INDEX pair_by_rule ON pair (rule);
  CREATE TABLE refusal (
    "group" TEXT PRIMARY KEY, since_ms INTEGER NOT NULL, count INTEGER NOT NULL
  ) STRICT;
  PRAGMA user_version = ${FORMAT};
  COMMIT;
`;
/** Of a statement that is right: the tables are not those that it was written for. */
const NO_SUCH = 1;
const CORRUPT = 11;
const NOT_A_DATABASE = 26;
const BUSY = 5;

type Row = Record<string, SQLOutputValue>;

/** What a Date can hold. */
const time = z.number().min(-8.64e15).max(8.64e15);
const operation = z.enum(['read', 'write', 'exec']);
const texts = z.array(z.string());
const ruleSchema = z.object({
  id: z.int(),
  group: z.string(),
  rule: z.string(),
  fingerprint: z.string(),
  behavior: z.enum(['block', 'watch']),
  operations: z.array(operation),
  goneMs: time.exactOptional(),
});
const pairSchema = z.object({
  id: z.int(),
  group: z.string(),
  rule: z.string(),
  app: z.string(),
  operation,
  user: z.string(),
  origin: z.enum(['same', 'host', 'container']),
  kind: z.enum(['binary', 'interpreter', 'multicall']),
  packageManager: z.string(),
  alsoAlone: z.literal(true).exactOptional(),
  count: z.number(),
  firstMs: time,
  lastMs: time,
  users: texts,
  paths: texts,
  workloads: texts,
  scripts: texts.exactOptional(),
  policy: z.string(),
  fingerprint: z.string(),
  replaced: z.literal(true).exactOptional(),
});
const refusalSchema = z.object({ group: z.string(), sinceMs: time, count: z.number() });

export class LearnedStore {
  readonly #database: DatabaseSync;
  readonly #putRule: StatementSync;
  readonly #dropRule: StatementSync;
  readonly #dropPairs: StatementSync;
  readonly #putPair: StatementSync;
  readonly #putRefusal: StatementSync;

  /** Makes the file when it is absent. @throws Error of SQLite when it can't be used; see `isCorrupt`. */
  constructor(file: string) {
    closeSync(openSync(file, 'a', 0o600));
    const database = new DatabaseSync(file, { timeout: LOCK_MS });
    this.#database = database;
    try {
      prepareTables(database);
      const prepare = (sql: string) => database.prepare(sql);
      // A renamed rule takes its name from one that goes in the same transaction.
      this.#putRule = prepare('INSERT OR REPLACE INTO rule VALUES (?, ?, ?, ?, ?, ?, ?)');
      this.#dropRule = prepare('DELETE FROM rule WHERE id = ?');
      this.#dropPairs = prepare('DELETE FROM pair WHERE rule = ?');
      this.#putPair = prepare('INSERT OR REPLACE INTO pair VALUES (?, ?, ?, ?, ?, ?, ?)');
      this.#putRefusal = prepare('INSERT INTO refusal VALUES (?, ?, ?)');
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** @throws Error when it can't be read; see `isCorrupt`. */
  read(): Learned {
    const all = (table: string) =>
      this.#database.prepare(`SELECT * FROM ${table} ORDER BY 1`).all();
    const rules = all('rule').map(ruleOf);
    const byId = new Map(rules.map((rule) => [rule.id, rule]));
    const pairs = all('pair').flatMap((row) => {
      const rule = byId.get(Number(row['rule']));
      return rule === undefined ? [] : [pairOf(row, rule)];
    });
    const refusals = all('refusal').map(({ group, since_ms: sinceMs, count }) =>
      checked(refusalSchema, { group, sinceMs, count }),
    );
    return { rules, pairs, refusals };
  }

  /** All or nothing. @throws Error as SQLite gives it. */
  write({ rules, pairs, refusals, goneRules }: LearnedUpdate): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      for (const id of goneRules) {
        this.#dropPairs.run(id);
        this.#dropRule.run(id);
      }
      for (const { id, group, rule, fingerprint, behavior, operations, goneMs } of rules) {
        const list = operations.join(' ');
        this.#putRule.run(id, group, rule, fingerprint, behavior, list, goneMs ?? null);
      }
      for (const { id, ruleId, group: _, rule: __, ...pair } of pairs) {
        const { app, operation, user, origin, ...evidence } = pair;
        this.#putPair.run(id, ruleId, app, operation, user, origin, JSON.stringify(evidence));
      }
      this.#database.exec('DELETE FROM refusal');
      for (const { group, sinceMs, count } of refusals) this.#putRefusal.run(group, sinceMs, count);
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  close(): void {
    this.#database.close();
  }
}

/** Keeps a damaged file for somebody to look at, one of them at most. @throws Error when it can't be renamed. */
export function setFileAside(file: string): void {
  renameSync(file, `${file}.broken`);
  for (const more of ['-wal', '-shm']) rmSync(file + more, { force: true });
}

/** Whether the file is damaged or none of ours. */
export function isCorrupt(error: unknown): boolean {
  const code = codeOf(error);
  return (
    error instanceof SyntaxError ||
    error instanceof RangeError ||
    code === NO_SUCH ||
    code === CORRUPT ||
    code === NOT_A_DATABASE
  );
}

/** Whether another process has it open. */
export function isBusy(error: unknown): boolean {
  return codeOf(error) === BUSY;
}

/** Extended codes have the plain one in their lowest byte. */
function codeOf(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: number };
  return errcode === undefined ? undefined : errcode & 0xff;
}

function prepareTables(database: DatabaseSync): void {
  database.exec(SETUP);
  const { user_version: format } = database.prepare('PRAGMA user_version').get() ?? {};
  if (format === FORMAT) return;
  const tables = database.prepare('SELECT count(*) AS count FROM sqlite_schema').get();
  if (format !== 0 || tables?.['count'] !== 0) {
    const text = `learned.db is of unknown version ${format}`;
    throw Object.assign(new Error(text), { errcode: NOT_A_DATABASE });
  }
  database.exec(TABLES);
}

/** @throws SyntaxError when it is none. */
function ruleOf(row: Row): LearnedRule {
  const { id, group, name: rule, fingerprint, behavior, operations, gone_ms: goneMs } = row;
  const list = String(operations).split(' ');
  const given = { id, group, rule, fingerprint, behavior, operations: list };
  return checked(ruleSchema, { ...given, ...(goneMs !== null && { goneMs }) });
}

/** @throws SyntaxError when it is none. */
function pairOf(row: Row, { group, rule }: LearnedRule): LearnedPair {
  const { id, app, operation, user, origin, evidence } = row;
  const told: unknown = JSON.parse(String(evidence));
  const key = { id, group, rule, app, operation, user, origin };
  return checked(pairSchema, typeof told === 'object' ? { ...told, ...key } : told);
}

/** @throws SyntaxError as JSON that is none does: the file is not as it was written. */
function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  throw new SyntaxError(`a row of learned.db is none: ${z.prettifyError(error)}`);
}

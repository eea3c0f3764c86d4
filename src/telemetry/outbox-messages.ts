/** What the two sides of the outbox tell each other. */
import type { Loss } from '../records/loss.ts';
import type { Chunk } from './chunk.ts';
import type { ExportSettings } from './export-settings.ts';

/** What may change while the outbox runs. */
export interface OutboxSettings {
  readonly export: ExportSettings;
  /** Of what waits, on disk and in memory together, in the worker. */
  readonly limitBytes: number;
}

/** What the worker begins with. */
export interface WorkerData {
  readonly file: string;
  /** The `scope` field of a `ScopeLogs`. */
  readonly scope: Uint8Array;
  readonly settings: OutboxSettings;
  /** One number: bytes of chunks that the worker has taken since it began. The main thread reads it without waiting. */
  readonly taken: SharedArrayBuffer;
}

/** Each with an id is answered by `done` with that id. */
export type ToWorker =
  | { readonly kind: 'chunk'; readonly number: number; readonly chunk: Chunk }
  | { readonly kind: 'configure'; readonly settings: OutboxSettings }
  /** When all evidence so far is on disk, acknowledged or lost. */
  | { readonly kind: 'settle'; readonly id: number }
  /** Tries at once; when nothing waits. */
  | { readonly kind: 'flush'; readonly id: number }
  /** Sends nothing more; what is in memory only by intention is lost. */
  | { readonly kind: 'stop'; readonly id: number }
  /** Writes what it has and closes the file. */
  | { readonly kind: 'close'; readonly id: number };

/** `count` without those records that told losses themselves: these are counted, but no reason for another one. */
export type LostRecords = Loss & { readonly aboutLoss: number };

/** A consistent picture: at every moment recovered + taken = exported + held + lost. */
export interface Report {
  readonly kind: 'report';
  /** Number of the last chunk that is part of this picture. */
  readonly lastChunk: number;
  readonly recovered: number;
  readonly exported: number;
  readonly held: { readonly records: number; readonly bytes: number; readonly onDisk: number };
  readonly refused: number;
  readonly retries: number;
  /** Why the collector takes nothing, '' when it does. */
  readonly problem: string;
  /** Why the disk takes nothing, '' when it does. */
  readonly diskProblem: string;
  /** Since the last report. */
  readonly lost: readonly LostRecords[];
}

export type FromWorker = Report | { readonly kind: 'done'; readonly id: number };

/** What the agent's thread and the worker of the known files say to each other: one question, one answer, in turn. */
import type { KnownPolicy } from './known-files-store.ts';
import type { RecordOperation } from './names.ts';

/** What the covered files of now are covered by. */
export interface Plan {
  readonly policy: KnownPolicy;
  /** By rule index: whether its files are hashed. */
  readonly hashed: readonly boolean[];
  /** Rules whose files are not compared: the agent's own, which it writes itself to its last moment. */
  readonly own: readonly number[];
  readonly largestHash: number;
}

/** The content of a file in one state. */
export interface HashedFile {
  readonly path: Uint8Array;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly sha256: string;
}

/** A change that nobody saw. */
export interface Found {
  readonly operation: RecordOperation;
  readonly path: Uint8Array;
  readonly newPath?: Uint8Array;
  readonly replaced?: true;
  /** Of the rule that decides about the file that is there now; absent when none is. */
  readonly ruleIndex?: number;
  /** `FileState` of the file that is there now. */
  readonly state?: Uint8Array;
  readonly sha256?: string;
  readonly sha256Before?: string;
}

/** How much of what it was given the worker has made known. */
export interface Kept {
  /** Files that wait until they are told, or until the disk takes them. */
  readonly held: number;
  /** Why the disk doesn't. */
  readonly problem: string | undefined;
}

export interface Questions {
  /** Hands over all covered files, to be compared. */
  take: { ask: { files: Uint8Array<ArrayBuffer>; plan: Plan }; answer: object };
  /**
   * Compares them with what is known; on a first start there is nothing to compare and all is learned. May be asked
   * again when the database could not be used.
   */
  compare: {
    ask: object;
    answer: {
      /** Under which the known files were covered; undefined: nothing was known. */
      policyBefore: KnownPolicy | undefined;
      covered: number;
      /** Covered files for which there is no room. */
      leftOut: number;
      /** Why the file of an earlier agent could not be read. */
      broken?: string;
    };
  };
  /** The next of what the comparison found, undefined behind the last; what the answer before held is known from now on. */
  more: { ask: object; answer: Kept & { found: readonly Found[] | undefined } };
  /** Brings up to date what is known. */
  apply: {
    ask: {
      files: Uint8Array<ArrayBuffer>;
      /** Paths (`pathKey`) and inode numbers of what is not told yet: it stays as it is known. */
      waiting: readonly string[];
      hashes: readonly HashedFile[];
      /** Only when it is another one. */
      plan?: Plan;
    };
    answer: Kept;
  };
  /** The next of the files whose content is known or was read now; none: that was all. */
  hashes: { ask: object; answer: { hashes: HashedFile[] } };
  close: { ask: object; answer: object };
}

export type Question = keyof Questions;
export interface Request<Q extends Question = Question> {
  readonly question: Q;
  readonly ask: Questions[Q]['ask'];
}
export type Reply = { readonly answer: object } | { readonly error: unknown };

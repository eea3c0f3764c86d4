/** Learning in the agent: the book that the pipeline asks, and its file under `state`. */
import type { Configuration } from '../policy/document.ts';
import { LearnedBook, type LearnedBookOptions, type LearnedPage } from './learned-book.ts';
import { LearnedKeeper, readLearned } from './learned-keeper.ts';
import type { Learned, Refusal } from './learned-pair.ts';

export interface LearningOptions extends Pick<LearnedBookOptions, 'appKind' | 'exeNames'> {
  readonly file: string;
  /** What can't be learned or kept: told once, until it is over. */
  readonly onDegraded: (trouble: LearningTrouble) => void;
  readonly onRestored: (trouble: LearningTrouble) => void;
}

export interface LearningTrouble {
  /** `error.type` of what is told then. */
  readonly error_type: 'learned_limit' | 'learned_failed';
  readonly group?: string;
  readonly detail: string;
}

/** Under `state`. */
export const LEARNED_FILE = 'learned.db';

export class Learning {
  readonly pairs: LearnedBook;
  readonly #keeper: LearnedKeeper;
  #problem: LearningTrouble | undefined;

  constructor(options: LearningOptions) {
    const { file, appKind, exeNames, onDegraded, onRestored } = options;
    const onDamaged = (error: string): void => {
      const detail = `what was learned could not be read, and was set aside: ${error}`;
      onDegraded({ error_type: 'learned_failed', detail });
    };
    const { learned, problem: unread } = tryReadLearned(file, onDamaged);
    this.pairs = new LearnedBook({
      learned,
      appKind,
      exeNames,
      onFull: (refusal) => onDegraded(limitOf(refusal)),
      onRoom: (refusal) => onRestored(limitOf(refusal)),
    });
    this.#keeper = new LearnedKeeper({
      file,
      unread,
      book: this.pairs,
      onDamaged,
      onProblem: (problem) => {
        const before = this.#problem;
        this.#problem = problem === undefined ? undefined : failureOf(problem);
        if (this.#problem) onDegraded(this.#problem);
        else if (before) onRestored(before);
      },
    });
    if (unread === undefined) return;
    this.#problem = failureOf(unread);
    onDegraded(this.#problem);
  }

  /** To be told of each configuration that came into force. @returns how many pairs each of its groups has */
  usePolicy({ document, policyVersion }: Configuration, hash: string): Map<string, number> {
    const name = policyVersion ?? hash.slice(0, 12);
    this.pairs.usePolicy(document.groups, name, Date.now());
    return new Map(document.groups.map((group) => [group.name, this.pairs.countOf(group.name)]));
  }

  page(after: number | undefined): LearnedPage {
    return this.pairs.page(after);
  }

  close(): Promise<void> {
    return this.#keeper.close();
  }
}

/** The agent goes on without what was learned before: enforcing does not turn on it. */
function tryReadLearned(
  file: string,
  onDamaged: (error: string) => void,
): { readonly learned: Learned; readonly problem?: string } {
  try {
    return { learned: readLearned(file, onDamaged) };
  } catch (error) {
    return { learned: { rules: [], pairs: [], refusals: [] }, problem: String(error) };
  }
}

function failureOf(problem: string): LearningTrouble {
  return { error_type: 'learned_failed', detail: `what is learned can't be kept: ${problem}` };
}

function limitOf({ group }: Refusal): LearningTrouble {
  return {
    error_type: 'learned_limit',
    group,
    detail: `group ${group} has learned as much as it may: what comes beyond is not learned`,
  };
}

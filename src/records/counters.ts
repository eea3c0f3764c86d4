import type { RuleInfo } from '../policy/compile.ts';
import type { Operation } from '../policy/ruleset.ts';
import type { FileEvent } from './names.ts';

export type CountedEvent = FileEvent | 'quiet';

/** What the pipeline counts, folded or not; the metrics implement it. */
export interface RecordCounters {
  fileEvent(rule: RuleInfo, event: CountedEvent, operation: Operation): void;
  lost(reason: string, count: number): void;
  learnedPairs(group: string, count: number): void;
}

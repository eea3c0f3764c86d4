/** What the pipeline tells about opens that a discover rule does not list; src/learning keeps it. */
import type { RuleInfo } from '../policy/compile.ts';
import type { Operation } from '../policy/ruleset.ts';

/** One event by an app that is not listed. */
export interface Sighting {
  readonly rule: RuleInfo;
  /** Path of the executable in its own workload. */
  readonly app: string;
  readonly operation: Operation;
  /** When pairs are learned by user. */
  readonly user?: string;
  /** For people. */
  readonly userName?: string;
  /** Where the process comes from, seen from the file's workload. */
  readonly origin: 'same' | 'host' | 'container';
  /** Nearest first. */
  readonly ancestors: readonly string[];
  /** Of the process, where records tell them. */
  readonly args?: readonly string[];
  /** As the host counts. */
  readonly pid: number;
  /** Of the file, as seen in its workload. */
  readonly path: string;
  readonly timeNs: bigint;
  /** Name and image of the file's container; absent: the host. */
  readonly workload?: string;
}

/** What the record of a new pair says of it. */
export interface NewPair {
  /** `fileward.app.kind` */
  readonly kind: string;
  /** `fileward.rule.yaml` */
  readonly yaml: string;
}

export interface LearnedPairs {
  /** Undefined when it was learned before, or can't be learned any more. */
  add(sighting: Sighting): NewPair | undefined;
  countOf(group: string): number;
}

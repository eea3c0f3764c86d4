import type { Survey } from './survey.ts';

/** What a kernel under test says on its serial port, one of these on each line. */
export type GuestLine = KernelLine | SurveyLine | TestLine | DoneLine;

export interface KernelLine {
  readonly kernel: string;
  /** What doctor doesn't find. */
  readonly lacks: readonly string[];
}

/** What became of each operation, see survey.ts. */
export interface SurveyLine extends Survey {
  readonly survey: string;
}

export interface TestLine {
  /** `native`, or the path of a test file. */
  readonly file: string;
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly error?: string;
}

export interface DoneLine {
  readonly done: string;
  /** Since it began. */
  readonly seconds: number;
}

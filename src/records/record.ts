/**
 * One record as the contract's NDJSON line has it; what the pipeline makes, what console, tail and telemetry take.
 */
export type AttributeValue = string | number | boolean | readonly string[];
export type Attributes = Readonly<Record<string, AttributeValue>>;

export interface FilewardRecord {
  /** Nanoseconds since the epoch, of the event. */
  readonly time: bigint;
  /** e.g. `fileward.file.denied`. */
  readonly event: string;
  /** OTLP severity number. */
  readonly severity: number;
  /** One short sentence for people. */
  readonly body: string;
  readonly attributes: Attributes;
  /** Resource of the file's workload. */
  readonly resource: Attributes;
}

/** What the agent tells about itself and about workloads: its own records, as opposed to those about files. */
import { isoNanoseconds } from './clock.ts';
import { ATTRIBUTE, type AgentEvent } from './names.ts';
import type { Pipeline } from './pipeline.ts';
import type { AttributeValue } from './record.ts';

/** What such a record is about; what is absent it isn't about. */
export interface About {
  readonly group?: string | undefined;
  readonly rule?: string | undefined;
  readonly error_type?: string | undefined;
  /** By which a group holds a workload. */
  readonly criteria?: string | undefined;
  readonly hash?: string | undefined;
  readonly policyVersion?: string | undefined;
  /** Nanoseconds since the epoch. */
  readonly firstSeen?: bigint | undefined;
  readonly lastSeen?: bigint | undefined;
  /** Opens that `on_deadline` allowed, and denied. */
  readonly allowed?: number | undefined;
  readonly denied?: number | undefined;
  readonly count?: number | undefined;
}

const NAMES: Readonly<Record<keyof About, string>> = {
  group: ATTRIBUTE.group,
  rule: ATTRIBUTE.rule,
  error_type: ATTRIBUTE.errorType,
  criteria: ATTRIBUTE.workloadCriteria,
  hash: ATTRIBUTE.policyHash,
  policyVersion: ATTRIBUTE.policyVersion,
  firstSeen: ATTRIBUTE.firstSeen,
  lastSeen: ATTRIBUTE.lastSeen,
  allowed: ATTRIBUTE.enforcementAllowed,
  denied: ATTRIBUTE.enforcementDenied,
  count: ATTRIBUTE.count,
};

export class AgentRecords {
  readonly #pipeline: Pick<Pipeline, 'agentEvent'>;

  constructor(pipeline: Pick<Pipeline, 'agentEvent'>) {
    this.#pipeline = pipeline;
  }

  /** @param workload - whose resource the record has; absent: the host */
  tell(event: AgentEvent, body: string, about: About = {}, workload?: number): void {
    const attributes: Record<string, AttributeValue> = {};
    for (const [key, name] of Object.entries(NAMES)) {
      const value = about[key as keyof About];
      if (value === undefined) continue;
      attributes[name] = typeof value === 'bigint' ? isoNanoseconds(value) : value;
    }
    this.#pipeline.agentEvent(event, body, attributes, workload);
  }
}

import { isoNanoseconds } from '../records/clock.ts';
import type { FilewardRecord } from '../records/record.ts';

/** The line of the contract for `run --console`, `tail --json` and `replay`, without its newline. */
export function toNdjson(record: FilewardRecord): string {
  const { time, event, severity, body, attributes, resource } = record;
  return JSON.stringify({
    time: isoNanoseconds(time),
    event,
    severity,
    body,
    attributes,
    resource,
  });
}

/** What an agent told about one file, short enough to compare. */
import type { Agent, RecordLine } from './harness.ts';

/** `denied read app_not_listed 13`: event, operation, reason (`-` without one) and severity. */
export function short(record: RecordLine): string {
  const { event, severity, attributes } = record;
  const operation = attributes['fileward.operation'] ?? '-';
  const reason = attributes['fileward.reason'] ?? '-';
  return `${event.replace(/^fileward\.(file|rule)\./, '')} ${operation} ${reason} ${severity}`;
}

/** Everything told about a path until now, sorted; call `settle()` before. */
export function told(agent: Agent, path: string): string[] {
  return agent.matching({ path }).map(short).sort();
}

/** One record as one line for people. */
import { printable } from '../policy/printable.ts';
import { paint, type Style } from './terminal.ts';

/** The parts of an NDJSON line that a person is shown. */
export interface ShownRecord {
  readonly time: string;
  readonly event: string;
  readonly severity: number;
  readonly body: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource?: Readonly<Record<string, unknown>>;
}

const EVENT_STYLES: Readonly<Record<string, Style>> = {
  denied: ['bold', 'red'],
  violated: 'yellow',
  modified: 'cyan',
  accessed: 'blue',
  learned: 'magenta',
};

/** `12:00:00.123  denied  web/conf  web-1: cat (pid 7) was denied read access to /etc/nginx/a  [app_not_listed]` */
export function recordLine(
  record: ShownRecord,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  const { attributes, resource = {} } = record;
  const isOfFile = /^fileward\.(file|rule)\./.test(record.event);
  const container = isOfFile ? (resource['container.name'] ?? resource['container.id']) : undefined;
  const event = record.event.replace(/^fileward\.(file\.|rule\.)?/, '');
  const style = EVENT_STYLES[event] ?? severityStyle(record.severity);
  const count = Number(attributes['fileward.count'] ?? 1);
  const group = attributes['security_rule.ruleset.name'];
  const rule = attributes['security_rule.name'];
  const reason = attributes['fileward.reason'];
  const parts = [
    paint('dim', record.time.slice(11, 23), stream),
    paint(style, event.padEnd(8), stream),
    ...(group && rule ? [printable(`${group}/${rule}`)] : []),
    printable(`${container === undefined ? '' : `${container}: `}${record.body}`),
    ...(count > 1 ? [`×${count}`] : []),
    ...(reason ? [paint('dim', `[${printable(String(reason))}]`, stream)] : []),
  ];
  return parts.join('  ');
}

function severityStyle(severity: number): Style {
  if (severity >= 17) return 'red';
  return severity >= 13 ? 'yellow' : 'green';
}

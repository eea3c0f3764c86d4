/** The tables of docs/telemetry.md, from the registry: each stands between `<!-- registry: NAME -->` and `<!-- end -->`. */
import type { Attribute, Event, Registry, Use, Value } from './registry.ts';

const SEVERITY_TEXT: Readonly<Record<number, string>> = {
  9: 'INFO',
  10: 'INFO2',
  13: 'WARN',
  17: 'ERROR',
};

/** @throws when the text has no place for a table, or a place for one that there isn't */
export function withTables(text: string, registry: Registry): string {
  const tables = new Map(Object.entries(tablesOf(registry)));
  const filled = text.replaceAll(
    /(<!-- registry: ([a-z -]+) -->\n).*?(<!-- end -->)/gs,
    (_, begin: string, name: string, end: string) => {
      const table = tables.get(name);
      if (table === undefined)
        throw new Error(`the registry makes no table "${name}", or not twice`);
      tables.delete(name);
      return `${begin}\n${table}\n\n${end}`;
    },
  );
  if (tables.size > 0) throw new Error(`no place for: ${[...tables.keys()].join(', ')}`);
  return filled;
}

function tablesOf({ events, metrics, entities, attributes }: Registry): Record<string, string> {
  const lost = valuesIn(events, 'fileward.record.lost');
  const gaps = valuesIn(events, 'fileward.coverage.degraded');
  const troubles = valuesIn(events, 'fileward.enforcement.degraded');
  const [host, container] = entities;
  if (host === undefined || container === undefined) throw new Error('an entity is missing');
  const inherited = new Set(host.attributes.map(({ name }) => name));
  return {
    events: table(
      ['event name', 'severity', 'when'],
      events.map((event) => [code(event.name), severity(event), brief(event)]),
    ),
    attributes: table(
      ['attribute', 'type', 'on', 'meaning'],
      usedIn(events).map(([use, of]) => [
        nameOf(use),
        typeOf(use),
        carriers(of, events),
        brief(use),
      ]),
    ),
    reasons: meanings('reason', attributes.get('fileward.reason')?.values),
    'lost reasons': meanings('`error.type`', lost),
    stages: meanings('stage', attributes.get('fileward.lost.stage')?.values),
    gaps: meanings('`error.type`', gaps),
    troubles: meanings('`error.type`', troubles),
    metrics: table(
      ['metric', 'instrument, unit', 'attributes', 'what'],
      metrics.map((metric) => [
        code(metric.name),
        `${metric.instrument} ${code(metric.unit)}`,
        metric.attributes.map(({ name }) => code(name)).join(', '),
        brief(metric),
      ]),
    ),
    resource: table(
      ['attribute', 'of', 'meaning'],
      [
        ...host.attributes.map((use) => [nameOf(use), 'host', brief(use)]),
        ...container.attributes
          .filter(({ name }) => !inherited.has(name))
          .map((use) => [nameOf(use), 'container', brief({ ...use, planned: container.planned })]),
      ],
    ),
  };
}

/** Every attribute of records once, with the events that have it, in the order of the registry. */
function usedIn(events: readonly Event[]): [Use, Event[]][] {
  const found = new Map<string, [Use, Event[]]>();
  for (const event of events) {
    for (const use of event.attributes) {
      const entry = found.get(use.name);
      if (entry) entry[1].push(event);
      else found.set(use.name, [use, [event]]);
    }
  }
  return [...found.values()];
}

const FAMILIES = [
  'fileward.file.',
  'fileward.enforcement.',
  'fileward.coverage.',
  'fileward.workload.',
];

/** `file.*` for a whole family, `all` for all. */
function carriers(of: readonly Event[], all: readonly Event[]): string {
  if (of.length === all.length) return 'all';
  const names = new Set(of.map(({ name }) => name));
  const words: string[] = [];
  for (const family of FAMILIES) {
    const members = all.filter(({ name }) => name.startsWith(family));
    if (!members.every(({ name }) => names.has(name))) continue;
    words.push(`${family.slice('fileward.'.length)}*`);
    for (const { name } of members) names.delete(name);
  }
  return [...words, ...[...names].map((name) => name.slice('fileward.'.length))].join(', ');
}

function severity({ severity, severities }: Event): string {
  const text = (number: number): string => `${SEVERITY_TEXT[number] ?? ''} ${number}`;
  const others = Object.entries(severities).map(
    ([number, when]) => `${text(Number(number))} ${when}`,
  );
  return [text(severity), ...others].join(', ');
}

function typeOf({ type, values, name }: Attribute): string {
  const short = values && name !== 'error.type' && values.length <= 8;
  return short ? values.map(({ value }) => value).join(' ') : type;
}

function meanings(head: string, values: readonly Value[] = []): string {
  return table(
    [head, 'meaning'],
    values.map(({ value, brief = '' }) => [code(value), brief]),
  );
}

function valuesIn(events: readonly Event[], name: string): readonly Value[] | undefined {
  return events
    .find((event) => event.name === name)
    ?.attributes.find((use) => use.name === 'error.type')?.values;
}

function nameOf({ name, template }: Attribute): string {
  return code(template ? `${name}.<key>` : name);
}

function brief(entry: { readonly brief: string; readonly planned: boolean }): string {
  return [entry.brief, ...(entry.planned ? ['Not sent yet.'] : [])].join(' ').trim();
}

function code(text: string): string {
  return `\`${text}\``;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** src/records/names.ts, from the registry, as the formatter would have it. */
import { type Attribute, camelCase, type Event, type Metric, type Registry } from './registry.ts';

const WIDTH = 100;
/** Of OTLP. */
const SEVERITIES: Readonly<Record<number, string>> = {
  9: 'info',
  10: 'info2',
  13: 'warn',
  17: 'error',
};
const FILE = 'fileward.file.';

export function namesSource(registry: Registry): string {
  const { attributes, events, metrics } = registry;
  const fileEvents = events.filter(({ name }) => name.startsWith(FILE));
  const agentEvents = events.filter(
    (event) => !fileEvents.includes(event) && event.name !== 'fileward.rule.learned',
  );
  const lost = find(events, 'fileward.record.lost').attributes;
  return `/**
 * Every event, attribute and metric name that fileward sends, each once. Made from config/telemetry-registry/ by
 * \`.ci/registry\`: not to be edited.
 */
// Long because it has every name.
export const SCOPE_NAME = 'fileward';
export const SCHEMA_URL = '${registry.conventions}';

/** OTLP severity numbers. */
export const SEVERITY = { ${Object.entries(SEVERITIES)
    .map(([number, name]) => `${name}: ${number}`)
    .join(', ')} } as const;

export const FILE_EVENT = {
${lines(fileEvents, ({ name }) => `  ${name.slice(FILE.length)}: '${name}',`)}
} as const;
export type FileEvent = keyof typeof FILE_EVENT;

export const RULE_LEARNED = '${find(events, 'fileward.rule.learned').name}';
export const RECORD_LOST = '${find(events, 'fileward.record.lost').name}';

/** Events about the agent itself, with the severity of each. */
export const AGENT_EVENT_SEVERITY = {
${lines(agentEvents, ({ name, severity }) => `  '${name}': SEVERITY.${severityName(severity)},`)}
} as const;
export type AgentEvent = keyof typeof AGENT_EVENT_SEVERITY;

/** Why an event is what it is: the closed list of \`fileward.reason\`. */
${list('Reason', attributes.get('fileward.reason'))}

/** \`fileward.operation\` of records; for rules and metrics each from \`create\` on is a \`write\`. */
${list('RecordOperation', attributes.get('fileward.operation'))}

/** \`fileward.lost.stage\`: between which stations something was lost. */
${list('LostStage', attributes.get('fileward.lost.stage'))}

/** \`error.type\` of what was lost between the kernel and the collector; each counter exists at 0 from the start. */
${constantList('LOST_REASONS', find(lost, 'error.type'))}
export type LostReason = (typeof LOST_REASONS)[number];

export const ATTRIBUTE = {
${[...attributes.values()].map(attributeLines).join('\n')}
} as const;

export interface Metric {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
}

export const METRIC = {
${metrics
  .filter(({ planned }) => !planned)
  .map(metricLines)
  .join('\n')}
} as const satisfies Readonly<Record<string, Metric>>;
`;
}

function attributeLines({ constant, name, template, own, brief }: Attribute): string {
  const value = template ? `${name}.` : name;
  return `${own ? `  /** ${brief} */\n` : ''}  ${constant}: '${value}',`;
}

function metricLines({ name, unit, brief }: Metric): string {
  const constant = camelCase(name.replace(/^fileward\./, ''));
  return [
    `  ${constant}: {`,
    `    name: '${name}',`,
    `    unit: '${unit}',`,
    `    description: ${quoted(brief)},`,
    '  },',
  ].join('\n');
}

function list(type: string, attribute: Attribute | undefined): string {
  const values = valuesOf(attribute).map((value) => `'${value}'`);
  const line = `export type ${type} = ${values.join(' | ')};`;
  return line.length <= WIDTH ? line : `export type ${type} =\n  | ${values.join('\n  | ')};`;
}

function constantList(constant: string, attribute: Attribute): string {
  const values = valuesOf(attribute).map((value) => `  '${value}',`);
  return `export const ${constant} = [\n${values.join('\n')}\n] as const;`;
}

function valuesOf(attribute: Attribute | undefined): string[] {
  if (!attribute?.values) throw new Error(`${attribute?.name ?? 'it'} has no closed list`);
  return attribute.values.map(({ value }) => value);
}

function severityName(number: number): string {
  const name = SEVERITIES[number];
  if (name === undefined) throw new Error(`there is no severity ${number}`);
  return name;
}

/** By the formatter's rule: single quotes unless that needs more escapes. */
function quoted(text: string): string {
  return text.includes("'") ? JSON.stringify(text) : `'${text}'`;
}

function find<T extends { readonly name: string }>(list: readonly T[], name: string): T {
  const found = list.find((each) => each.name === name);
  if (found === undefined) throw new Error(`the registry has no ${name}`);
  return found;
}

function lines(events: readonly Event[], line: (event: Event) => string): string {
  return events.map(line).join('\n');
}

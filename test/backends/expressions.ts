/**
 * Every LogQL and PromQL expression that we ship: of each panel, annotation and variable of the dashboards, of Grafana's
 * alerts and of Prometheus' rules. With variables put in as a dashboard does that shows everything of the last hour, so
 * that each can be asked of a real server as it is.
 */
import { AGENT_EVENT_SEVERITY, FILE_EVENT, RULE_LEARNED } from '../../src/records/names.ts';
import type { Dashboard, Panel } from './shipped-schema.ts';
import {
  dashboards,
  grafanaAlerts,
  grafanaAlertsFile,
  prometheusRules,
  prometheusRulesFile,
  type ShippedDashboard,
} from './shipped.ts';

/** What must be so for an expression to return data. */
export type Condition = (typeof CONDITIONS)[number];
const CONDITIONS = [
  /** An agent reports, and has done so long enough for `rate` (two exports). */
  'agent',
  /** One of `events` was recorded within the hour. */
  'event',
  'denied',
  'violated in protect',
  'record lost',
  /** It reported and hasn't for more than 5 minutes: ask with a time that much later. */
  'agent silent',
  'no agent',
  /** A group that enforced doesn't: `fileward pause` will do. */
  'enforcement inactive',
  'coverage gap',
  /** Waiting bytes above 0.5 or 0.9 of telemetry.outbox.max_size. */
  'outbox filling',
  'outbox nearly full',
  'policy rejected',
  /** Two agents with different `policy_version`. */
  'policy version differs',
  /** 1 % of verdicts took more than 50 ms. */
  'verdicts slow',
  /** The collector's own metrics arrive. */
  'collector',
  'collector queue filling',
  'collector dropped',
] as const;

export interface Expression {
  /** Path in the repository. */
  readonly file: string;
  /** Of the panel (with the query's letter), annotation, variable, alert or rule. */
  readonly title: string;
  readonly language: 'logql' | 'promql';
  /** As it is in the file. */
  readonly source: string;
  /** With variables put in. */
  readonly text: string;
  /** How a server is asked: a LogQL query for lines can only be a range query. */
  readonly kind: 'instant' | 'range';
  readonly needs: Condition;
  /** Of a LogQL expression: the event names that it can match; data comes when one of them was recorded. */
  readonly events: readonly string[];
  /** Prometheus must have loaded fileward.rules.yaml. */
  readonly usesRecordingRule: boolean;
}

export const EVENT_NAMES: readonly string[] = [
  ...Object.values(FILE_EVENT),
  RULE_LEARNED,
  ...Object.keys(AGENT_EVENT_SEVERITY),
];

/** By title of the panel, alert or rule; what isn't here needs an agent, or an event. */
const NEEDS = new Map<string, Condition>([
  ['Denied and violated by host and rule A', 'denied'],
  ['Silent agents A', 'agent silent'],
  ['fileward:file_events:increase5m', 'denied'],
  ['fileward:record_lost:increase5m', 'record lost'],
  ['FilewardFileDenied', 'denied'],
  ['FilewardViolatedInProtect', 'violated in protect'],
  ['FilewardRecordLost', 'record lost'],
  ['FilewardAgentSilent', 'agent silent'],
  ['FilewardNoAgent', 'no agent'],
  ['FilewardEnforcementInactive', 'enforcement inactive'],
  ['FilewardCoverageGap', 'coverage gap'],
  ['FilewardOutboxFilling', 'outbox filling'],
  ['FilewardOutboxNearlyFull', 'outbox nearly full'],
  ['FilewardPolicyRejected', 'policy rejected'],
  ['FilewardPolicyVersionDiffers', 'policy version differs'],
  ['FilewardVerdictsSlow', 'verdicts slow'],
  ['FilewardCollectorQueueFilling', 'collector queue filling'],
  ['FilewardCollectorDropped', 'collector dropped'],
  ['fileward-violated-in-protect', 'violated in protect'],
  ['fileward-agent-silent', 'agent silent'],
  ['fileward-no-agent', 'no agent'],
  ['fileward-enforcement-inactive', 'enforcement inactive'],
  ['fileward-coverage-gap', 'coverage gap'],
  ['fileward-policy-version-differs', 'policy version differs'],
  ['fileward-collector-queue-filling', 'collector'],
  ['fileward-collector-dropped', 'collector dropped'],
]);

/** Of Grafana, with the values that it gives them for the last hour. */
const BUILT_IN: Readonly<Record<string, string>> = {
  __range: '1h',
  __rate_interval: '4m',
  __auto: '1m',
};

export function expressions(): Expression[] {
  return [...dashboards().flatMap(ofDashboard), ...ofGrafanaAlerts(), ...ofPrometheusRules()];
}

/** Titles in the table of conditions that no expression has. */
export function unusedConditions(all: readonly Expression[]): string[] {
  const titles = new Set(all.map(({ title }) => title));
  return [...NEEDS.keys()].filter((title) => !titles.has(title));
}

function ofDashboard({ file, dashboard, panels }: ShippedDashboard): Expression[] {
  const values = variableValues(dashboard);
  const make = (
    part: Pick<Expression, 'title' | 'language' | 'source' | 'kind'>,
    text = part.source,
  ) => expression({ ...part, file, text: substitute(text, values) });
  const [, ...annotations] = dashboard.annotations.list;
  return [
    ...panels.flatMap(({ title, targets }) =>
      targets.map((target) =>
        make({
          title: `${title} ${target.refId}`,
          source: target.expr,
          ...(isLoki(target)
            ? { language: 'logql', kind: target.queryType }
            : { language: 'promql', kind: target.instant ? 'instant' : 'range' }),
        }),
      ),
    ),
    ...annotations.map(({ name, expr }) =>
      make({ title: `annotation ${name}`, language: 'logql', source: expr, kind: 'range' }),
    ),
    ...dashboard.templating.list
      .filter((variable) => variable.type === 'query')
      .map(({ name, query: { query: source } }) =>
        make(
          { title: `variable ${name}`, language: 'promql', source, kind: 'instant' },
          labelValues(source),
        ),
      ),
  ];
}

function ofGrafanaAlerts(): Expression[] {
  return grafanaAlerts().map(({ uid, data: [query] }) => {
    const source = query.model.expr;
    const language = query.datasourceUid === 'loki' ? 'logql' : 'promql';
    const file = grafanaAlertsFile;
    return expression({ file, title: uid, language, source, text: source, kind: 'instant' });
  });
}

function ofPrometheusRules(): Expression[] {
  return prometheusRules().map((rule) =>
    expression({
      file: prometheusRulesFile,
      title: 'alert' in rule ? rule.alert : rule.record,
      language: 'promql',
      source: rule.expr,
      text: rule.expr,
      kind: 'instant',
    }),
  );
}

function expression(part: Omit<Expression, 'needs' | 'events' | 'usesRecordingRule'>): Expression {
  const events = part.language === 'logql' ? matchedEvents(part.text) : [];
  return {
    ...part,
    events,
    needs: NEEDS.get(part.title) ?? (part.language === 'logql' ? 'event' : 'agent'),
    usesRecordingRule: /\bfileward:\w+:\w+/.test(part.text),
  };
}

/** `label_values(SELECTOR, LABEL)` as PromQL: one series for each value. */
function labelValues(query: string): string {
  const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(query) ?? [];
  if (selector === undefined) throw new Error(`not label_values(selector, label): ${query}`);
  return `count by (${label}) (${selector})`;
}

/** The event names that every `otel_event_name` matcher of a LogQL expression lets through. */
function matchedEvents(text: string): string[] {
  const matchers = [...text.matchAll(/otel_event_name(=~|=)"([^"]*)"/g)];
  return EVENT_NAMES.filter((event) =>
    matchers.every(([, operator, value = '']) =>
      operator === '=' ? event === value : new RegExp(`^(?:${value})$`).test(event),
    ),
  );
}

function variableValues(dashboard: Dashboard): Readonly<Record<string, string>> {
  const ours = dashboard.templating.list.map((variable) => [
    variable.name,
    'allValue' in variable ? variable.allValue : variable.current.value,
  ]);
  return { ...BUILT_IN, ...Object.fromEntries(ours) };
}

/** @throws Error on a variable that the dashboard doesn't have */
function substitute(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\$\{?(\w+)\}?/g, (found, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`${found} is no variable: ${text}`);
    return value;
  });
}

type Target = Panel['targets'][number];
function isLoki(target: Target): target is Extract<Target, { queryType: string }> {
  return target.datasource.type === 'loki';
}

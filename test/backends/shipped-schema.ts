/**
 * What the files under config/grafana and config/prometheus may hold. Grafana passes over a key that it doesn't know, so
 * a misspelt one would do nothing and say nothing; here each key stands by name, as Grafana 12 and 13 save and read
 * them, and only those that our files use. Grafana itself doesn't run in these tests.
 */
// Long because it is one schema: every key of every file once.
import { z } from 'zod';

const name = z.string().min(1);
const uid = z.string().regex(/^[a-z][a-z0-9-]{0,39}$/);
const seconds = z.string().regex(/^\d+[smhd]$/);
const sentence = z.string().min(20);
const severity = z.enum(['info', 'warning', 'critical']);

// Dashboards

const datasource = z.discriminatedUnion('type', [
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own syntax
  z.strictObject({ type: z.literal('prometheus'), uid: z.literal('${prometheus}') }),
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own syntax
  z.strictObject({ type: z.literal('loki'), uid: z.literal('${loki}') }),
]);
export type Datasource = z.infer<typeof datasource>;

const prometheusTarget = z.strictObject({
  datasource: datasource.options[0],
  editorMode: z.literal('code'),
  expr: name,
  format: z.enum(['time_series', 'table']),
  instant: z.boolean(),
  legendFormat: z.string(),
  range: z.boolean(),
  refId: z.string().regex(/^[A-Z]$/),
});
const lokiTarget = z.strictObject({
  datasource: datasource.options[1],
  direction: z.literal('backward'),
  editorMode: z.literal('code'),
  expr: name,
  legendFormat: z.string().optional(),
  maxLines: z.int().positive().optional(),
  queryType: z.enum(['instant', 'range']),
  refId: z.string().regex(/^[A-Z]$/),
});
const target = z.union([prometheusTarget, lokiTarget]);

const link = z.strictObject({ title: name, url: z.string().startsWith('/d/') });
const color = z.enum(['green', 'blue', 'orange', 'red', 'text']);
/** From https://grafana.com/docs/grafana/latest/panels-visualizations/configure-standard-options: those in use. */
const unit = z.enum(['short', 'percentunit', 's', 'rps', 'dateTimeFromNow']);
const thresholds = z.strictObject({
  mode: z.literal('absolute'),
  steps: z
    .array(z.strictObject({ color, value: z.number().nullable() }))
    .refine(([first]) => first?.value === null, 'the first step has the value null'),
});
const cellOptions = z.strictObject({ type: z.enum(['auto', 'color-text']) });

const property = z.discriminatedUnion('id', [
  z.strictObject({
    id: z.literal('color'),
    value: z.strictObject({ fixedColor: color, mode: z.literal('fixed') }),
  }),
  z.strictObject({ id: z.literal('links'), value: z.array(link).min(1) }),
  z.strictObject({ id: z.literal('unit'), value: unit }),
  z.strictObject({ id: z.literal('decimals'), value: z.int().min(0) }),
  z.strictObject({ id: z.literal('thresholds'), value: thresholds }),
  z.strictObject({ id: z.literal('custom.width'), value: z.int().positive() }),
  z.strictObject({ id: z.literal('custom.axisPlacement'), value: z.literal('right') }),
  z.strictObject({ id: z.literal('custom.cellOptions'), value: cellOptions }),
]);
const overrides = z.array(
  z.strictObject({
    matcher: z.strictObject({ id: z.literal('byName'), options: name }),
    properties: z.array(property).min(1),
  }),
);

const fieldDefaults = {
  color: z.strictObject({ mode: z.enum(['thresholds', 'palette-classic']) }),
  decimals: z.int().min(0).optional(),
  links: z.array(link).min(1).optional(),
  mappings: z.tuple([]),
  thresholds,
  unit,
};
const hidden = z.strictObject({ legend: z.boolean(), tooltip: z.boolean(), viz: z.boolean() });
const timeseriesCustom = z.strictObject({
  axisBorderShow: z.boolean(),
  axisCenteredZero: z.boolean(),
  axisColorMode: z.literal('text'),
  axisLabel: z.string(),
  axisPlacement: z.literal('auto'),
  barAlignment: z.literal(0),
  drawStyle: z.enum(['bars', 'line']),
  fillOpacity: z.int(),
  gradientMode: z.literal('none'),
  hideFrom: hidden,
  lineInterpolation: z.literal('linear'),
  lineWidth: z.int(),
  pointSize: z.int(),
  scaleDistribution: z.strictObject({ type: z.literal('linear') }),
  showPoints: z.literal('never'),
  spanNulls: z.boolean(),
  stacking: z.strictObject({ group: z.literal('A'), mode: z.enum(['normal', 'none']) }),
  thresholdsStyle: z.strictObject({ mode: z.enum(['line', 'off']) }),
});

const organize = z.strictObject({
  id: z.literal('organize'),
  options: z.strictObject({
    excludeByName: z.record(name, z.literal(true)),
    includeByName: z.strictObject({}),
    indexByName: z.record(name, z.int()),
    renameByName: z.record(name, name),
  }),
});
const joinByField = z.strictObject({
  id: z.literal('joinByField'),
  options: z.strictObject({ byField: name, mode: z.literal('outer') }),
});

const gridPos = z.strictObject({
  h: z.int().positive(),
  w: z.int().min(1).max(24),
  x: z.int().min(0).max(23),
  y: z.int().min(0),
});
const common = {
  id: z.int().positive(),
  title: name,
  /** What it shows and where a click leads, for who never saw it. */
  description: sentence,
  datasource,
  /** Without it Grafana takes the panel for one of an early version and migrates it. */
  pluginVersion: z.literal('12.2.0'),
  targets: z.array(target).min(1),
  gridPos,
  transformations: z.array(z.union([organize, joinByField])).optional(),
};
const stat = z.strictObject({
  ...common,
  type: z.literal('stat'),
  options: z.strictObject({
    colorMode: z.literal('value'),
    graphMode: z.literal('none'),
    justifyMode: z.literal('auto'),
    orientation: z.literal('auto'),
    percentChangeColorMode: z.literal('standard'),
    reduceOptions: z.strictObject({
      calcs: z.tuple([z.literal('lastNotNull')]),
      fields: z.literal(''),
      values: z.literal(false),
    }),
    showPercentChange: z.literal(false),
    textMode: z.literal('auto'),
    wideLayout: z.literal(true),
  }),
  fieldConfig: z.strictObject({
    defaults: z.strictObject({ ...fieldDefaults, noValue: name }),
    overrides,
  }),
});
const timeseries = z.strictObject({
  ...common,
  type: z.literal('timeseries'),
  options: z.strictObject({
    legend: z.strictObject({
      calcs: z.array(z.enum(['sum', 'max', 'lastNotNull'])).length(1),
      displayMode: z.literal('table'),
      placement: z.literal('bottom'),
      showLegend: z.literal(true),
      sortBy: z.enum(['Total', 'Max', 'Last *']),
      sortDesc: z.literal(true),
    }),
    tooltip: z.strictObject({
      hideZeros: z.boolean(),
      mode: z.literal('multi'),
      sort: z.literal('desc'),
    }),
  }),
  fieldConfig: z.strictObject({
    defaults: z.strictObject({
      ...fieldDefaults,
      custom: timeseriesCustom,
      min: z.number(),
      max: z.number().optional(),
    }),
    overrides,
  }),
});
const table = z.strictObject({
  ...common,
  type: z.literal('table'),
  options: z.strictObject({
    cellHeight: z.literal('sm'),
    showHeader: z.literal(true),
    sortBy: z.array(z.strictObject({ desc: z.boolean(), displayName: name })).length(1),
  }),
  fieldConfig: z.strictObject({
    defaults: z.strictObject({
      ...fieldDefaults,
      custom: z.strictObject({
        align: z.literal('auto'),
        cellOptions,
        filterable: z.boolean(),
        inspect: z.boolean(),
      }),
    }),
    overrides,
  }),
});
const logs = z.strictObject({
  ...common,
  type: z.literal('logs'),
  options: z.strictObject({
    dedupStrategy: z.literal('none'),
    enableInfiniteScrolling: z.boolean(),
    enableLogDetails: z.literal(true),
    prettifyLogMessage: z.boolean(),
    showCommonLabels: z.boolean(),
    showLabels: z.boolean(),
    showTime: z.literal(true),
    sortOrder: z.literal('Descending'),
    wrapLogMessage: z.boolean(),
  }),
  fieldConfig: z.strictObject({ defaults: z.strictObject({}), overrides: z.tuple([]) }),
});
const row = z.strictObject({
  id: z.int().positive(),
  type: z.literal('row'),
  title: name,
  collapsed: z.literal(false),
  gridPos,
  panels: z.tuple([]),
});
export type Panel = z.infer<typeof stat | typeof timeseries | typeof table | typeof logs>;

const builtInAnnotation = z.strictObject({
  builtIn: z.literal(1),
  datasource: z.strictObject({ type: z.literal('grafana'), uid: z.literal('-- Grafana --') }),
  enable: z.literal(true),
  hide: z.literal(true),
  iconColor: name,
  name,
  type: z.literal('dashboard'),
});
const lokiAnnotation = z.strictObject({
  datasource: datasource.options[1],
  enable: z.boolean(),
  expr: name,
  hide: z.boolean(),
  iconColor: color,
  instant: z.literal(false),
  name,
  tagKeys: name,
  textFormat: z.string(),
  titleFormat: name,
});

const variable = {
  name: z.string().regex(/^[a-z]+$/),
  label: name,
  description: sentence,
  hide: z.literal(0),
  skipUrlSync: z.literal(false),
};
const all = z.strictObject({
  text: z.tuple([z.literal('All')]),
  value: z.tuple([z.literal('$__all')]),
});
const many = {
  allValue: z.literal('.*'),
  allowCustomValue: z.literal(true),
  current: all,
  includeAll: z.literal(true),
  multi: z.literal(true),
};
const option = z.strictObject({ selected: z.boolean(), text: z.string(), value: z.string() });
const datasourceVariable = z.strictObject({
  ...variable,
  type: z.literal('datasource'),
  current: z.strictObject({ text: name, value: uid }),
  includeAll: z.literal(false),
  multi: z.literal(false),
  options: z.tuple([]),
  query: z.enum(['prometheus', 'loki']),
  refresh: z.literal(1),
  regex: z.literal(''),
});
const queryVariable = z.strictObject({
  ...variable,
  ...many,
  type: z.literal('query'),
  datasource: datasource.options[0],
  definition: name,
  options: z.tuple([]),
  query: z.strictObject({
    qryType: z.literal(1),
    query: name,
    refId: z.literal('PrometheusVariableQueryEditor-VariableQuery'),
  }),
  refresh: z.literal(2),
  regex: z.literal(''),
  sort: z.literal(1),
});
const customVariable = z.strictObject({
  ...variable,
  ...many,
  type: z.literal('custom'),
  options: z.array(option),
  query: name,
});
const textVariable = z.strictObject({
  ...variable,
  type: z.literal('textbox'),
  current: z.strictObject({ text: z.literal(''), value: z.literal('') }),
  options: z.array(option).length(1),
  query: z.literal(''),
});

export const dashboardSchema = z.strictObject({
  annotations: z.strictObject({
    list: z.tuple([builtInAnnotation]).rest(lokiAnnotation),
  }),
  description: sentence,
  editable: z.boolean(),
  fiscalYearStartMonth: z.literal(0),
  graphTooltip: z.literal(1),
  links: z.array(
    z.strictObject({
      asDropdown: z.literal(false),
      icon: z.literal('dashboard'),
      includeVars: z.literal(true),
      keepTime: z.literal(true),
      tags: z.tuple([]),
      targetBlank: z.boolean(),
      title: name,
      tooltip: z.string(),
      type: z.literal('link'),
      url: z.string().startsWith('/d/'),
    }),
  ),
  panels: z.array(z.discriminatedUnion('type', [stat, timeseries, table, logs, row])),
  preload: z.literal(false),
  refresh: seconds,
  schemaVersion: z.literal(42),
  tags: z.array(name),
  templating: z.strictObject({
    list: z.array(
      z.discriminatedUnion('type', [
        datasourceVariable,
        queryVariable,
        customVariable,
        textVariable,
      ]),
    ),
  }),
  time: z.strictObject({ from: name, to: name }),
  timepicker: z.strictObject({}),
  timezone: z.literal('browser'),
  title: name,
  uid,
  version: z.int().positive(),
});
export type Dashboard = z.infer<typeof dashboardSchema>;

// Provisioning

const derivedField = z.strictObject({
  name,
  matcherType: z.literal('label'),
  matcherRegex: name,
  url: z.string().startsWith('/d/'),
  urlDisplayLabel: name,
});
const source = { name, uid, access: z.literal('proxy'), url: z.url(), editable: z.literal(false) };
export const datasourcesSchema = z.strictObject({
  apiVersion: z.literal(1),
  datasources: z.array(
    z.discriminatedUnion('type', [
      z.strictObject({
        ...source,
        type: z.literal('prometheus'),
        isDefault: z.literal(true),
        jsonData: z.strictObject({ httpMethod: z.literal('POST'), timeInterval: seconds }),
      }),
      z.strictObject({
        ...source,
        type: z.literal('loki'),
        jsonData: z.strictObject({
          maxLines: z.int().positive(),
          derivedFields: z.array(derivedField),
        }),
      }),
      z.strictObject({
        ...source,
        type: z.literal('alertmanager'),
        jsonData: z.strictObject({
          implementation: z.literal('prometheus'),
          handleGrafanaManagedAlerts: z.literal(false),
        }),
      }),
    ]),
  ),
});

export const dashboardProvidersSchema = z.strictObject({
  apiVersion: z.literal(1),
  providers: z.array(
    z.strictObject({
      name,
      folder: name,
      type: z.literal('file'),
      disableDeletion: z.boolean(),
      allowUiUpdates: z.boolean(),
      updateIntervalSeconds: z.int().positive(),
      options: z.strictObject({ path: z.string().startsWith('/') }),
    }),
  ),
});

const timeRange = z.strictObject({ from: z.int().positive(), to: z.int().min(0) });
const lokiQuery = z.strictObject({
  refId: z.literal('A'),
  relativeTimeRange: timeRange,
  datasourceUid: z.literal('loki'),
  model: z.strictObject({
    refId: z.literal('A'),
    // Grafana evaluates no other kind of Loki query.
    queryType: z.literal('instant'),
    editorMode: z.literal('code'),
    expr: name,
  }),
});
const prometheusQuery = z.strictObject({
  refId: z.literal('A'),
  relativeTimeRange: timeRange,
  datasourceUid: z.literal('prometheus'),
  model: z.strictObject({
    refId: z.literal('A'),
    instant: z.literal(true),
    range: z.literal(false),
    editorMode: z.literal('code'),
    expr: name,
  }),
});
const reduce = z.strictObject({
  refId: z.literal('B'),
  datasourceUid: z.literal('__expr__'),
  model: z.strictObject({
    refId: z.literal('B'),
    type: z.literal('reduce'),
    expression: z.literal('A'),
    reducer: z.literal('last'),
  }),
});
const threshold = z.strictObject({
  refId: z.literal('C'),
  datasourceUid: z.literal('__expr__'),
  model: z.strictObject({
    refId: z.literal('C'),
    type: z.literal('threshold'),
    expression: z.literal('B'),
    conditions: z.tuple([
      z.strictObject({
        evaluator: z.strictObject({ type: z.literal('gt'), params: z.tuple([z.number()]) }),
      }),
    ]),
  }),
});
export const alertRulesSchema = z.strictObject({
  apiVersion: z.literal(1),
  groups: z.array(
    z.strictObject({
      orgId: z.literal(1),
      name,
      folder: name,
      interval: seconds,
      rules: z.array(
        z.strictObject({
          uid,
          title: name,
          condition: z.literal('C'),
          for: seconds,
          noDataState: z.literal('OK'),
          execErrState: z.literal('Error'),
          dashboardUid: uid,
          panelId: z.int(),
          labels: z.strictObject({ app: z.literal('fileward'), severity }),
          annotations: z.strictObject({ summary: sentence, description: sentence, runbook: name }),
          data: z.tuple([z.union([lokiQuery, prometheusQuery]), reduce, threshold]),
        }),
      ),
    }),
  ),
});
export type AlertRules = z.infer<typeof alertRulesSchema>;

export const contactPointsSchema = z.strictObject({
  apiVersion: z.literal(1),
  contactPoints: z.array(
    z.strictObject({
      orgId: z.literal(1),
      name,
      receivers: z.array(
        z.strictObject({
          uid,
          type: z.literal('webhook'),
          disableResolveMessage: z.boolean(),
          settings: z.strictObject({ url: z.url(), httpMethod: z.literal('POST') }),
        }),
      ),
    }),
  ),
});

const policy = {
  receiver: name,
  group_by: z.array(name),
  group_wait: seconds,
  group_interval: seconds.optional(),
  repeat_interval: seconds,
};
export const policiesSchema = z.strictObject({
  apiVersion: z.literal(1),
  policies: z.array(
    z.strictObject({
      orgId: z.literal(1),
      ...policy,
      routes: z.array(
        z.strictObject({
          ...policy,
          object_matchers: z.array(z.tuple([name, z.enum(['=', '!=', '=~', '!~']), name])),
        }),
      ),
    }),
  ),
});

/** promtool holds the rest of this file to its own schema; this is what our alerts must have besides. */
const recordingRule = z.strictObject({ record: z.string().startsWith('fileward:'), expr: name });
const alertingRule = z.strictObject({
  alert: z.string().regex(/^Fileward[A-Za-z]+$/),
  expr: name,
  for: seconds.optional(),
  labels: z.strictObject({ severity }),
  annotations: z.strictObject({
    summary: sentence,
    description: sentence,
    dashboard: z.string().startsWith('/d/'),
    runbook: name,
  }),
});
export const prometheusRulesSchema = z.strictObject({
  groups: z.array(
    z.strictObject({
      name,
      interval: seconds,
      rules: z.array(z.union([recordingRule, alertingRule])),
    }),
  ),
});

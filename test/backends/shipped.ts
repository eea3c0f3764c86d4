/** The files under config/grafana and config/prometheus, read and held to shipped-schema.ts. */
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import {
  alertRulesSchema,
  type Dashboard,
  dashboardSchema,
  datasourcesSchema,
  type Panel,
  prometheusRulesSchema,
} from './shipped-schema.ts';

export const root = path.resolve(import.meta.dirname, '../..');

/** A file of the repository, by its path from the root. @throws Error that names each key that is wrong. */
export function readShipped<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
): z.infer<Schema> {
  const text = readFileSync(path.join(root, file), 'utf8');
  const result = schema.safeParse(file.endsWith('.json') ? JSON.parse(text) : parse(text));
  if (!result.success) throw new Error(`${file}:\n${z.prettifyError(result.error)}`);
  return result.data;
}

export function shippedFiles(pattern: string): string[] {
  return globSync(pattern, { cwd: root }).sort();
}

export interface ShippedDashboard {
  readonly file: string;
  readonly dashboard: Dashboard;
  readonly panels: readonly Panel[];
}

export function dashboards(): ShippedDashboard[] {
  return shippedFiles('config/grafana/dashboards/*.json').map((file) => {
    const dashboard = readShipped(file, dashboardSchema);
    const panels = dashboard.panels.filter((panel) => panel.type !== 'row');
    return { file, dashboard, panels };
  });
}

const provisioning = 'config/grafana/provisioning';
export const datasourcesFile = `${provisioning}/datasources/fileward.yaml`;
export const dashboardProvidersFile = `${provisioning}/dashboards/fileward.yaml`;
export const grafanaAlertsFile = `${provisioning}/alerting/rules.yaml`;
export const contactPointsFile = `${provisioning}/alerting/contact-points.yaml`;
export const policiesFile = `${provisioning}/alerting/policies.yaml`;
export const prometheusRulesFile = 'config/prometheus/fileward.rules.yaml';

export function datasources() {
  return readShipped(datasourcesFile, datasourcesSchema).datasources;
}

export function grafanaAlerts() {
  return readShipped(grafanaAlertsFile, alertRulesSchema).groups.flatMap(({ rules }) => rules);
}

export function prometheusRules() {
  return readShipped(prometheusRulesFile, prometheusRulesSchema).groups.flatMap(
    ({ rules }) => rules,
  );
}

// Holds what lies under config/grafana and config/prometheus to itself and to our names. Grafana doesn't run here: that
// a dashboard looks right, no test says; that its queries return data from real servers, test/backends does.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import type { z } from 'zod';
import { attributeLabels, prometheusMetrics } from '../../backends/backend-names.ts';
import { expressions, unusedConditions } from '../../backends/expressions.ts';
import { type Matcher, readQuery } from '../../backends/queries.ts';
import {
  alertRulesSchema,
  contactPointsSchema,
  dashboardProvidersSchema,
  dashboardSchema,
  datasourcesSchema,
  policiesSchema,
  prometheusRulesSchema,
} from '../../backends/shipped-schema.ts';
import {
  contactPointsFile,
  dashboardProvidersFile,
  datasourcesFile,
  grafanaAlertsFile,
  policiesFile,
  prometheusRules,
  prometheusRulesFile,
  readShipped,
  root,
  shippedFiles,
} from '../../backends/shipped.ts';

const schemas = new Map<string, z.ZodType>([
  [datasourcesFile, datasourcesSchema],
  [dashboardProvidersFile, dashboardProvidersSchema],
  [grafanaAlertsFile, alertRulesSchema],
  [contactPointsFile, contactPointsSchema],
  [policiesFile, policiesSchema],
  [prometheusRulesFile, prometheusRulesSchema],
  ...shippedFiles('config/grafana/dashboards/*.json').map(
    (file) => [file, dashboardSchema] as const,
  ),
]);

function expectNone(complaints: readonly string[]): void {
  assert.equal(complaints.join('\n'), '');
}

/** Every object inside a document. */
function objectsIn(value: unknown): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return [];
  const inside = Object.values(value).flatMap(objectsIn);
  return Array.isArray(value) ? inside : [value as Record<string, unknown>, ...inside];
}

describe('the files for Grafana', () => {
  it('are all held to a schema', () => {
    const files = shippedFiles('config/grafana/**/*.{json,yaml}');
    assert.ok(files.length >= 7);
    expectNone(files.filter((file) => !schemas.has(file)));
  });

  for (const [file, schema] of schemas) {
    it(`${file} has every key by name, and no other would pass`, () => {
      readShipped(file, schema);
      const document: unknown = parse(readFileSync(path.join(root, file), 'utf8'));
      // The maps of a table's columns are the only objects whose keys are free.
      const free = new Set(['excludeByName', 'indexByName', 'renameByName']);
      const openMaps = new Set(
        objectsIn(document).flatMap((object) =>
          Object.entries(object).flatMap(([key, value]) => (free.has(key) ? [value] : [])),
        ),
      );
      for (const object of objectsIn(document)) {
        if (openMaps.has(object)) continue;
        object['misspelt'] = true;
        assert.equal(schema.safeParse(document).success, false, JSON.stringify(object));
        delete object['misspelt'];
      }
    });
  }
});

describe('each expression', () => {
  const all = expressions();
  const metrics = prometheusMetrics();
  const recorded = new Set(
    prometheusRules().flatMap((rule) => ('record' in rule ? rule.record : [])),
  );
  const labelsInPrometheus = new Set([...metrics.values()].flatMap((labels) => [...labels]));
  const values = new Map<string, ReadonlySet<string>>([
    ['fileward_event', new Set(['denied', 'violated', 'modified', 'accessed', 'quiet'])],
    ['fileward_mode', new Set(['discover', 'monitor', 'protect'])],
    ['fileward_policy_outcome', new Set(['loaded', 'rejected'])],
    ['service_name', new Set(['fileward'])],
  ]);

  function wrongValues({ label, value }: Matcher): string[] {
    const known = values.get(label);
    if (known === undefined || value === '.*') return [];
    return value.split('|').filter((each) => !known.has(each));
  }

  it('is found, from every file', () => {
    assert.ok(all.length > 80, String(all.length));
    assert.equal(new Set(all.map(({ file }) => file)).size, 4);
    expectNone(unusedConditions(all));
  });

  it('parses', () => {
    expectNone(
      all.flatMap(({ file, title, language, text }) =>
        readQuery(language, text).errors.map((error) => `${file}: ${title}: ${error}`),
      ),
    );
  });

  it('asks Prometheus only for metrics and labels that we send', () => {
    expectNone(
      all.flatMap(({ title, language, text }) => {
        if (language !== 'promql') return [];
        const { selectors, otherLabels } = readQuery(language, text);
        assert.ok(selectors.length > 0, title);
        return [
          ...selectors.flatMap(({ metric, matchers }) => {
            const labels = recorded.has(metric) ? labelsInPrometheus : metrics.get(metric);
            if (labels === undefined) return [`${title}: no metric ${metric}`];
            return matchers.flatMap((matcher) => [
              ...(labels.has(matcher.label) ? [] : [`${title}: ${metric} has no ${matcher.label}`]),
              ...wrongValues(matcher).map(
                (value) => `${title}: ${matcher.label} is never ${value}`,
              ),
            ]);
          }),
          ...otherLabels
            .filter((label) => !labelsInPrometheus.has(label))
            .map((label) => `${title}: no label ${label}`),
        ];
      }),
    );
  });

  it('asks Loki only for attributes and events that we send', () => {
    expectNone(
      all.flatMap(({ title, language, text, events }) => {
        if (language !== 'logql') return [];
        const { matchers, otherLabels } = readQuery(language, text);
        const labels = [...matchers.map(({ label }) => label), ...otherLabels];
        return [
          ...labels
            .filter((label) => !attributeLabels.has(label))
            .map((label) => `${title}: no attribute ${label}`),
          ...matchers
            .flatMap(wrongValues)
            .map((value) => `${title}: no event or mode has ${value}`),
          ...(events.length === 0 ? [`${title}: no event can match`] : []),
        ];
      }),
    );
  });

  it('finds the streams by the service, so that Loki reads no other logs', () => {
    for (const { title, language, text } of all) {
      if (language === 'logql') assert.match(text, /\{service_name="fileward"\}/, title);
    }
  });
});

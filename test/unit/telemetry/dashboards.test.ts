// Holds the dashboards under config/grafana together: links, variables, columns. Their keys and their expressions are
// held in grafana.test.ts.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { attributeLabels } from '../../backends/backend-names.ts';
import { EVENT_NAMES } from '../../backends/expressions.ts';
import { readQuery } from '../../backends/queries.ts';
import type { Panel } from '../../backends/shipped-schema.ts';
import {
  dashboards,
  datasources,
  prometheusRules,
  type ShippedDashboard,
} from '../../backends/shipped.ts';

function expectNone(complaints: readonly string[]): void {
  assert.equal(complaints.join('\n'), '');
}

describe('the dashboards', () => {
  const shipped = dashboards();
  const byUid = new Map(shipped.map((each) => [each.dashboard.uid, each]));
  const variablesOf = ({ dashboard }: ShippedDashboard) =>
    new Set(dashboard.templating.list.map(({ name }) => name));

  /** What is wrong with a link to one of our dashboards. */
  function linkProblems(url: string): string[] {
    const uid = /^\/d\/([^/?]+)/.exec(url)?.[1] ?? '';
    const to = byUid.get(uid);
    if (to === undefined) return [`${url}: no such dashboard`];
    const named = [
      ...[...url.matchAll(/[?&]var-(\w+)=/g)].map((match) => match[1] ?? ''),
      ...[...url.matchAll(/\$\{(\w+):queryparam\}/g)].map((match) => match[1] ?? ''),
    ];
    const known = variablesOf(to);
    return named.filter((name) => !known.has(name)).map((name) => `${url}: no variable ${name}`);
  }

  function linksOf(panel: Panel): string[] {
    const { defaults, overrides } = panel.fieldConfig;
    const ofDefaults = 'links' in defaults ? (defaults.links ?? []) : [];
    const ofFields = overrides.flatMap(({ properties }) =>
      properties.flatMap((each) => (each.id === 'links' ? each.value : [])),
    );
    return [...ofDefaults, ...ofFields].map(({ url }) => url);
  }

  it('have ids of their own and panels that do not overlap', () => {
    assert.deepEqual([...byUid.keys()].sort(), ['fileward-investigation', 'fileward-overview']);
    for (const { file, dashboard } of shipped) {
      const ids = dashboard.panels.map(({ id }) => id);
      assert.equal(new Set(ids).size, ids.length, file);
      const taken = new Set<string>();
      for (const { title, gridPos } of dashboard.panels) {
        const { x, y, w, h } = gridPos;
        assert.ok(x + w <= 24, `${file}: ${title} is too wide`);
        for (let column = x; column < x + w; column += 1) {
          for (let line = y; line < y + h; line += 1) {
            const cell = `${column} ${line}`;
            assert.ok(!taken.has(cell), `${file}: ${title} overlaps`);
            taken.add(cell);
          }
        }
      }
    }
  });

  it('have data source variables with the uids that are provisioned', () => {
    const types = new Map<string, string>(datasources().map(({ uid, type }) => [uid, type]));
    for (const { dashboard } of shipped) {
      const variables = dashboard.templating.list.filter(({ type }) => type === 'datasource');
      assert.deepEqual(
        variables.map(({ name }) => name),
        ['prometheus', 'loki'],
      );
      for (const variable of variables) {
        assert.equal(types.get(String(variable.current.value)), variable.query);
      }
    }
  });

  it('link to dashboards and variables that there are', () => {
    const derived = datasources().flatMap((each) =>
      each.type === 'loki' ? each.jsonData.derivedFields : [],
    );
    const urls = [
      ...shipped.flatMap(({ dashboard, panels }) => [
        ...dashboard.links.map(({ url }) => url),
        ...panels.flatMap(linksOf),
      ]),
      ...derived.map(({ url }) => url),
      ...prometheusRules().flatMap((rule) => ('alert' in rule ? rule.annotations.dashboard : [])),
    ];
    assert.ok(urls.length > 40);
    expectNone(urls.flatMap(linkProblems));
    expectNone(
      derived
        .map(({ matcherRegex }) => matcherRegex)
        .filter((label) => !attributeLabels.has(label)),
    );
  });

  it('keep time and data sources in the links of panels, and fill them from what the panel has', () => {
    for (const { dashboard, panels } of shipped) {
      const ours = variablesOf({ dashboard, panels, file: '' });
      for (const panel of panels) {
        const columns = new Set(
          panel.transformations?.flatMap((each) =>
            each.id === 'organize' ? Object.values(each.options.renameByName) : [],
          ),
        );
        const labels = new Set(
          panel.targets.flatMap(
            ({ expr, datasource }) =>
              readQuery(datasource.type === 'loki' ? 'logql' : 'promql', expr).otherLabels,
          ),
        );
        for (const url of linksOf(panel)) {
          for (const part of ['__url_time_range', 'prometheus:queryparam', 'loki:queryparam']) {
            assert.ok(url.includes(`\${${part}}`), `${panel.title}: ${url} lacks ${part}`);
          }
          for (const [, kind, name = ''] of url.matchAll(
            /\$\{(__field\.labels\.|__data\.fields\.|)(\w+)(?::\w+)?\}/g,
          )) {
            const known =
              kind === '__field.labels.' ? labels : kind === '__data.fields.' ? columns : ours;
            assert.ok(name === '__url_time_range' || known.has(name), `${panel.title}: no ${name}`);
          }
        }
      }
    }
  });

  it('have legends, columns and annotations made of labels that their query has', () => {
    for (const { dashboard, panels } of shipped) {
      for (const { type, title, targets, transformations = [] } of panels) {
        const columns = new Set(['Time']);
        targets.forEach(({ expr, datasource, legendFormat = '', refId }, index) => {
          const loki = datasource.type === 'loki';
          const { otherLabels } = readQuery(loki ? 'logql' : 'promql', expr);
          for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
            assert.ok(otherLabels.includes(label), `${title}: no ${label} for the legend`);
          }
          // What Grafana calls the columns: Prometheus' only value has no letter, a joined time a number.
          for (const label of otherLabels) columns.add(label);
          columns.add(loki || targets.length > 1 ? `Value #${refId}` : 'Value');
          columns.add(`Time ${index + 1}`);
        });
        for (const each of transformations) {
          const named =
            each.id === 'organize'
              ? [each.options.excludeByName, each.options.indexByName, each.options.renameByName]
              : [{ [each.options.byField]: '' }];
          for (const column of named.flatMap((map) => Object.keys(map))) {
            assert.ok(columns.has(column), `${title}: no column ${column}`);
          }
        }
        assert.ok(type !== 'table' || transformations.length > 0, title);
      }
      const [, ...annotations] = dashboard.annotations.list;
      for (const { tagKeys, titleFormat } of annotations) {
        const placeholders = [...titleFormat.matchAll(/\{\{(\w+)\}\}/g)].map(
          ([, label = '']) => label,
        );
        for (const label of [tagKeys, ...placeholders])
          assert.ok(attributeLabels.has(label), label);
      }
    }
  });

  it('lead from every count of events to the log lines behind it', () => {
    const withoutLines = dashboards().flatMap(({ dashboard, panels }) =>
      panels
        .filter(
          ({ type, targets }) =>
            type !== 'logs' && targets.some(({ expr }) => /denied|violated|lost/.test(expr)),
        )
        .filter((panel) => linksOf(panel).length === 0)
        .map(({ title }) => `${dashboard.uid}: ${title}`),
    );
    expectNone(withoutLines);
  });

  it('offer every event there is', () => {
    const event = byUid
      .get('fileward-investigation')
      ?.dashboard.templating.list.find(({ name }) => name === 'event');
    assert.ok(event?.type === 'custom');
    assert.deepEqual(event.query.split(', ').sort(), [...new Set(EVENT_NAMES)].sort());
    assert.deepEqual(
      event.options.slice(1).map(({ value }) => value),
      event.query.split(', '),
    );
  });
});

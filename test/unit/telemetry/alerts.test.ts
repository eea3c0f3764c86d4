// Holds the alerts for Prometheus and those for Grafana to each other, to the dashboards and to docs/grafana.md. That
// they fire is tested in test/backends.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readQuery } from '../../backends/queries.ts';
import { contactPointsSchema, policiesSchema } from '../../backends/shipped-schema.ts';
import {
  contactPointsFile,
  dashboards,
  datasources,
  grafanaAlerts,
  policiesFile,
  prometheusRules,
  readShipped,
  root,
} from '../../backends/shipped.ts';

function expectNone(complaints: readonly string[]): void {
  assert.equal(complaints.join('\n'), '');
}

describe('the alerts', () => {
  const ofGrafana = grafanaAlerts();
  const ofPrometheus = prometheusRules().filter((rule) => 'alert' in rule);
  const kebab = (name: string) =>
    name.replace(/(?<=.)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();

  it('are the same for Prometheus and for Grafana, as severe', () => {
    const severities = new Map(ofGrafana.map(({ uid, labels }) => [uid, labels.severity]));
    for (const { alert, labels } of ofPrometheus) {
      assert.equal(severities.get(kebab(alert)), labels.severity, alert);
    }
    // An event says it, no metric does.
    const known = new Set(ofPrometheus.map(({ alert }) => kebab(alert)));
    assert.deepEqual(
      ofGrafana.map(({ uid }) => uid).filter((uid) => !known.has(uid)),
      ['fileward-enforcement-degraded', 'fileward-enforcement-paused'],
    );
  });

  it('of Grafana have ids of their own, a panel, a data source and somebody who is told', () => {
    assert.equal(new Set(ofGrafana.map(({ uid }) => uid)).size, ofGrafana.length);
    const panels = new Map(
      dashboards().map(({ dashboard, panels }) => [
        dashboard.uid,
        new Set(panels.map(({ id }) => id)),
      ]),
    );
    const uids = new Set(datasources().map(({ uid }) => uid));
    for (const { uid, dashboardUid, panelId, data } of ofGrafana) {
      assert.ok(panels.get(dashboardUid)?.has(panelId), `${uid}: no panel ${panelId}`);
      assert.ok(uids.has(data[0].datasourceUid), uid);
    }
    const receivers = new Set(
      readShipped(contactPointsFile, contactPointsSchema).contactPoints.map(({ name }) => name),
    );
    for (const policy of readShipped(policiesFile, policiesSchema).policies) {
      expectNone(
        [policy, ...policy.routes]
          .map(({ receiver }) => receiver)
          .filter((each) => !receivers.has(each)),
      );
    }
  });

  it('say only what their expression knows', () => {
    const texts = [
      ...ofPrometheus.map(({ alert, expr, annotations }) => ({ name: alert, expr, annotations })),
      ...ofGrafana.map(({ uid, data, annotations }) => ({
        name: uid,
        expr: data[0].model.expr,
        annotations,
      })),
    ];
    for (const { name, expr, annotations } of texts) {
      const language = expr.includes('service_name=') ? 'logql' : 'promql';
      const { selectors, otherLabels } = readQuery(language, expr);
      const collector = selectors.some(({ metric }) => metric.startsWith('otelcol_'));
      const known = new Set([...otherLabels, ...(collector ? ['instance', 'exporter'] : [])]);
      for (const [, label = ''] of JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)) {
        assert.ok(known.has(label), `${name} has no label ${label}`);
      }
    }
  });

  it('each have a section in docs/grafana.md', () => {
    const docs = readFileSync(path.join(root, 'docs/grafana.md'), 'utf8');
    const anchors = new Set(
      [...docs.matchAll(/^#+ (.+)$/gm)].map(
        ([, title = '']) =>
          `docs/grafana.md#${title
            .toLowerCase()
            .replace(/[^\w -]/g, '')
            .replaceAll(' ', '-')}`,
      ),
    );
    expectNone(
      [...ofPrometheus, ...ofGrafana]
        .map(({ annotations }) => annotations.runbook)
        .filter((runbook) => !anchors.has(runbook)),
    );
  });
});

// What promtool and amtool say about config/prometheus, and that its unit tests leave no alert out.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { z } from 'zod';
import { run } from '../kernel/children.ts';
import { missingBackends, program } from './programs.ts';
import { prometheusRules, root } from './shipped.ts';

const skip = missingBackends();
const directory = path.join(root, 'config/prometheus');

async function passes(name: 'promtool' | 'amtool', ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await run(program(name), args, { cwd: directory });
  assert.equal(code, 0, stdout + stderr);
}

describe('config/prometheus', () => {
  it('has rules that promtool finds nothing to say about', { skip }, () =>
    passes('promtool', 'check', 'rules', '--lint=all', '--lint-fatal', 'fileward.rules.yaml'),
  );

  it('has alerts that fire and that stay quiet, as fileward.rules.test.yaml says', { skip }, () =>
    passes('promtool', 'test', 'rules', 'fileward.rules.test.yaml'),
  );

  it('has a configuration for Prometheus', { skip }, () =>
    passes('promtool', 'check', 'config', 'prometheus.yml'),
  );

  it('has a configuration for Alertmanager', { skip }, () =>
    passes('amtool', 'check-config', 'alertmanager.yml'),
  );

  it('sends an alert of either severity to the receiver', { skip }, async () => {
    for (const severity of ['critical', 'info']) {
      await passes(
        'amtool',
        'config',
        'routes',
        'test',
        '--config.file=alertmanager.yml',
        '--verify.receivers=fileward',
        `severity=${severity}`,
      );
    }
  });

  it('tests that each alert fires, and that it does not', () => {
    const schema = z.object({
      tests: z.array(
        z.object({
          alert_rule_test: z.array(
            z.object({ alertname: z.string(), exp_alerts: z.array(z.unknown()) }),
          ),
        }),
      ),
    });
    const text = readFileSync(path.join(directory, 'fileward.rules.test.yaml'), 'utf8');
    const checks = schema.parse(parse(text)).tests.flatMap((test) => test.alert_rule_test);
    const named = (fires: boolean): string[] =>
      [
        ...new Set(
          checks
            .filter((check) => check.exp_alerts.length > 0 === fires)
            .map((check) => check.alertname),
        ),
      ].sort();
    const alerts = prometheusRules()
      .flatMap((rule) => ('alert' in rule ? rule.alert : []))
      .sort();
    assert.deepEqual(named(true), alerts);
    assert.deepEqual(named(false), alerts);
  });
});

// Files that come from elsewhere: rules of NeuVector, recorded events of other nodes, policy tests. Whatever is in them,
// there is an answer with places or something that the loader takes; nothing of them gets further than it may.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { noLines, readRecorded } from '../../../src/commands/recorded-events.ts';
import { loadConfiguration } from '../../../src/config/load.ts';
import { readNeuvectorFiles } from '../../../src/config/neuvector-file.ts';
import { formatProblem, ProblemList } from '../../../src/config/problem.ts';
import { loadPolicyTests } from '../../../src/config/test-file.ts';
import { MergedPairs } from '../../../src/learning/merged.ts';
import { loadNative } from '../../../src/native/load.ts';
import { importRules } from '../../../src/policy/neuvector/import.ts';
import { importedYaml } from '../../../src/policy/neuvector/yaml.ts';
import { mutated } from '../../fuzz/mutated-text.ts';
import { tries } from '../../fuzz/property.ts';

const native = loadNative();
const folder = mkdtempSync(path.join(tmpdir(), 'fileward-hostile-'));
after(() => rmSync(folder, { recursive: true }));

const oneLine = /^[^\p{Cc}]+$/u;

const fixtures = path.join(import.meta.dirname, 'fixtures/neuvector');
const neuvector = readdirSync(fixtures)
  .filter((name) => /\.(?:ya?ml|json)$/.test(name))
  .map((name) => readFileSync(path.join(fixtures, name), 'utf8'))
  .filter((text) => text.length < 20_000);

describe('a file of NeuVector', () => {
  it('is refused with places, or becomes a configuration that is one', async () => {
    const file = path.join(folder, 'rules.yaml');
    const config = path.join(folder, 'fileward.config.yaml');
    writeFileSync(config, 'version: 1\n');
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(mutated(neuvector), async (text) => {
        writeFileSync(file, text);
        const problems = new ProblemList();
        const { rules, definitions, notes } = await readNeuvectorFiles([file], problems);
        for (const problem of problems.errors) assert.match(formatProblem(problem), oneLine);
        if (problems.errors.length > 0) return;
        const imported = importRules(rules, definitions, native);
        if (imported.problems.length > 0) return;
        const yaml = importedYaml({ ...imported, notes: [...notes, ...imported.notes] }, [file]);
        const result = await loadConfiguration({
          file: config,
          offline: true,
          instead: new Map([[config, yaml]]),
        });
        assert.ok(result.ok, result.ok ? '' : `${result.problems.map(formatProblem)}\n${yaml}`);
        accepted += 1;
      }),
      tries(150),
    );
    assert.ok(accepted > 10, `${accepted}: too few got as far as that`);
  });
});

const attributes = {
  'security_rule.ruleset.name': 'host',
  'security_rule.name': 'shadow',
  'process.executable.path': '/usr/bin/cat',
  'fileward.operation': 'read',
  'fileward.rule.yaml': '- exe: /usr/bin/cat\n  user: root\n',
  'file.path': '/etc/shadow',
};
const ndjson = JSON.stringify({
  time: '2026-11-21T10:00:00.123456789Z',
  event: 'fileward.rule.learned',
  severity: 10,
  body: 'b',
  attributes,
  resource: { 'host.name': 'a' },
});
const otlp = JSON.stringify({
  resourceLogs: [
    {
      resource: { attributes: [{ key: 'host.name', value: { stringValue: 'a' } }] },
      scopeLogs: [
        {
          logRecords: [
            {
              timeUnixNano: '1700000000000000000',
              eventName: 'fileward.rule.learned',
              attributes: [
                ...Object.entries(attributes).map(([key, value]) => ({
                  key,
                  value: { stringValue: value },
                })),
                { key: '__proto__', value: { arrayValue: { values: [{ intValue: '1' }] } } },
                { key: 'n', value: { intValue: '1' } },
              ],
            },
          ],
        },
      ],
    },
  ],
});

describe('recorded events', () => {
  it('of any text are read, or counted as what can not be', async () => {
    const file = path.join(folder, 'records.ndjson');
    const line = fc.oneof(
      mutated([ndjson, otlp]),
      fc.json(),
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc.constantFrom(
        ndjson,
        otlp,
        '',
        '[]',
        '{"resourceLogs":[{"scopeLogs":[{"logRecords":[null]}]}]}',
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 6 }), async (lines) => {
        writeFileSync(file, lines.join('\n'));
        const counts = noLines();
        const merged = new MergedPairs(() => 'binary');
        for await (const events of readRecorded(file, counts)) {
          for (const event of events) {
            assert.ok(event.event.startsWith('fileward.'));
            assert.ok(
              event.timeMs === undefined || !Number.isNaN(new Date(event.timeMs).getTime()),
            );
            merged.add(event);
          }
        }
        assert.ok(counts.unreadable + counts.cutOff.length <= counts.lines);
        assert.ok(counts.lines <= lines.join('\n').split('\n').length);
      }),
      tries(400),
    );
  });
});

describe('a file of policy tests', () => {
  it('is refused with places, or each of its tests has what it needs', async () => {
    const file = path.join(folder, 'fileward.test.yaml');
    const good = `- { name: passwd may write, group: host, path: /etc/shadow, app: /usr/bin/passwd, operation: write, expect: { verdict: allow } }
- { name: web, workload: { image: "nginx:1.27", labels: { app: web } }, path: /etc/nginx/a, app: /bin/sh, operation: write, expect: { event: learned } }
`;
    await fc.assert(
      fc.asyncProperty(mutated([good]), async (text) => {
        writeFileSync(file, text);
        const result = await loadPolicyTests(file);
        if (!result.ok) {
          assert.ok(result.problems.length > 0);
          for (const problem of result.problems) assert.match(formatProblem(problem), oneLine);
          return;
        }
        for (const test of result.tests) {
          assert.ok(test.path.startsWith('/') && test.app.startsWith('/'));
          assert.ok(['read', 'write', 'exec'].includes(test.operation));
          assert.ok(Object.keys(test.expect).length > 0);
        }
      }),
      tries(300),
    );
  });
});

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { recordLine } from '../../../src/commands/record-line.ts';

it('names the container whose file it is, where the sentence does not', () => {
  const record = {
    time: '2026-11-21T10:00:00.123456789Z',
    severity: 9,
    attributes: {},
    resource: { 'container.id': 'c0ffee', 'container.name': 'web-1' },
  };
  const line = (event: string, body: string) =>
    stripVTControlCharacters(recordLine({ ...record, event, body })).slice(14);
  assert.equal(
    line('fileward.file.modified', 'sh (pid 7) wrote to /a'),
    'modified  web-1: sh (pid 7) wrote to /a',
  );
  assert.equal(
    line('fileward.workload.stopped', 'Container web-1 has gone'),
    'workload.stopped  Container web-1 has gone',
  );
});

it('is one line with time, event, rule, body, number and reason, and nothing that acts on a terminal', () => {
  const line = recordLine({
    time: '2026-11-21T10:00:00.123456789Z',
    event: 'fileward.file.denied',
    severity: 13,
    body: 'cat was denied to read /etc/\u001b[2Jshadow',
    attributes: {
      'security_rule.ruleset.name': 'host',
      'security_rule.name': 'shadow',
      'fileward.reason': 'app_not_listed',
      'fileward.count': 3,
    },
  });
  assert.equal(
    stripVTControlCharacters(line),
    '10:00:00.123  denied    host/shadow  cat was denied to read /etc/\\x1b[2Jshadow  ×3  [app_not_listed]',
  );
});

/** `fileward replay` as a user meets it: recorded lines against a configuration. Needs neither root nor the files. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';

const main = path.resolve(import.meta.dirname, '../../../src/main.ts');
const folder = mkdtempSync(path.join(tmpdir(), 'fileward-replay-'));
after(() => rmSync(folder, { recursive: true }));

function fileward(args: readonly string[], { input = '', nodeArgs = [] as string[] } = {}) {
  const all = ['--disable-warning=ExperimentalWarning', ...nodeArgs, main, ...args];
  return spawnSync(process.execPath, all, {
    encoding: 'utf8',
    cwd: folder,
    input,
    env: { PATH: process.env['PATH'] ?? '', NO_COLOR: '1' },
    maxBuffer: 64 * 1024 * 1024,
  });
}

function write(name: string, text: string | Buffer): string {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

/** The rules that the records of these tests were made under, in a mode. */
function configuration(mode: string, apps = '[ /usr/bin/passwd ]'): string {
  return write(
    `${mode}-${apps.length}.yaml`,
    `version: 1
groups:
  - name: host
    members: { host: true }
    mode: ${mode}
    rules:
      - { name: shadow, path: /etc/shadow, behavior: block, operations: [read, write, exec], apps: ${apps} }
      - { name: logs, path: "/var/log/**", behavior: watch, operations: [read, write] }
`,
  );
}

type Attributes = Record<string, string | number | string[]>;
interface Line {
  readonly event: string;
  readonly attributes: Attributes;
  readonly resource: Attributes;
}

function record(event: string, more: Attributes = {}, resource: Attributes = {}): Line {
  const denied = event === 'file.denied';
  return {
    event: `fileward.${event}`,
    attributes: {
      'file.path': '/etc/shadow',
      'fileward.operation': 'read',
      ...(event !== 'rule.learned' && { 'fileward.verdict': denied ? 'deny' : 'allow' }),
      'fileward.mode': denied ? 'protect' : 'monitor',
      'security_rule.name': 'shadow',
      'security_rule.ruleset.name': 'host',
      'process.executable.path': '/usr/bin/cat',
      'process.user.id': '0',
      'fileward.process.ancestors': ['/usr/bin/bash'],
      'fileward.count': 1,
      'otel.event.name': `fileward.${event}`,
      ...more,
    },
    resource: { 'service.name': 'fileward', 'host.name': 'web-1', ...resource },
  };
}

function ndjson(lines: readonly object[]): string {
  return lines
    .map(
      (line) =>
        `${JSON.stringify({ time: '2026-11-21T10:00:00.000000000Z', severity: 13, body: 'x', ...line })}\n`,
    )
    .join('');
}

function keyValues(attributes: Attributes) {
  const anyValue = (value: Attributes[string]): object => {
    if (typeof value === 'string') return { stringValue: value };
    if (typeof value === 'number') return { intValue: String(value) };
    return { arrayValue: { values: value.map((each) => ({ stringValue: each })) } };
  };
  return Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }));
}

/** As a collector's file exporter writes them: one request a line. */
function otlp(lines: readonly Line[]): string {
  const request = {
    resourceLogs: lines.map(({ event, attributes, resource }) => ({
      resource: { attributes: keyValues(resource) },
      scopeLogs: [
        {
          scope: { name: 'fileward', version: '0.1.0' },
          logRecords: [
            {
              timeUnixNano: '1',
              severityNumber: 13,
              eventName: event,
              attributes: keyValues(attributes),
            },
          ],
        },
      ],
    })),
  };
  return `${JSON.stringify(request)}\n`;
}

function replayed(records: string, config: string, ...args: string[]) {
  const file = write('records.jsonl', records);
  const { stdout, stderr, status } = fileward(['replay', file, '-c', config, '--json', ...args]);
  assert.equal(stderr, '');
  return { ...JSON.parse(stdout), status };
}

const openings = [
  record('file.violated', { 'fileward.reason': 'app_not_listed' }),
  record('file.violated', { 'fileward.reason': 'app_not_listed', 'fileward.count': 5 }),
  record('file.violated', { 'fileward.reason': 'app_not_listed', 'fileward.operation': 'write' }),
  record('file.accessed', {
    'file.path': '/var/log/syslog',
    'security_rule.name': 'logs',
    'fileward.reason': 'app_not_listed',
  }),
];

describe('replay', () => {
  it('says what a protecting configuration would deny, counted by kind', () => {
    const answer = replayed(ndjson(openings), configuration('protect'));
    assert.equal(answer.denied, 7);
    assert.equal(answer.unchanged, 1);
    assert.equal(answer.events, 8);
    assert.deepEqual(
      answer.changes.map(({ count, operation, change }: Record<string, unknown>) => [
        count,
        operation,
        change,
      ]),
      [
        [6, 'read', 'denied'],
        [1, 'write', 'denied'],
      ],
    );
    const [{ was, now, workloads }] = answer.changes;
    assert.deepEqual(workloads, ['web-1']);
    assert.deepEqual(was, {
      outcome: 'violated',
      verdict: 'allow',
      rule: 'host/shadow',
      reason: 'app_not_listed',
    });
    assert.deepEqual(now, { ...was, outcome: 'denied', verdict: 'deny' });
  });

  it('counts equal events of many machines as one kind, and says where', () => {
    const from = (host: string) => record('file.violated', {}, { 'host.name': host });
    const hosts = Array.from({ length: 30 }, (_, index) => `node-${index}`);
    const records = ndjson(hosts.map(from));
    const { changes } = replayed(records, configuration('protect'));
    assert.equal(changes.length, 1);
    assert.equal(changes[0].count, 30);
    assert.deepEqual(changes[0].workloads, hosts.slice(0, 20));
    const file = write('records.jsonl', records);
    const { stdout } = fileward(['replay', file, '-c', configuration('protect')]);
    assert.match(stdout, /×30 .* on node-0 and others$/m);
  });

  it('says it to people', () => {
    const file = write('records.jsonl', ndjson(openings));
    const { stdout, status } = fileward(['replay', file, '-c', configuration('protect')]);
    assert.equal(status, 0);
    assert.match(
      stdout,
      /^7 events would be denied that were not:\n {2}×6 +read +\/etc\/shadow +by \/usr\/bin\/cat \(0\) +violated host\/shadow \[app_not_listed\] → denied host\/shadow/m,
    );
    assert.match(
      stdout,
      /^8 events: 7 newly denied, 0 newly allowed, 0 undecided, 1 with the same verdict$/m,
    );
    assert.match(stdout, /^told differently: 7 violated → denied$/m);
  });

  it("reads a collector's OTLP/JSON lines as it reads our own", () => {
    const config = configuration('protect');
    const own = replayed(ndjson(openings), config);
    const { lines: _own, ...fromOwn } = own;
    const { lines: _otlp, ...fromOtlp } = replayed(otlp(openings), config);
    assert.deepEqual(fromOtlp, fromOwn);
  });

  it('finds no change in the configuration that made the records', () => {
    const made = [
      ...openings,
      record('file.modified', { 'fileward.operation': 'rename' }),
      record('file.violated', {
        'fileward.operation': 'rename',
        'fileward.reason': 'not_enforceable',
        'fileward.file.new_path': '/tmp/x',
      }),
      record('file.modified', {
        'fileward.operation': 'write',
        'process.executable.path': '/usr/bin/passwd',
      }),
    ];
    const answer = replayed(ndjson(made), configuration('monitor'));
    assert.deepEqual([answer.denied, answer.allowed, answer.undecided], [0, 0, 0]);
    assert.deepEqual(answer.told_differently, {});

    const protecting = [
      record('file.denied', { 'fileward.reason': 'app_not_listed' }),
      // The path is a listed app's, the file is not.
      record('file.denied', {
        'fileward.reason': 'identity_mismatch',
        'process.executable.path': '/usr/bin/passwd',
      }),
      // No gate: they went through in protect too.
      record('file.violated', {
        'fileward.operation': 'delete',
        'fileward.reason': 'not_enforceable',
      }),
      record('file.modified', { 'fileward.operation': 'write', 'fileward.reason': 'process_gone' }),
      record('file.violated', {
        'fileward.operation': 'write',
        'fileward.reason': 'descriptor_not_judged',
      }),
      record('file.modified', {
        'fileward.operation': 'write',
        'fileward.reason': 'found_on_rescan',
      }),
    ];
    const strict = replayed(ndjson(protecting), configuration('protect'));
    assert.deepEqual([strict.denied, strict.allowed, strict.undecided], [0, 0, 0]);
    assert.deepEqual(strict.told_differently, {});
  });

  it('says what would be allowed that was denied, and what is no longer covered', () => {
    const denied = ndjson([record('file.denied', { 'fileward.reason': 'app_not_listed' })]);
    const listed = replayed(denied, configuration('protect', '[ /usr/bin/passwd, /usr/bin/cat ]'));
    assert.equal(listed.allowed, 1);
    assert.equal(listed.changes[0].now.outcome, 'quiet');
    const elsewhere = write(
      'elsewhere.yaml',
      'version: 1\ngroups: [ { name: g, members: { host: true }, rules: [ { name: r, path: /a, behavior: watch } ] } ]\n',
    );
    const [change] = replayed(denied, elsewhere).changes;
    assert.equal(change.now.outcome, 'not_covered');
    assert.equal(change.now.rule, '');
  });

  it('--fail-on-deny is status 1 when something would be denied that was not, else 0', () => {
    const all = ndjson(openings);
    assert.equal(replayed(all, configuration('protect'), '--fail-on-deny').status, 1);
    assert.equal(replayed(all, configuration('protect')).status, 0);
    assert.equal(replayed(all, configuration('monitor'), '--fail-on-deny').status, 0);
    const still = ndjson([record('file.denied')]);
    assert.equal(replayed(still, configuration('protect'), '--fail-on-deny').status, 0);
  });

  it('judges what was learned: promoting too early shows', () => {
    const learned = ndjson([
      record('rule.learned'),
      record('rule.learned', { 'process.executable.path': '/usr/bin/passwd' }),
    ]);
    const answer = replayed(learned, configuration('protect'));
    assert.equal(answer.denied, 1);
    assert.equal(answer.changes[0].app, '/usr/bin/cat');
  });

  it('knows the unit by the cgroup, and users by number', () => {
    const apps = '[ { exe: /usr/bin/cat, unit: backup.service }, { exe: /usr/bin/dd, user: 7 } ]';
    const config = configuration('protect', apps);
    const cgroup = (of: string) => record('file.violated', { 'process.linux.cgroup': of });
    const user = (id: string) =>
      record('file.violated', { 'process.executable.path': '/usr/bin/dd', 'process.user.id': id });
    const counts = (line: Line) => replayed(ndjson([line]), config).denied;
    assert.equal(counts(cgroup('/system.slice/backup.service')), 0);
    assert.equal(counts(cgroup('/system.slice/other.service')), 1);
    assert.equal(counts(cgroup('/user.slice/user-0.slice/backup.service')), 1);
    assert.equal(counts(user('7')), 0);
    assert.equal(counts(user('8')), 1);
  });

  it('does not pretend to know what records do not say', () => {
    const config = configuration(
      'protect',
      '[ { exe: /usr/bin/python3.11, script: /usr/bin/certbot } ]',
    );
    const line = record('file.modified', {
      'fileward.operation': 'write',
      'process.executable.path': '/usr/bin/python3.11',
    });
    const answer = replayed(ndjson([line]), config, '--fail-on-deny');
    assert.deepEqual([answer.denied, answer.undecided, answer.status], [0, 1, 0]);
  });

  it('asks the groups that hold the container of a record', () => {
    const config = write(
      'containers.yaml',
      `version: 1
groups:
  - name: host
    members: { host: true }
    rules: [ { name: r, path: /etc/shadow, behavior: watch, operations: [read] } ]
  - name: web
    members: { container: { image: "nginx:*" }, kubernetes: { namespace: shop, labels: { app: web } } }
    mode: protect
    rules: [ { name: r, path: /etc/shadow, behavior: block, operations: [read], apps: [] } ]
`,
    );
    const from = (image: string, namespace: string) =>
      record(
        'file.violated',
        {},
        {
          'container.id': 'abc',
          'container.name': 'web-1',
          'container.image.name': image,
          'container.image.tags': ['1.27'],
          'k8s.namespace.name': namespace,
          'k8s.pod.name': 'web-7f',
        },
      );
    const rules = [from('nginx', 'shop'), from('redis', 'shop'), from('nginx', 'dev')].map(
      (line, index) =>
        // Each another container: what is known of one is remembered.
        ({ ...line, resource: { ...line.resource, 'container.id': `c${index}` } }),
    );
    const answer = replayed(ndjson([...rules, record('file.violated')]), config);
    assert.equal(answer.denied, 1);
    assert.equal(answer.changes[0].now.rule, 'web/r');
    assert.deepEqual(answer.changes[0].workloads, ['web-1']);
    // What is listed is the container's own file, not one of the host that has its name.
    const cat = write(
      'cat.yaml',
      `version: 1
groups:
  - name: web
    members: { container: { image: "nginx:*" } }
    mode: protect
    rules: [ { name: r, path: /etc/shadow, behavior: block, operations: [read], apps: [ /usr/bin/cat ] } ]
`,
    );
    const reached = ['same', 'host', 'container'].map((origin) => {
      const line = from('nginx', 'shop');
      const more = origin === 'same' ? {} : { 'fileward.process.origin': origin };
      return { ...line, attributes: { ...line.attributes, ...more } };
    });
    assert.equal(replayed(ndjson(reached), cat).denied, 2);
    // Labels that a collector has put on them count.
    const labelled = ['web', 'db'].map((app, index) => {
      const line = from('nginx', 'shop');
      const resource = { ...line.resource, 'container.id': `l${index}`, 'k8s.pod.label.app': app };
      return { ...line, resource };
    });
    assert.equal(replayed(ndjson(labelled), config).denied, 1);
  });
});

describe('lines that are not whole or not ours', () => {
  const config = configuration('protect');
  const good = ndjson(openings.slice(0, 1));

  it('a last line that is cut off is said, not fatal', () => {
    const answer = replayed(good + good.slice(0, 40), config);
    assert.equal(answer.denied, 1);
    assert.equal(answer.lines.cut_off.length, 1);
    assert.equal(answer.lines.unreadable, 0);
    const file = write('records.jsonl', good + good.slice(0, 40));
    assert.match(fileward(['replay', file, '-c', config]).stdout, /the last line is cut off/);
  });

  it('a whole last line without its newline counts', () => {
    assert.equal(replayed(good.trimEnd(), config).denied, 1);
  });

  it('records of others and broken lines are counted, with the place of the first', () => {
    const foreign = JSON.stringify({
      resourceLogs: [{ scopeLogs: [{ scope: { name: 'other' }, logRecords: [{ body: {} }, {}] }] }],
    });
    const text = `${foreign}\n{"level":30,"msg":"x"}\nnot json\n\n[1]\n${good}`;
    const answer = replayed(text, config);
    assert.equal(answer.denied, 1);
    assert.equal(answer.lines.foreign_records, 3);
    assert.equal(answer.lines.unreadable, 2);
    assert.match(answer.lines.first_unreadable, /records\.jsonl:3$/);
  });

  it('records of ours that are about no single file are said', () => {
    const rest = record('file.violated');
    const { 'file.path': _path, 'fileward.operation': _operation, ...attributes } = rest.attributes;
    const lost = { event: 'fileward.record.lost', attributes: {}, resource: {} };
    const answer = replayed(ndjson([{ ...rest, attributes }, lost]), config);
    assert.equal(answer.not_judged, 2);
    assert.equal(answer.events, 0);
  });

  it('characters that only JavaScript takes for line ends do not cut a line', () => {
    const line = record('file.violated', { 'file.path': '/var/log/a\u2028b' });
    assert.equal(replayed(ndjson([line]), config).events, 1);
  });

  it('nothing of ours at all, no file, and compressed files are status 2', () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      [write('others.jsonl', '{"level":30}\n'), /no record of fileward's in/],
      [path.join(folder, 'absent.jsonl'), /absent\.jsonl can not be read: no such file/],
      [write('records.gz', gzipSync(good)), /compressed.*zcat/],
      [folder, /can not be read/],
    ];
    for (const [file, message] of cases) {
      const { stdout, stderr, status } = fileward(['replay', file, '-c', config]);
      assert.equal(status, 2, stdout);
      assert.match(stderr, message);
      assert.equal(stdout, '');
    }
  });

  it('an empty file is no failure: there was nothing to tell', () => {
    const answer = replayed('', config, '--fail-on-deny');
    assert.deepEqual([answer.status, answer.records], [0, 0]);
  });

  it('several files and stdin are read as one', () => {
    const file = write('records.jsonl', good);
    const args = ['replay', file, file, '-', '-c', config, '--json'];
    const { stdout } = fileward(args, { input: good });
    assert.equal(JSON.parse(stdout).denied, 3);
  });
});

describe('a file that is larger than the memory', () => {
  it('is streamed, its kinds counted', () => {
    const file = path.join(folder, 'huge.jsonl');
    const kinds = 500;
    const times = 300;
    const part = ndjson(
      Array.from({ length: kinds }, (_, index) =>
        record('file.violated', {
          'process.executable.path': `/usr/bin/tool${index}`,
          'fileward.rule.tag.note': 'x'.repeat(300),
        }),
      ),
    );
    const descriptor = openSync(file, 'w');
    for (let time = 0; time < times; time += 1) writeSync(descriptor, part);
    closeSync(descriptor);
    const { stdout, stderr, status } = fileward(
      ['replay', file, '-c', configuration('protect'), '--json'],
      { nodeArgs: ['--max-old-space-size=48'] },
    );
    assert.equal(status, 0, stderr);
    const answer = JSON.parse(stdout);
    assert.equal(answer.denied, kinds * times);
    assert.equal(answer.changes.length, kinds);
    assert.ok(answer.changes.every(({ count }: { count: number }) => count === times));
  });
});

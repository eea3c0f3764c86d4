/** The command line as a user meets it: help, usage errors, exit statuses. Needs no root. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';

const main = path.resolve(import.meta.dirname, '../../../src/main.ts');
const folder = mkdtempSync(path.join(tmpdir(), 'fileward-cli-'));
const config = path.join(folder, 'fileward.config.yaml');

function fileward(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], {
    encoding: 'utf8',
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '', NO_COLOR: '1', ...env },
  });
}

before(() => {
  writeFileSync(
    config,
    `version: 1
policy_version: "abc"
groups:
  - name: host
    members: { host: true }
    mode: protect
    rules:
      - name: shadow
        description: Password hashes
        path: /etc/shadow
        behavior: block
        operations: [read, write]
        apps: [ /usr/bin/passwd, { exe: /usr/sbin/sshd, operations: [read] } ]
      - { name: logs, path: "/var/log/**", behavior: watch }
`,
  );
});
after(() => rmSync(folder, { recursive: true }));

const commands = [
  'init',
  'run',
  'check',
  'explain',
  'test',
  'replay',
  'import',
  'doctor',
  'status',
  'tail',
  'confirm',
  'release',
  'pause',
  'resume',
  'demo',
  'learned',
];

describe('help', () => {
  it('lists every command and nothing that is not there', () => {
    const { stdout, status } = fileward(['--help']);
    assert.equal(status, 0);
    const listed = [...stdout.matchAll(/^ {2}([a-z]+) .*/gm)].map(([, name]) => name);
    assert.deepEqual(
      listed.filter((name) => name !== 'sudo'),
      commands,
    );
  });

  for (const command of commands) {
    it(`of ${command} has an example`, () => {
      const { stdout, status } = fileward([command, '--help']);
      assert.equal(status, 0);
      assert.match(stdout, new RegExp(`Examples:\n.*fileward ${command}`, 's'));
    });
  }

  it('--version is the version of the package', () => {
    const { stdout, status } = fileward(['--version']);
    assert.equal(status, 0);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  });
});

describe('bad usage is status 2 and says what is wrong', () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /Usage: fileward/],
    [['statsu'], /Did you mean status/],
    [['run', '--nope'], /unknown option '--nope'/],
    [['pause', '--for', '15m'], /--reason/],
    [['pause', '--reason', 'x'], /--for/],
    [['pause', '--for', 'soon', '--reason', 'x'], /90s, 15m or 2h/],
    [['explain'], /PATH or --record/],
    [['explain', '/x', '--operation', 'delete'], /read, write, exec/],
    [['test', '--format', 'html'], /text, json, junit/],
    [['init', '--mode', 'off'], /discover, monitor, protect/],
    [['run', '-c', '/nonexistent.yaml'], /nonexistent/],
    [['replay'], /records/],
    [['import'], /neuvector/],
    [['import', 'neuvector'], /file/],
    [['import', 'falco', 'x'], /falco/],
  ];
  for (const [args, message] of cases) {
    it(args.join(' ') || '(nothing)', () => {
      const { stderr, stdout, status } = fileward(args);
      assert.equal(status, 2, stderr);
      assert.match(stderr, message);
      assert.equal(stdout, '');
    });
  }
});

describe('run without a configuration', () => {
  it('is status 2 with the command to type', () => {
    const { stderr, status } = fileward(['run', '-c', path.join(folder, 'absent.yaml')]);
    assert.equal(status, 2);
    assert.match(stderr, /fileward init/);
  });
});

describe('check', () => {
  it('looks for nothing on this disk that only containers have', () => {
    const file = path.join(folder, 'containers.yaml');
    writeFileSync(
      file,
      `version: 1
groups:
  - name: web
    members: { container: { image: "nginx:*", labels: { app: web } } }
    mode: protect
    rules:
      - name: conf
        path: /no/such/place/**
        behavior: block
        operations: [read]
        apps: [ /no/such/app, { exe: /no/such/host-app, workload: host } ]
`,
    );
    const { stdout, status } = fileward(['check', '-c', file]);
    assert.equal(status, 0, stdout);
    assert.match(stdout, /members: container image nginx:\*, label app web/);
    assert.match(stdout, /denied.*open to read/);
    assert.doesNotMatch(stdout, /covers|absent +\/no\/such\/place|not yet/);
    assert.match(stdout, /absent apps +\/no\/such\/host-app$/m);
  });

  it('prints each rule as it is understood, what is denied and what only detected', () => {
    const { stdout, status, stderr } = fileward(['check', '-c', config, '--offline']);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /valid, 1 group, 2 rules/);
    assert.match(stdout, /host {2}protect/);
    assert.match(stdout, /shadow {2}block.*Password hashes/);
    assert.match(stdout, /apps +\/usr\/bin\/passwd, \/usr\/sbin\/sshd \(only read\)/);
    assert.match(stdout, /denied: .*; only detected: .*rename/);
  });

  it('names every problem with its place and ends with 2', () => {
    const bad = path.join(folder, 'bad.yaml');
    writeFileSync(bad, 'version: 1\ngrups: []\ngroups:\n  - { name: host, modus: protect }\n');
    const { stdout, status } = fileward(['check', '-c', bad, '--offline']);
    assert.equal(status, 2);
    assert.match(stdout, /^.*bad\.yaml:2:1: .*grups.*groups/m);
    assert.match(stdout, /^.*bad\.yaml:4:\d+: .*modus.*mode/m);
  });
});

describe('explain', () => {
  const ask = (...args: string[]) => fileward(['explain', ...args, '-c', config]);

  it('says which rule decides, the verdict, why, and what would allow it', () => {
    const { stdout, status } = ask('/etc/shadow', '--app', '/usr/bin/cat', '--operation', 'read');
    assert.equal(status, 0);
    assert.match(stdout, /^read +deny +denied/);
    assert.match(stdout, /host\/shadow/);
    assert.match(stdout, /To allow it.*\/usr\/bin\/cat/s);
  });

  it('answers in JSON', () => {
    const { stdout } = ask(
      '/etc/shadow',
      '--app',
      '/usr/sbin/sshd',
      '--operation',
      'read',
      '--json',
    );
    const [answer] = JSON.parse(stdout);
    assert.equal(answer.verdict, 'allow');
    assert.equal(answer.rule, 'shadow');
    assert.equal(answer.change, null);
  });

  it('explains a record', () => {
    const file = path.join(folder, 'record.json');
    const attributes = {
      'file.path': '/etc/shadow',
      'fileward.operation': 'rename',
      'process.executable.path': '/usr/bin/mv',
    };
    writeFileSync(file, `${JSON.stringify({ event: 'fileward.file.violated', attributes })}\n`);
    const { stdout, status } = ask('--record', file);
    assert.equal(status, 0);
    assert.match(stdout, /no gate/);
  });

  it('no name of a workload is bad usage', () => {
    const { status, stderr } = ask('/etc/shadow', '--workload', '');
    assert.deepEqual([status, /name or id of a container/.test(stderr)], [2, true]);
  });

  it('a group that is not there is bad usage', () => {
    const { status, stderr } = ask('/etc/shadow', '--group', 'nope');
    assert.equal(status, 2);
    assert.match(stderr, /nope/);
  });
});

describe('test', () => {
  const tests = path.join(folder, 'fileward.test.yaml');
  const good =
    '- { name: passwd, path: /etc/shadow, app: /usr/bin/passwd, operation: write, expect: { verdict: allow } }\n';
  const bad =
    '- { name: "cat <&>", path: /etc/shadow, app: /usr/bin/cat, operation: read, expect: { verdict: allow } }\n';

  it('is 0 when all hold, 1 when one does not, found beside the configuration', () => {
    writeFileSync(tests, good);
    assert.equal(fileward(['test', '-c', config]).status, 0);
    writeFileSync(tests, good + bad);
    const { status, stdout } = fileward(['test', '-c', config]);
    assert.equal(status, 1);
    assert.match(stdout, /✗ cat <&>\n +expected verdict allow, got deny/);
    assert.match(stdout, /2 tests, 1 failed/);
  });

  it('speaks JSON and JUnit', () => {
    writeFileSync(tests, good + bad);
    const json = JSON.parse(fileward(['test', tests, '-c', config, '--format', 'json']).stdout);
    assert.deepEqual(
      json.map(({ passed }: { passed: boolean }) => passed),
      [true, false],
    );
    const junit = fileward(['test', tests, '-c', config, '--format', 'junit']).stdout;
    assert.match(junit, /<testsuite name="fileward" tests="2" failures="1">/);
    assert.match(junit, /<testcase name="cat &lt;&amp;&gt;"/);
  });

  it('that can not be read is 2', () => {
    writeFileSync(tests, '- { name: x, path: relative }\n');
    const { status, stderr } = fileward(['test', '-c', config]);
    assert.equal(status, 2);
    assert.match(stderr, /fileward\.test\.yaml:1:/);
  });
});

describe('init --stdout', () => {
  it('prints a configuration that check accepts', () => {
    for (const mode of ['discover', 'monitor', 'protect']) {
      const { stdout, status } = fileward(['init', '--stdout', '--mode', mode]);
      assert.equal(status, 0);
      assert.match(stdout, new RegExp(`mode: ${mode}`));
      const file = path.join(folder, 'init.yaml');
      writeFileSync(file, stdout);
      const checked = fileward(['check', '-c', file, '--offline']);
      assert.equal(checked.status, 0, checked.stdout);
    }
  });
});

describe('a reader that goes away early', () => {
  it('is no failure', () => {
    const command = `"$0" --disable-warning=ExperimentalWarning "$1" check -c "$2" --offline | head -1; exit \${PIPESTATUS[0]}`;
    const { status, stderr } = spawnSync('bash', ['-c', command, process.execPath, main, config], {
      encoding: 'utf8',
    });
    assert.equal(stderr, '');
    assert.equal(status, 0);
  });
});

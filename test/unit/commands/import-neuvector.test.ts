/** `fileward import neuvector` as a user meets it, its output judged by `check`, `test` and `explain`. Needs no root. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { parse, parseAllDocuments, stringify } from 'yaml';

const main = path.resolve(import.meta.dirname, '../../../src/main.ts');
const fixtures = path.join(import.meta.dirname, 'fixtures/neuvector');
const folder = mkdtempSync(path.join(tmpdir(), 'fileward-neuvector-'));
after(() => rmSync(folder, { recursive: true }));

function fileward(args: readonly string[], options: { input?: string; cwd?: string } = {}) {
  return spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], {
    encoding: 'utf8',
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '', NO_COLOR: '1' },
    maxBuffer: 64 * 1024 * 1024,
    ...options,
  });
}

let configurations = 0;

function imported(text: string, name = 'rules.yaml') {
  writeFileSync(path.join(folder, name), text);
  const { stdout, stderr, status } = fileward(['import', 'neuvector', name]);
  assert.equal(status, 0, stderr);
  configurations += 1;
  const config = path.join(folder, `imported-${configurations}.yaml`);
  writeFileSync(config, stdout);
  return { config, yaml: stdout, stderr, groups: parse(stdout).groups };
}

function accepted(config: string): string {
  const checked = fileward(['check', '--offline', '-c', config]);
  assert.equal(checked.status, 0, checked.stdout);
  return checked.stdout;
}

interface Source {
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
  readonly mode?: string;
  readonly criteria?: readonly { key: string; op: string; value: string }[];
  readonly file: readonly object[];
}

/** One resource as YAML. */
function resource({
  kind = 'NvClusterSecurityRule',
  name = 'nv.web.shop',
  namespace,
  mode = 'Protect',
  criteria = [{ key: 'domain', op: '=', value: 'shop' }],
  file,
}: Source): string {
  return stringify({
    apiVersion: 'neuvector.com/v1',
    kind,
    metadata: { name, ...(namespace && { namespace }) },
    spec: { target: { policymode: mode, selector: { name, criteria } }, file },
  });
}

interface Asked {
  readonly group: string;
  readonly path?: string;
  readonly app?: string;
  readonly operation?: string;
  readonly workload?: object;
}

interface Answer {
  readonly verdict: string;
  readonly event: string;
  readonly rule: string | null;
  readonly failures: readonly string[];
}

/** What `fileward test` finds for each question. */
function ask(config: string, questions: readonly Asked[]): Answer[] {
  const tests = questions.map((question, index) => ({
    name: `q${index}`,
    path: '/etc/x',
    app: '/usr/bin/cat',
    operation: 'read',
    ...question,
    expect: { verdict: 'deny' },
  }));
  const file = path.join(folder, 'questions.test.yaml');
  writeFileSync(file, JSON.stringify(tests));
  const { stdout, stderr } = fileward(['test', file, '-c', config, '--format', 'json']);
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

describe('the import of exported files', () => {
  const run = () =>
    fileward(['import', 'neuvector', 'export.yaml', 'cluster.yaml'], { cwd: fixtures });
  const { stdout, stderr, status } = run();
  const groups = parse(stdout).groups;

  it('is accepted by check', () => {
    assert.equal(status, 0, stderr);
    const config = path.join(folder, 'fixtures.yaml');
    writeFileSync(config, stdout);
    assert.match(accepted(config), /valid, 3 groups, 7 rules/);
  });

  it('takes selectors, filters, behavior, apps and mode over', () => {
    assert.deepEqual(groups[0], {
      name: 'nv.nginx-pod.demo',
      members: { kubernetes: { pod: ['nginx-pod', 'nginx-pod-*'], namespace: 'demo' } },
      mode: 'protect',
      rules: [
        {
          name: 'etc-mysecret',
          description: 'NeuVector filter /etc/mysecret',
          path: '/etc/mysecret',
          behavior: 'block',
          operations: ['read', 'write', 'exec'],
          apps: ['/{usr/local/sbin,usr/local/bin,usr/sbin,usr/bin,sbin,bin}/vi', '/usr/sbin/nginx'],
        },
        {
          name: 'home-ssh',
          description: 'NeuVector filter /home/*/.ssh/*',
          regex: '/home/.*/\\.ssh/[^/]*',
          behavior: 'block',
          operations: ['read', 'write', 'exec'],
          apps: [],
        },
        {
          name: 'etc-nginx',
          description: 'NeuVector filter /etc/nginx/*, recursive',
          path: '/etc/nginx/**',
          behavior: 'watch',
          operations: ['write'],
        },
      ],
    });
  });

  it('names each thing without counterpart on stderr and at its place in the output', () => {
    const expected: readonly (readonly [string, RegExp, RegExp])[] = [
      // file, what stands on the line that is named, what is said of it
      ['export.yaml', /selector/, /'egress' \(1 network rule\) has no counterpart/],
      ['export.yaml', /action: allow/, /'process' \(1 process rule\) has no counterpart/],
      ['export.yaml', /baseline/, /baseline: zero-drift/],
      ['export.yaml', /nv\.redis-pod\.demo/, /nv\.redis-pod\.demo has no file rules/],
      ['export.yaml', /"\*"/, /app '\*' lists nobody/],
      ['export.yaml', /vi/, /app vi: any program or process of that name/],
      ['export.yaml', /service/, /service = 'nginx-pod\.demo' is taken as pods named/],
      ['cluster.yaml', /ConfigMap/, /a ConfigMap has no file rules/],
      ['cluster.yaml', /shop_front/, /called 'shop_front'/],
      ['cluster.yaml', /name: shop_front/, /has no mode in NeuVector/],
      ['cluster.yaml', /app/, /any of them/],
      ['cluster.yaml', /srv\/www\//, /'\/srv\/www\/' is taken as '\/srv\/www\/\*'/],
      ['cluster.yaml', /\/etc\/passwd/, /'recursive' has no effect/],
      ['cluster.yaml', /useradd|app/, /ignores 'app' \(useradd\) for monitor_change/],
      ['cluster.yaml', /dlp/, /'dlp' has no counterpart/],
      ['cluster.yaml', /worker-1/, /node = 'worker-1' has no counterpart/],
      ['cluster.yaml', /mode: Protect/, /Protect is lowered to monitor/],
    ];
    for (const [file, source, said] of expected) {
      const told = stderr.split('\n').find((line) => line.startsWith(file) && said.test(line));
      assert.ok(told, `nothing on stderr says ${said}`);
      const [, number = '', text = ''] = /^[^:]+:(\d+):\d+: (.*)$/.exec(told) ?? [];
      const line = readFileSync(path.join(fixtures, file), 'utf8').split('\n')[Number(number) - 1];
      assert.match(line ?? '', source, told);
      assert.ok(stdout.includes(`# ${file}:${number}: ${text}`), `no comment says ${text}`);
    }
    const comments = stdout.match(/^ *# (export|cluster)\.yaml:\d+: /gm) ?? [];
    const lines = stderr.match(/^(export|cluster)\.yaml:\d+:\d+: /gm) ?? [];
    assert.equal(comments.length, lines.length);
  });

  it('puts the comment of a rule right before it', () => {
    assert.match(stdout, /# export\.yaml:\d+: app '\*' lists nobody[^\n]*\n +- name: home-ssh\n/);
  });

  it('reads JSON, a stream of documents and stdin alike', () => {
    const text = readFileSync(path.join(fixtures, 'cluster.yaml'), 'utf8');
    const items = parseAllDocuments(text).map((document) => document.toJS());
    const json = JSON.stringify({ apiVersion: 'v1', kind: 'List', items }, null, 2);
    const { groups: fromJson } = imported(json, 'rules.json');
    assert.deepEqual(fromJson, groups.slice(1));
    const { stdout: fromStdin } = fileward(['import', 'neuvector', '-'], { input: text });
    assert.deepEqual(parse(fromStdin).groups, groups.slice(1));
  });
});

/**
 * NeuVector's own meaning of a filter (controller/rest/file_monitor.go parseFileFilter, share/fsmon getDirFileList):
 * `*` is `.*`; the folders of the path are matched with it, then the last part as a name, below them when recursive.
 */
function neuvectorCovers(filter: string, recursive: boolean, file: string): boolean {
  const whole = (filter.endsWith('/') ? `${filter}*` : filter)
    .replaceAll('.', '\\.')
    .replaceAll('*', '.*');
  const [base, name] = [path.dirname(whole), path.basename(whole)];
  const matches = (pattern: string, text: string) => new RegExp(`^${pattern}$`).test(text);
  if (!whole.includes('*')) return filter === file;
  if (!name.includes('*')) return matches(whole, file);
  if (!matches(name, path.basename(file))) return false;
  for (let at = path.dirname(file); ; at = path.dirname(at)) {
    if (matches(base, at)) return true;
    if (!recursive || at === '/') return false;
  }
}

describe('what is denied after the import', () => {
  const filters = [
    '/etc/mysecret',
    '/etc/nginx/*',
    '/etc/nginx/*.conf',
    '/etc/nginx/',
    '/etc/pki/key-*.pem',
    '/home/*/.ssh/*',
    '/home/*/.bashrc',
    '/opt/app*/conf/*',
    '/opt/*/abc/*.d',
    '/*',
    '/srv/a b/{x}',
    '/srv/lit?eral',
    '/srv/tre*/d?r/*',
  ];
  const paths = [
    '/etc/mysecret',
    '/etc/mysecret2',
    '/etc/sub/mysecret',
    '/etc/nginx/nginx.conf',
    '/etc/nginx/.hidden',
    '/etc/nginx/confXd',
    '/etc/nginx/conf.d/default.conf',
    '/etc/nginx/a/b/c.conf',
    '/etc/nginx2/nginx.conf',
    '/etc/pki/key-1.pem',
    '/etc/pki/key-/x.pem',
    '/etc/pki/sub/key-1.pem',
    '/etc/pki/key-1xpem',
    '/home/u/.ssh/id',
    '/home/u/v/.ssh/id',
    '/home/.ssh/id',
    '/home/u/.ssh/deep/id',
    '/home/u/xssh/id',
    '/home/u/.bashrc',
    '/home/u/v/.bashrc',
    '/home/u/xbashrc',
    '/opt/app/conf/a',
    '/opt/app1/conf/a',
    '/opt/app1/x/conf/a',
    '/opt/app1/conf/x/a',
    '/opt/other/conf/a',
    '/opt/x/abc/y.d',
    '/opt/x/y/abc/z.d',
    '/opt/x/abc/q/z.d',
    '/opt/abc/z.d',
    '/top',
    '/srv/a b/{x}',
    '/srv/a b/x',
    '/srv/lit?eral',
    '/srv/literal',
    '/srv/lieral',
    '/srv/tree/dr/a',
    '/srv/tre/x/dr/a',
    '/srv/tree/dir/a',
  ];
  const rows = filters.flatMap((filter) =>
    [false, true].map((recursive) => ({ filter, recursive })),
  );
  const { config } = imported(
    rows
      .map(({ filter, recursive }, index) =>
        resource({
          name: `nv.r${index}.shop`,
          file: [{ filter, recursive, behavior: 'block_access', app: ['/usr/bin/listed'] }],
        }),
      )
      .join('---\n'),
  );

  it('is what NeuVector denies: every filter by every path, recursive or not', () => {
    const questions = rows.flatMap(({ filter, recursive }, index) =>
      paths.map((each) => ({ filter, recursive, group: `nv.r${index}.shop`, path: each })),
    );
    const answers = ask(
      config,
      questions.map(({ group, path: each }) => ({ group, path: each })),
    );
    const wrong = questions.filter(({ filter, recursive, path: each }, index) => {
      const covers = neuvectorCovers(filter, recursive, each);
      return answers[index]?.verdict !== (covers ? 'deny' : 'allow');
    });
    assert.deepEqual(wrong, []);
    const denied = answers.filter(({ verdict }) => verdict === 'deny').length;
    accepted(config);
    assert.ok(denied > 60 && denied < answers.length / 2, `${denied} of ${answers.length}`);
  });

  it('is any open of an unlisted app, and none of a listed one', () => {
    const operations = ['read', 'write', 'exec'];
    const questions = operations.flatMap((operation) =>
      ['/usr/bin/listed', '/usr/bin/cat', '/tmp/listed'].map((app) => ({
        group: 'nv.r0.shop',
        path: '/etc/mysecret',
        operation,
        app,
      })),
    );
    const verdicts = ask(config, questions).map(({ verdict }) => verdict);
    assert.deepEqual(
      verdicts,
      operations.flatMap(() => ['allow', 'deny', 'deny']),
    );
  });

  it('is explained for the group', () => {
    const { stdout } = fileward([
      'explain',
      '/home/a/b/.ssh/id',
      '--app',
      '/usr/bin/cat',
      '--operation',
      'read',
      '--group',
      'nv.r10.shop',
      '-c',
      config,
    ]);
    assert.match(stdout, /^read +deny +denied/);
    assert.match(stdout, /home-ssh/);
  });
});

describe('apps, modes and behaviors', () => {
  const block = (app: readonly string[], filter = '/etc/x') => ({
    filter,
    behavior: 'block_access',
    app,
  });

  it('a bare name is the program of the system, never a file of that name elsewhere', () => {
    const { config } = imported(resource({ file: [block(['vi'])] }));
    const apps = ['/usr/bin/vi', '/bin/vi', '/usr/local/sbin/vi', '/tmp/evil/vi', '/usr/bin/vim'];
    const answers = ask(
      config,
      apps.map((app) => ({ group: 'nv.web.shop', app })),
    );
    assert.deepEqual(
      answers.map(({ verdict }) => verdict),
      ['allow', 'allow', 'allow', 'deny', 'deny'],
    );
  });

  it('monitor_change tells changes only, whoever is in app', () => {
    const file = [{ filter: '/etc/x', behavior: 'monitor_change', app: ['/usr/bin/cat'] }];
    const { config } = imported(resource({ file }));
    const [write, read] = ask(config, [
      { group: 'nv.web.shop', operation: 'write' },
      { group: 'nv.web.shop', operation: 'read' },
    ]);
    assert.equal(write?.event, 'modified');
    assert.equal(read?.event, 'none');
  });

  it('each mode is ours; process_profile.mode wins', () => {
    for (const [mode, event] of [
      ['Discover', 'learned'],
      ['Monitor', 'violated'],
      ['Protect', 'denied'],
    ] as const) {
      const { config } = imported(resource({ mode, file: [block([])] }));
      assert.equal(ask(config, [{ group: 'nv.web.shop' }])[0]?.event, event);
    }
    const both = parse(resource({ mode: 'Discover', file: [block([])] }));
    both.spec.process_profile = { mode: 'Monitor' };
    assert.equal(imported(stringify(both)).groups[0].mode, 'monitor');
  });

  it('block beats monitor, and the more specific filter decides', () => {
    const file = [
      { filter: '/data/*', recursive: true, behavior: 'monitor_change' },
      block(['/usr/bin/wide'], '/data/*'),
      block(['/usr/bin/narrow'], '/data/small'),
      { filter: '/data/small', behavior: 'monitor_change' },
    ];
    const { config, stderr } = imported(resource({ file }));
    const app = (each: string, of: string) => ({ group: 'nv.web.shop', app: each, path: of });
    const answers = ask(config, [
      app('/usr/bin/narrow', '/data/small'),
      app('/usr/bin/wide', '/data/small'),
      app('/usr/bin/wide', '/data/other'),
      app('/usr/bin/narrow', '/data/other'),
    ]);
    assert.deepEqual(
      answers.map(({ verdict }) => verdict),
      ['allow', 'deny', 'allow', 'deny'],
    );
    assert.match(stderr, /block_access wins/);
  });

  it('several resources of one group are one group: apps united, the strictest mode', () => {
    const { groups, config, stderr } = imported(
      [
        resource({ mode: 'Monitor', file: [block(['/usr/bin/a'])] }),
        resource({ mode: 'Protect', file: [block(['/usr/bin/b'])] }),
      ].join('---\n'),
    );
    assert.equal(groups.length, 1);
    assert.match(stderr, /the stricter one counts/);
    const answers = ask(
      config,
      ['/usr/bin/a', '/usr/bin/b', '/usr/bin/c'].map((app) => ({ group: 'nv.web.shop', app })),
    );
    assert.deepEqual(
      answers.map(({ event }) => event),
      ['quiet', 'quiet', 'denied'],
    );
  });

  it('says where groups that NeuVector would unite judge apart', () => {
    const { stderr } = imported(
      [
        resource({ file: [block(['/usr/bin/a'])] }),
        resource({ name: 'nv.db.shop', file: [block(['/usr/bin/b'])] }),
      ].join('---\n'),
    );
    assert.match(stderr, /also in 'nv\.web\.shop' NeuVector unites the apps/);
  });
});

describe('what is left out', () => {
  it('is named: keys that are not known, at every level, and filters that can not be said', () => {
    const source = parse(
      resource({
        file: [
          { filter: '/etc/a*|b', behavior: 'block_access' },
          { filter: '/etc/ok', behavior: 'block_access', extra: 1 },
          { filter: '/etc/passwd', behavior: 'block_access' },
        ],
      }),
    );
    source.spec.target.selector.mon_metric = true;
    source.spec.target.selector.grp_sess_cur = 0;
    source.spec.target.other = 'x';
    source.spec.future = [{ a: 1 }];
    source.spec.response = [{ event: 'security-event' }, { event: 'event' }];
    const { yaml, stderr, groups } = imported(stringify(source));
    const expected = [
      /'extra' has no counterpart/,
      /'mon_metric' has no counterpart/,
      /'other' has no counterpart/,
      /'future' has no counterpart/,
      /'response' \(2 response rules\) has no counterpart/,
      /filter '\/etc\/a\*\|b': '\|' beside '\*' .*; the rule is left out/,
      /lets any process named ps read \/etc\/passwd/,
    ];
    for (const said of expected) {
      assert.match(stderr, said);
      assert.match(yaml, said);
    }
    assert.doesNotMatch(stderr, /grp_sess_cur/);
    assert.deepEqual(
      groups[0].rules.map(({ name }: { name: string }) => name),
      ['etc-passwd', 'etc-ok'],
    );
  });
});

describe('criteria', () => {
  type Criteria = Source['criteria'];
  const file = [{ filter: '/etc/x', behavior: 'block_access' }];
  const pod = (namespace: string, name: string, labels: Record<string, string> = {}) => ({
    image: 'docker.io/library/nginx:1.27',
    name: 'web',
    kubernetes: { namespace, pod: name, labels },
  });
  const inPod = (container: string) => ({
    name: container,
    kubernetes: { namespace: 'shop', pod: 'a', container },
  });
  const c = (key: string, op: string, value: string) => ({ key, op, value });

  /** Who is a member, of these workloads. */
  function membersOf(criteria: Criteria, workloads: readonly object[]): boolean[] {
    const { config, groups } = imported(resource({ ...(criteria && { criteria }), file }));
    const { name } = groups[0];
    const answers = ask(
      config,
      workloads.map((workload) => ({ group: name, workload })),
    );
    return answers.map(({ verdict }) => verdict === 'deny');
  }

  const cases: readonly (readonly [
    string,
    NonNullable<Criteria>,
    readonly (readonly [object, boolean])[],
  ])[] = [
    [
      'of one key: any',
      [c('domain', '=', 'shop'), c('domain', '=', 'pay*')],
      [
        [pod('shop', 'a'), true],
        [pod('payments', 'a'), true],
        [pod('dev', 'a'), false],
      ],
    ],
    [
      'all negative: all',
      [c('domain', '!=', 'shop'), c('domain', '!=', 'dev')],
      [
        [pod('shop', 'a'), false],
        [pod('dev', 'a'), false],
        [pod('payments', 'a'), true],
      ],
    ],
    [
      'of different keys: both',
      [c('domain', '=', 'shop'), c('image', 'contains', 'nginx')],
      [
        [pod('shop', 'a'), true],
        [{ ...pod('shop', 'a'), image: 'redis:7' }, false],
      ],
    ],
    [
      'labels of pods: any of them',
      [c('domain', '=', 'shop'), c('app', '=', 'web'), c('tier', '=', 'front')],
      [
        [pod('shop', 'a', { app: 'web' }), true],
        [pod('shop', 'a', { tier: 'front' }), true],
        [pod('shop', 'a', { app: 'db' }), false],
        [pod('dev', 'a', { app: 'web' }), false],
      ],
    ],
    [
      'prefix and regex',
      [c('namespace', 'regex', '^(prod|stage)-.*$'), c('container', 'prefix', 'we')],
      [
        [pod('prod-1', 'a'), true],
        [pod('stage-1', 'a'), true],
        [pod('preprod-1', 'a'), false],
        [{ ...pod('prod-1', 'a'), name: 'db' }, false],
      ],
    ],
    [
      'the name of a container in a pod',
      [
        c('domain', '=', 'shop'),
        c('container', '=', 'k8s_nginx_*'),
        c('container', '=', 'k8s_red*'),
      ],
      [
        [inPod('nginx'), true],
        [inPod('redis'), true],
        [inPod('nginx-exporter'), false],
      ],
    ],
    [
      'a service is its pods',
      [c('service', '=', 'web.shop'), c('domain', '=', 'shop')],
      [
        [pod('shop', 'web-7d9f-abcde'), true],
        [pod('shop', 'web'), true],
        [pod('shop', 'webhook-1'), false],
        [pod('dev', 'web-7d9f-abcde'), false],
      ],
    ],
  ];
  for (const [name, criteria, workloads] of cases) {
    it(name, () => {
      assert.deepEqual(
        membersOf(
          criteria,
          workloads.map(([workload]) => workload),
        ),
        workloads.map(([, expected]) => expected),
      );
    });
  }

  it('an address never holds for a container', () => {
    assert.deepEqual(membersOf([c('address', '=', '10.0.0.1')], [pod('shop', 'a')]), [false]);
  });

  it('the group of all containers is all of them, and nodes is the host, in monitor', () => {
    const { groups, stderr } = imported(
      [
        resource({ name: 'containers', mode: 'N/A', file, criteria: [c('container', '=', '*')] }),
        resource({ name: 'nodes', file, criteria: [] }),
      ].join('---\n'),
    );
    assert.deepEqual(groups[0].members, { container: {} });
    assert.deepEqual(groups[1].members, { host: true });
    assert.equal(groups[1].mode, 'monitor');
    assert.match(stderr, /never blocks there/);
  });

  it('one without counterpart never makes a group deny more: Protect becomes monitor', () => {
    for (const criterion of [
      c('node', '=', 'n1'),
      c('ns:env', '=', 'prod'),
      c('domain', 'regex', '[a-z]+'),
    ]) {
      const { groups, stderr } = imported(
        resource({ criteria: [c('app', '=', 'web'), criterion], file }),
      );
      assert.equal(groups[0].mode, 'monitor', stderr);
      assert.match(stderr, /so more are members/);
    }
  });

  it('a group without any that can be said has no members', () => {
    assert.deepEqual(membersOf([c('node', '=', 'n1')], [pod('shop', 'a')]), [false]);
  });

  it('an NvSecurityRule stays in its namespace, and a name alone says service and domain', () => {
    const { groups } = imported(
      [
        resource({
          kind: 'NvSecurityRule',
          namespace: 'shop',
          criteria: [c('app', '=', 'web')],
          file,
        }),
        resource({ name: 'nv.db.prod', criteria: [], file }),
      ].join('---\n'),
    );
    assert.deepEqual(groups[0].members, {
      kubernetes: { namespace: 'shop', labels: { app: 'web' } },
    });
    assert.deepEqual(groups[1].members, { kubernetes: { pod: ['db', 'db-*'], namespace: 'prod' } });
  });
});

describe('bad input', () => {
  const one = (text: string) => `kind: NvSecurityRule\nspec:\n${text}`;
  const target =
    '  target: { selector: { name: nv.a.b, criteria: [ { key: domain, op: "=", value: b } ] } }\n';
  const rule = (item: string) => one(`${target}  file:\n    - ${item}\n`);
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['no YAML', 'kind: [', /^bad\.yaml:1:\d+: /m],
    ['no resource', 'a: 1', /^bad\.yaml:1:1: .*'kind' is missing/m],
    ['nothing of NeuVector', 'kind: ConfigMap', /^bad\.yaml:1:1: there is no NvSecurityRule/m],
    ['no target', one('  file: []\n'), /^bad\.yaml:3:3: 'target' is missing/m],
    [
      'a wrong behavior',
      rule('{ filter: /a, behavior: block }'),
      /^bad\.yaml:5:31: 'behavior' must be monitor_change or block_access, not 'block'/m,
    ],
    ['no filter', rule('{ behavior: block_access }'), /^bad\.yaml:5:7: 'filter' is missing/m],
    [
      'a relative filter',
      rule('{ filter: etc/x, behavior: block_access }'),
      /^bad\.yaml:5:17: .*not an absolute path/m,
    ],
    [
      'a filter that NeuVector refuses',
      rule('{ filter: "/etc/[ab]", behavior: block_access }'),
      /^bad\.yaml:5:17: .*refused by NeuVector: it holds '\['/m,
    ],
    ['the root', rule('{ filter: /, behavior: block_access }'), /^bad\.yaml:5:17: .*'\/\*'/m],
    [
      'a wrong mode',
      one('  target: { policymode: protect, selector: { name: nv.a.b } }\n'),
      /^bad\.yaml:3:25: .*not 'protect'; did you mean 'Protect'/m,
    ],
    [
      'a wrong operator',
      one('  target: { selector: { name: x, criteria: [ { key: a, op: "==", value: b } ] } }\n'),
      /^bad\.yaml:3:60: 'op' must be one of =/m,
    ],
    [
      'criteria that are none',
      one('  target: { selector: { name: x, criteria: { app: web } } }\n'),
      /^bad\.yaml:3:44: 'criteria' must be a list/m,
    ],
  ];
  for (const [name, text, message] of cases) {
    it(`${name} is told at its place, status 2`, () => {
      writeFileSync(path.join(folder, 'bad.yaml'), text);
      const { stdout, stderr, status } = fileward(['import', 'neuvector', 'bad.yaml']);
      assert.equal(status, 2, stdout);
      assert.match(stderr, message);
      assert.equal(stdout, '');
    });
  }

  it('all that is wrong is told at once, in every file', () => {
    writeFileSync(path.join(folder, 'bad.yaml'), rule('{ filter: x, behavior: block }'));
    writeFileSync(path.join(folder, 'worse.json'), '{ "kind": }');
    const { stderr, status } = fileward([
      'import',
      'neuvector',
      'bad.yaml',
      'worse.json',
      'none.yaml',
    ]);
    assert.equal(status, 2);
    assert.match(stderr, /^bad\.yaml:5:\d+: /m);
    assert.match(stderr, /^worse\.json:1:\d+: not JSON/m);
    assert.match(stderr, /^none\.yaml:1:1: no such file/m);
  });
});

describe('what a file says in names', () => {
  it('never becomes YAML of its own', () => {
    const name = 'nv.a\n  mode: protect #';
    const file = [
      { filter: '/etc/"quoted": {a}\n- b', behavior: 'block_access', app: ['/bin/x\ny', '#z'] },
    ];
    const { groups, config } = imported(resource({ name, mode: 'Monitor', file }));
    accepted(config);
    assert.equal(groups.length, 1);
    assert.equal(groups[0].mode, 'monitor');
    assert.equal(groups[0].rules[0].path, '/etc/"quoted": \\{a\\}\n- b');
  });
});

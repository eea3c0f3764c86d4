/** Entries written into a configuration: what was there stays, byte for byte. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { addApps, NotEditable, type RuleEntries } from '../../../src/learning/config-edit.ts';

const nginx = { exe: '/usr/sbin/nginx' };
const reader = { exe: '/usr/bin/cat', operations: ['read'] } as const;

function edit(
  text: string,
  entries: RuleEntries['entries'],
  more: Partial<RuleEntries> = {},
  file = 'a.yaml',
) {
  const edited = addApps(file, text, [{ group: 'web', rule: 'conf', entries, ...more }]);
  keepsLines(text, edited);
  return edited;
}

/** Every line of the old text is in the new one, in order; a line may have grown in its middle. */
function keepsLines(before: string, after: string): void {
  let at = 0;
  for (const character of before) {
    at = after.indexOf(character, at) + 1;
    assert.notEqual(at, 0, `lost in:\n${after}`);
  }
}

const head = `# Who may open what.
version: 1   # the only one

groups:
  - name: web      # the shop
    members: { container: { image: "nginx:*" } }
    mode: discover
    rules:
`;
const tail = `      # Secrets come from the vault.
      - { name: token, path: '/run/secrets/**', behavior: block }
`;

describe('entries are added', () => {
  const cases: readonly [name: string, rule: string, expected: string][] = [
    [
      'to a list of lines, with its comments',
      `      - name: conf
        path: /etc/nginx/**
        apps:
          # Started by init.
          - /usr/bin/init   # pid 1
          - exe: /usr/bin/tool
            user: root      # only as
        behavior: block
`,
      `      - name: conf
        path: /etc/nginx/**
        apps:
          # Started by init.
          - /usr/bin/init   # pid 1
          - exe: /usr/bin/tool
            user: root      # only as
          - /usr/sbin/nginx
          - { exe: /usr/bin/cat, operations: [ read ] }
        behavior: block
`,
    ],
    [
      'to a list of lines as far left as its key',
      `      - name: conf
        apps:
        - /usr/bin/init
        behavior: block
`,
      `      - name: conf
        apps:
        - /usr/bin/init
        - /usr/sbin/nginx
        - { exe: /usr/bin/cat, operations: [ read ] }
        behavior: block
`,
    ],
    [
      'to a list on one line',
      `      - { name: conf, path: /etc/nginx/**, apps: ["/usr/bin/init"], behavior: block } # short\n`,
      `      - { name: conf, path: /etc/nginx/**, apps: ["/usr/bin/init", /usr/sbin/nginx, { exe: /usr/bin/cat, operations: [ read ] }], behavior: block } # short\n`,
    ],
    [
      'to a flow list on several lines',
      `      - name: conf
        apps: [
          /usr/bin/init, # pid 1
          /usr/bin/tool  # why
        ]
`,
      `      - name: conf
        apps: [
          /usr/bin/init, # pid 1
          /usr/bin/tool,  # why
          /usr/sbin/nginx,
          { exe: /usr/bin/cat, operations: [ read ] }
        ]
`,
    ],
    [
      'to an empty list',
      `      - { name: conf, path: /etc/nginx/**, behavior: block, apps: [] }\n`,
      `      - { name: conf, path: /etc/nginx/**, behavior: block, apps: [ /usr/sbin/nginx, { exe: /usr/bin/cat, operations: [ read ] } ] }\n`,
    ],
    [
      'where there is no list',
      `      - name: conf
        path: /etc/nginx/**
        behavior: block   # from the first day
`,
      `      - name: conf
        path: /etc/nginx/**
        behavior: block   # from the first day
        apps:
          - /usr/sbin/nginx
          - { exe: /usr/bin/cat, operations: [ read ] }
`,
    ],
    [
      'where there is no list, on one line',
      `      - { name: conf, path: /etc/nginx/**, behavior: block }\n`,
      `      - { name: conf, path: /etc/nginx/**, behavior: block, apps: [ /usr/sbin/nginx, { exe: /usr/bin/cat, operations: [ read ] } ] }\n`,
    ],
  ];
  for (const [name, before, after] of cases) {
    it(name, () => {
      assert.equal(edit(head + before + tail, [nginx, reader]), head + after + tail);
    });
  }

  it('to an entry that differs in its operations only', () => {
    const rule = (apps: string) => `${head}      - { name: conf, apps: ${apps} }\n`;
    const write = { exe: '/usr/bin/cat', operations: ['write'] } as const;
    assert.equal(
      edit(rule('[ { exe: /usr/bin/cat, operations: [read] } ]'), [write]),
      rule('[ { exe: /usr/bin/cat, operations: [read, write] } ]'),
    );
    assert.equal(
      edit(rule('[ { exe: /usr/bin/cat, user: root, operations: [read] } ]'), [write]),
      rule(
        '[ { exe: /usr/bin/cat, user: root, operations: [read] }, { exe: /usr/bin/cat, operations: [ write ] } ]',
      ),
    );
  });

  it('to several such entries, wherever they stand', () => {
    const entry = (exe: string, operations: string) =>
      `{ exe: ${exe}, operations: [${operations}] }`;
    const rule = (operations: string) => {
      const entries = ['/a', '/b', '/c'].map((exe) => entry(exe, operations));
      const rest = [{ exe: '/d', operations: ['read'] }].map((each) => entry(each.exe, 'read'));
      return `${head}      - name: conf\n        apps: [${entries.join(', ')},\n          ${rest}]\n`;
    };
    const more = ['/b', '/a', '/c'].map((exe) => ({ exe, operations: ['write'] }) as const);
    assert.equal(edit(rule('read'), more), rule('read, write'));
  });

  it('with the line endings of the file', () => {
    const text = `${head}      - name: conf\n        apps:\n          - /a\n${tail}`.replaceAll(
      '\n',
      '\r\n',
    );
    const edited = edit(text, [nginx]);
    assert.match(edited, /- \/a\r\n {10}- \/usr\/sbin\/nginx\r\n/);
    assert.doesNotMatch(edited, /[^\r]\n/);
  });

  it('at the end of a file without a last newline', () => {
    assert.equal(
      edit(`${head}      - name: conf\n        apps:\n          - /a`, [nginx]),
      `${head}      - name: conf\n        apps:\n          - /a\n          - /usr/sbin/nginx`,
    );
  });

  it('with names that need quotes', () => {
    const lines = '/opt/a-rather-long-directory-name/with\na-newline/and\n\nmore: x\n  - evil';
    const odd = [
      '/opt/a, b',
      '/opt/[c]*',
      '/opt/# d',
      "/opt/it's: {x}",
      '/opt/\ttab',
      lines,
      '/opt/a\rb\u0085c\u2028',
    ].map((exe) => ({ exe }));
    for (const list of ['[]', '\n          - /a']) {
      const edited = edit(`${head}      - name: conf\n        apps: ${list}\n`, odd);
      const apps = parse(edited).groups[0].rules[0].apps.slice(-7);
      assert.deepEqual(apps, [
        '/opt/a, b',
        '/opt/\\[c\\]\\*',
        '/opt/# d',
        "/opt/it's: \\{x\\}",
        '/opt/\ttab',
        lines,
        '/opt/a\rb\u0085c\u2028',
      ]);
    }
  });

  it('to JSON', () => {
    const rules = [{ name: 'conf', apps: ['/a'] }, { name: 'other' }];
    for (const space of [0, 2]) {
      const text = JSON.stringify({ version: 1, groups: [{ name: 'web', rules }] }, null, space);
      const edited = edit(text, [nginx, reader], {}, 'a.json');
      assert.deepEqual(JSON.parse(edited).groups[0].rules[0].apps, [
        '/a',
        '/usr/sbin/nginx',
        { exe: '/usr/bin/cat', operations: ['read'] },
      ]);
      const other = addApps('a.json', edited, [{ group: 'far', rule: 'away', entries: [nginx] }]);
      assert.deepEqual(JSON.parse(other).overrides, [
        { rule: 'far/away', apps: { add: ['/usr/sbin/nginx'] } },
      ]);
    }
  });
});

describe('overrides are added', () => {
  const main = `version: 1
import:
  - pack:linux-base   # the usual
  - ./rules.d/*.yaml

# Mine.
groups: []
`;
  it('behind the imports', () => {
    assert.equal(
      edit(main, [nginx, reader]),
      main.replace(
        'yaml\n\n',
        `yaml
overrides:
  - rule: web/conf
    apps:
      add:
        - /usr/sbin/nginx
        - { exe: /usr/bin/cat, operations: [ read ] }

`,
      ),
    );
  });

  it('to those that are there', () => {
    const text = main.replace(
      '# Mine.',
      'overrides:\n  - { rule: web/other, enabled: false } # for now\n\n# Mine.',
    );
    assert.deepEqual(parse(edit(text, [nginx])).overrides, [
      { rule: 'web/other', enabled: false },
      { rule: 'web/conf', apps: { add: ['/usr/sbin/nginx'] } },
    ]);
  });

  it('to the one of the rule', () => {
    const text = main.replace(
      '# Mine.',
      'overrides:\n  - { rule: web/conf, apps: { add: [ /a ] } }\n# Mine.',
    );
    assert.deepEqual(parse(edit(text, [nginx])).overrides, [
      { rule: 'web/conf', apps: { add: ['/a', '/usr/sbin/nginx'] } },
    ]);
    const removing = main.replace(
      '# Mine.',
      'overrides:\n  - { rule: web/conf, apps: { remove: [ /a ] } }\n# Mine.',
    );
    assert.deepEqual(parse(edit(removing, [nginx])).overrides, [
      { rule: 'web/conf', apps: { remove: ['/a'], add: ['/usr/sbin/nginx'] } },
    ]);
    const replacing = main.replace(
      '# Mine.',
      'overrides:\n  - { rule: web/conf, apps: [ /a ] }\n# Mine.',
    );
    assert.deepEqual(parse(edit(replacing, [nginx])).overrides, [
      { rule: 'web/conf', apps: ['/a', '/usr/sbin/nginx'] },
    ]);
  });

  it('instead of changing what other rules share', () => {
    const shared = [
      `      - { name: first, apps: &apps [ /a ] }\n      - { name: conf, apps: *apps }\n`,
      `      - { name: conf, apps: &apps [ /a ] }\n      - { name: other, apps: *apps }\n`,
      `      - &base { name: conf, apps: [ /a ] }\n      - { <<: *base, name: other }\n`,
      `      - &base { name: first, apps: [ /a ] }\n      - { <<: *base, name: conf }\n`,
    ];
    for (const rules of shared) {
      const edited = edit(head + rules, [nginx]);
      assert.ok(edited.endsWith(rules));
      assert.deepEqual(parse(edited, { merge: true }).overrides, [
        { rule: 'web/conf', apps: { add: ['/usr/sbin/nginx'] } },
      ]);
    }
  });

  it('not where the overrides themselves are shared', () => {
    const text = 'version: 1\nx: &o [ { rule: a/b } ]\noverrides: *o\n';
    assert.throws(() => edit(text, [nginx]), NotEditable);
  });
});

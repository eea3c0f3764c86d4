/**
 * Configurations that must not be accepted: what is wrong, the file, and every problem as `LINE:COL: message`.
 * DIR stands for the folder that holds the file.
 */
export type BadConfiguration = readonly [what: string, text: string, problems: readonly string[]];

const file = (...lines: readonly string[]) => `${lines.join('\n')}\n`;

/** One rule of a group `host`; it is on line 6, from column 9. */
const rule = (text: string) =>
  file(
    'version: 1',
    'groups:',
    '  - name: host',
    '    members: { host: true }',
    '    rules:',
    `      - ${text}`,
  );

/** One entry of a block rule's apps, from column 86 of line 6. */
const app = (text: string) =>
  rule(`{ name: a, path: /etc/a, behavior: block, operations: [read, write], apps: [ ${text} ] }`);

export const badConfigurations: readonly BadConfiguration[] = [
  ['the version is missing', file('groups: []'), ["1:1: 'version' is missing; add 'version: 1'"]],
  ['the version is another', file('version: 2'), ["1:10: 'version' must be 1, not 2"]],
  [
    'the version is text',
    file('version: "1"'),
    ["1:10: 'version' must be 1, not '1'; write it without quotes"],
  ],
  [
    'the file is a list',
    file('- version: 1'),
    ['1:1: the file must be a map that begins with version: 1, not a list'],
  ],
  [
    'the file is text',
    file('hello'),
    ["1:1: the file must be a map that begins with version: 1, not 'hello'"],
  ],
  [
    'an unknown key with a near one',
    file('version: 1', 'gruops: []'),
    ["2:1: unknown key 'gruops'; did you mean 'groups'?"],
  ],
  [
    'an unknown key with none near',
    file('version: 1', 'frobnicate: 1'),
    ["2:1: unknown key 'frobnicate'"],
  ],
  [
    'a key in the wrong case',
    file('version: 1', 'Groups: []'),
    ["2:1: unknown key 'Groups'; did you mean 'groups'?"],
  ],
  [
    'a duplicate key',
    file('version: 1', 'state: /a', 'state: /b'),
    ["3:1: key 'state' is given twice in the same map"],
  ],
  [
    'a tab indents',
    file('version: 1', 'groups:', '	- name: host'),
    ['3:1: a tab can not indent YAML; use spaces'],
  ],
  [
    'a bracket is not closed',
    file('version: 1', 'groups: [ { name: host'),
    ['3:1: a closing } is missing before this'],
  ],
  [
    'a quote is not closed',
    file('version: 1', 'state: "/var'),
    ['3:1: a closing " is missing before this'],
  ],
  [
    'bad indentation',
    file('version: 1', 'groups:', '  - name: host', '   mode: monitor'),
    ['4:1: sequence item without - indicator'],
  ],
  [
    'two documents',
    file('version: 1', '---', 'version: 1'),
    ["2:1: a second document begins here; remove the '---'"],
  ],
  [
    'an unknown alias',
    file('version: 1', 'groups: *nobody'),
    ["2:9: alias '*nobody' has no anchor before it"],
  ],
  [
    'an alias inside its anchor',
    file('version: 1', 'groups: &all [ *all ]'),
    ["2:16: alias '*all' is inside what it stands for"],
  ],
  [
    'a tag that runs code elsewhere',
    file('version: 1', "state: !!js/function 'x'"),
    ["2:8: tag '!!js/function' is not known here; remove it"],
  ],
  [
    'policy_version is a number',
    file('version: 1', 'policy_version: 1234567'),
    ["2:17: 'policy_version' must be text (quote it), not 1234567"],
  ],
  [
    'policy_version is empty',
    file('version: 1', 'policy_version: ""'),
    ["2:17: 'policy_version' must not be empty"],
  ],
  [
    'groups is a map',
    file('version: 1', 'groups: { host: {} }'),
    ["2:9: 'groups' must be a list of groups, not a map"],
  ],
  [
    'groups is empty of a list',
    file('version: 1', 'groups:'),
    ["2:8: 'groups' must be a list of groups, not empty"],
  ],
  [
    'a group is text',
    file('version: 1', 'groups: [ host ]'),
    ["2:11: an item of 'groups' must be a group: a map with name, members, rules, not 'host'"],
  ],
  [
    'a group has no name',
    file('version: 1', 'groups:', '  - members: { host: true }', '    rules: []'),
    ["3:5: 'name' is missing"],
  ],
  [
    "a group's name is in capitals",
    file('version: 1', 'groups:', '  - { name: Host, members: { host: true } }'),
    ["3:13: 'name' must be lower-case letters, digits, . and -, at most 63, not 'Host'"],
  ],
  [
    "a group's name is too long",
    file(
      'version: 1',
      'groups:',
      '  - { name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, members: { host: true } }',
    ),
    [
      "3:13: 'name' must be lower-case letters, digits, . and -, at most 63, not 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'",
    ],
  ],
  [
    'a group twice in a file',
    file(
      'version: 1',
      'groups:',
      '  - { name: host, members: { host: true } }',
      '  - { name: host, members: { host: true } }',
    ),
    ["4:13: group 'host' is already in this file, at DIR/fileward.config.yaml:3"],
  ],
  [
    'a group has no members',
    file('version: 1', 'groups:', '  - { name: host }'),
    ["3:13: 'members' is missing; say who group 'host' is, such as members: { host: true }"],
  ],
  [
    'members is empty',
    file('version: 1', 'groups:', '  - { name: host, members: {} }'),
    ['3:28: these criteria are empty; give host, container or kubernetes'],
  ],
  [
    'members is an empty list',
    file('version: 1', 'groups:', '  - { name: host, members: [] }'),
    [
      "3:28: 'members' must be a list that holds at least one of host, container, kubernetes, not an empty list",
    ],
  ],
  [
    'members says host: false',
    file('version: 1', 'groups:', '  - { name: host, members: { host: false } }'),
    ["3:36: 'host' must be true (leave it out otherwise), not false"],
  ],
  [
    'members has an unknown key',
    file('version: 1', 'groups:', '  - { name: web, members: { containers: { image: nginx } } }'),
    ["3:29: unknown key 'containers'; did you mean 'container'?"],
  ],
  [
    'members is both host and container',
    file(
      'version: 1',
      'groups:',
      '  - { name: web, members: { host: true, container: { image: nginx } } }',
    ),
    [
      '3:27: no workload is both the host and a container; write a list: [ { host: true }, { container: … } ]',
    ],
  ],
  [
    'a criterion has an unknown key',
    file('version: 1', 'groups:', '  - { name: web, members: { container: { img: nginx } } }'),
    ["3:42: unknown key 'img'"],
  ],
  [
    'a criterion is a number',
    file('version: 1', 'groups:', '  - { name: web, members: { kubernetes: { namespace: 7 } } }'),
    ["3:54: 'namespace' must be text, a list of text or { not: … }, not 7"],
  ],
  [
    "a criterion's not is misspelled",
    file(
      'version: 1',
      'groups:',
      '  - { name: web, members: { container: { name: { nott: a } } } }',
    ),
    ["3:50: unknown key 'nott'; did you mean 'not'?"],
  ],
  [
    'the mode is misspelled',
    file('version: 1', 'groups:', '  - { name: host, members: { host: true }, mode: protcet }'),
    [
      "3:50: 'mode' must be one of discover, monitor, protect, not 'protcet'; did you mean 'protect'?",
    ],
  ],
  [
    'the mode is unknown',
    file('version: 1', 'groups:', '  - { name: host, members: { host: true }, mode: enforce }'),
    ["3:50: 'mode' must be one of discover, monitor, protect, not 'enforce'"],
  ],
  [
    'a label is a number',
    file(
      'version: 1',
      'groups:',
      '  - { name: host, members: { host: true }, labels: { team: 7 } }',
    ),
    ["3:60: 'team' must be text (quote it), not 7"],
  ],
  [
    'a rule is text',
    rule('/etc/shadow'),
    [
      "6:9: an item of 'rules' must be a rule: a map with name, path, behavior …, not '/etc/shadow'",
    ],
  ],
  ['a rule has no name', rule('{ path: /etc/a, behavior: watch }'), ["6:9: 'name' is missing"]],
  [
    "a rule's name has a slash",
    rule('{ name: a/b, path: /etc/a, behavior: watch }'),
    ["6:17: 'name' must be letters, digits and any of . _ -, at most 63, not 'a/b'"],
  ],
  ['a rule has no behavior', rule('{ name: a, path: /etc/a }'), ["6:9: 'behavior' is missing"]],
  [
    'the behavior is misspelled',
    rule('{ name: a, path: /etc/a, behavior: blok }'),
    ["6:44: 'behavior' must be watch or block, not 'blok'; did you mean 'block'?"],
  ],
  [
    'behaviour in British English',
    rule('{ name: a, path: /etc/a, behaviour: watch }'),
    ["6:34: unknown key 'behaviour'; did you mean 'behavior'?"],
  ],
  [
    'a rule twice',
    file(
      'version: 1',
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      '    rules:',
      '      - { name: a, path: /etc/a, behavior: watch }',
      '      - { name: a, path: /etc/a, behavior: watch }',
    ),
    ["7:9: rule 'host/a' is already at DIR/fileward.config.yaml:6; rename one, or use an override"],
  ],
  ['no path and no regex', rule('{ name: a, behavior: watch }'), ["6:9: 'path' is missing"]],
  [
    'path and regex',
    rule('{ name: a, path: /etc/a, regex: /etc/.*, behavior: watch }'),
    ["6:41: give 'path' or 'regex', not both"],
  ],
  [
    'the path is relative',
    rule('{ name: a, path: etc/shadow, behavior: watch }'),
    ["6:26: 'etc/shadow' is not an absolute path; did you mean '/etc/shadow'?"],
  ],
  [
    'the path begins with a tilde',
    rule('{ name: a, path: ~/.ssh/*, behavior: watch }'),
    ["6:26: '~' is not expanded; write '/root/.ssh/*' or '/home/*/.ssh/*'"],
  ],
  [
    'the path begins with a variable',
    rule('{ name: a, path: $HOME/.ssh, behavior: watch }'),
    ["6:26: variables are not expanded; write the path of '$HOME/.ssh'"],
  ],
  [
    'the path is empty',
    rule('{ name: a, path: "", behavior: watch }'),
    ["6:26: 'path' must not be empty"],
  ],
  [
    'the path is an empty list',
    rule('{ name: a, path: [], behavior: watch }'),
    ["6:26: 'path' must be an absolute path or glob, or a list of them, not an empty list"],
  ],
  [
    'the path is the root folder',
    rule('{ name: a, path: /, behavior: watch }'),
    ["6:26: '/' is the root folder itself; write '/**' for what is in it"],
  ],
  [
    'the path ends in a slash',
    rule('{ name: a, path: /etc/, behavior: watch }'),
    ["6:26: '/etc/' ends in '/'; write '/etc/**' for what is in it"],
  ],
  [
    'the path has dots',
    rule('{ name: a, path: /etc/../shadow, behavior: watch }'),
    ["6:26: '/etc/../shadow' has a '.' or '..' part; write the path without it"],
  ],
  [
    'the path has an empty part',
    rule('{ name: a, path: /etc//shadow, behavior: watch }'),
    ["6:26: '/etc//shadow' has an empty part; write '/etc/shadow'"],
  ],
  [
    'the path is a number',
    rule('{ name: a, path: 7, behavior: watch }'),
    ["6:26: 'path' must be an absolute path or glob, or a list of them, not 7"],
  ],
  [
    'the path twice',
    rule('{ name: a, path: [ /etc/a, /etc/a ], behavior: watch }'),
    ["6:36: '/etc/a' is given twice"],
  ],
  [
    'a glob with an open bracket',
    rule('{ name: a, path: "/etc/[a", behavior: watch }'),
    ["6:26: bad glob '/etc/[a' at byte 6: '[' is not closed; write '\\[' for the character"],
  ],
  [
    'a glob with an open brace',
    rule('{ name: a, path: "/etc/{a,b", behavior: watch }'),
    ["6:26: bad glob '/etc/{a,b' at byte 6: '{' is not closed; write '\\{' for the character"],
  ],
  [
    'a glob with a brace too many',
    rule('{ name: a, path: "/etc/a}", behavior: watch }'),
    [
      "6:26: bad glob '/etc/a}' at byte 7: '}' without a '{' before it; write '\\}' for the character",
    ],
  ],
  [
    'a glob that ends in an escape',
    rule("{ name: a, path: '/etc/a\\', behavior: watch }"),
    ["6:26: bad glob '/etc/a\\' at byte 7: '\\' at the end has nothing to escape"],
  ],
  [
    'a regex with an open bracket',
    rule("{ name: a, regex: '/etc/(a', behavior: watch }"),
    ["6:27: bad regex '/etc/(a': missing ): /etc/(a"],
  ],
  [
    "a regex that RE2 doesn't have",
    rule("{ name: a, regex: '/etc/(?=a)', behavior: watch }"),
    ["6:27: bad regex '/etc/(?=a)' at byte 6: invalid perl operator: (?="],
  ],
  [
    'a regex that matches no path',
    rule("{ name: a, regex: 'shadow', behavior: watch }"),
    ["6:27: bad regex 'shadow': the expression matches the whole path, so it must begin with '/'"],
  ],
  [
    'except is relative',
    rule('{ name: a, path: /etc/**, except: motd, behavior: watch }'),
    ["6:43: 'motd' is not an absolute path; did you mean '/motd'?"],
  ],
  [
    'except takes everything',
    rule('{ name: a, path: /etc/a, except: /etc/a, behavior: watch }'),
    ["6:42: 'except' takes away all that 'path' covers"],
  ],
  [
    'an operation is misspelled',
    rule('{ name: a, path: /etc/a, behavior: watch, operations: [wirte] }'),
    [
      "6:64: an item of 'operations' must be one of read, write, exec, not 'wirte'; did you mean 'write'?",
    ],
  ],
  [
    'an operation of records',
    rule('{ name: a, path: /etc/a, behavior: watch, operations: [delete] }'),
    ["6:64: an item of 'operations' must be one of read, write, exec, not 'delete'"],
  ],
  [
    'operations is text',
    rule('{ name: a, path: /etc/a, behavior: watch, operations: write }'),
    ["6:63: 'operations' must be a list such as [read, write], not 'write'"],
  ],
  [
    'operations is empty',
    rule('{ name: a, path: /etc/a, behavior: watch, operations: [] }'),
    [
      "6:63: 'operations' must be a list that names at least one of read, write, exec, not an empty list",
    ],
  ],
  [
    'an operation twice',
    rule('{ name: a, path: /etc/a, behavior: watch, operations: [read, read] }'),
    ["6:70: 'read' is given twice"],
  ],
  [
    'protect without apps',
    rule('{ name: a, path: /etc/a, behavior: block, operations: [read], mode: protect }'),
    [
      "6:9: 'apps' is missing: a block rule in protect mode must say who is listed; 'apps: []' lists nobody",
    ],
  ],
  [
    'apps is empty of a list',
    rule('{ name: a, path: /etc/a, behavior: block, operations: [read], apps: }'),
    ["6:77: 'apps' must be a list of apps, not empty"],
  ],
  [
    'apps is text',
    rule('{ name: a, path: /etc/a, behavior: block, operations: [read], apps: /usr/bin/passwd }'),
    ["6:77: 'apps' must be a list of apps, not '/usr/bin/passwd'"],
  ],
  [
    'an app is relative',
    app('passwd'),
    ["6:86: 'passwd' is not an absolute path; did you mean '/usr/bin/passwd'?"],
  ],
  [
    'an app is a folder',
    app('/usr/bin'),
    ["6:86: '/usr/bin' is a folder; write '/usr/bin/*' for what is in it"],
  ],
  [
    'an app is a script',
    app('DIR/tool'),
    [
      "6:86: 'DIR/tool' is a script; list its interpreter: { exe: /usr/bin/python3, script: DIR/tool }",
    ],
  ],
  [
    'an ancestor is a script',
    app('{ exe: /usr/bin/cat, ancestor: DIR/tool }'),
    ["6:117: 'DIR/tool' is a script; name its interpreter, /usr/bin/python3"],
  ],
  [
    "an app's glob is bad",
    app('"/usr/bin/[a"'),
    ["6:86: bad glob '/usr/bin/[a' at byte 10: '[' is not closed; write '\\[' for the character"],
  ],
  [
    'an app has an unknown key',
    app('{ exe: /usr/bin/cat, path: /usr/bin/cat }'),
    ["6:107: unknown key 'path'"],
  ],
  [
    "an app's operation is misspelled",
    app('{ exe: /usr/bin/cat, operations: [raed] }'),
    [
      "6:120: an item of 'operations' must be one of read, write, exec, not 'raed'; did you mean 'read'?",
    ],
  ],
  [
    "an app's operation is not of the rule",
    app('{ exe: /usr/bin/cat, operations: [exec] }'),
    ["6:86: the entry lists 'exec', which is not among the rule's operations: read, write"],
  ],
  [
    "an app's user is unknown",
    app('{ exe: /usr/bin/cat, user: rooot }'),
    ["6:113: no user 'rooot' in /etc/passwd; did you mean 'root'?"],
  ],
  [
    "an app's unit has no kind",
    app('{ exe: /usr/bin/cat, unit: backup }'),
    ["6:113: 'backup' is not the full name of a unit; did you mean 'backup.service'?"],
  ],
  [
    "an app's sha256 is short",
    app('{ exe: /usr/bin/cat, sha256: abc }'),
    ["6:115: 'sha256' must be 64 hex digits, quoted, not 'abc'"],
  ],
  [
    'an app that is everybody',
    app('{ operations: [read] }'),
    ['6:86: the entry lists every process; give exe, user, unit, ancestor or package_manager'],
  ],
  [
    'a script without its interpreter',
    app('{ script: DIR/tool }'),
    ["6:96: 'script' needs 'exe', the interpreter that runs it"],
  ],
  [
    'children of nobody',
    app('{ user: root, children: true }'),
    ["6:110: 'children' needs 'exe', whose descendants are meant"],
  ],
  [
    'workload is unknown',
    app('{ exe: /usr/bin/cat, workload: other }'),
    ["6:117: 'workload' must be same or host, not 'other'"],
  ],
  ['an unknown set', app('set:pan'), ["6:86: no set 'pan'; did you mean 'set:pam'?"]],
  [
    'a set as exe',
    app("{ exe: 'set:pam' }"),
    ["6:93: a set is an entry of its own: write 'set:pam' without exe"],
  ],
  [
    'a set that holds itself',
    file('version: 1', 'sets:', '  one: [ set:two ]', '  two: [ set:one ]'),
    ["4:10: set 'one' holds itself: one -> two -> one"],
  ],
  [
    "a set's name is in capitals",
    file('version: 1', 'sets:', '  One: [ /usr/bin/cat ]'),
    ["3:3: 'One' must be lower-case letters, digits and any of . _ -"],
  ],
  [
    "a set's app is relative",
    file('version: 1', 'sets:', '  one: [ cat ]'),
    ["3:10: 'cat' is not an absolute path; did you mean '/usr/bin/cat'?"],
  ],
  [
    'a flag is a word',
    rule('{ name: a, path: /etc/a, behavior: watch, enabled: yes }'),
    ["6:60: 'enabled' must be true or false, not 'yes'; write true"],
  ],
  [
    'a flag is a number',
    rule('{ name: a, path: /etc/a, behavior: watch, required: 1 }'),
    ["6:61: 'required' must be true or false, not 1"],
  ],
  [
    'changes is unknown',
    rule('{ name: a, path: /etc/a, behavior: watch, changes: silent }'),
    ["6:60: 'changes' must be report or quiet, not 'silent'"],
  ],
  [
    'the severity is unknown',
    rule('{ name: a, path: /etc/a, behavior: block, operations: [read], severity: critical }'),
    ["6:81: 'severity' must be one of info, warn, error, not 'critical'"],
  ],
  [
    'a tag is a number',
    rule('{ name: a, path: /etc/a, behavior: watch, tags: { pci_dss: 11.5 } }'),
    ["6:68: 'pci_dss' must be text (quote it), not 11.5"],
  ],
  [
    "a tag's key has a space",
    rule("{ name: a, path: /etc/a, behavior: watch, tags: { 'a b': c } }"),
    ["6:59: 'a b' must be letters, digits and any of _ . / -"],
  ],
  [
    'max_records is a number',
    rule('{ name: a, path: /etc/a, behavior: watch, max_records: 100 }'),
    ["6:64: 'max_records' must be a number and a duration such as 100/10s, not 100"],
  ],
  [
    'max_records has no time',
    rule('{ name: a, path: /etc/a, behavior: watch, max_records: 100/0s }'),
    ["6:64: 'max_records' needs a time longer than 0"],
  ],
  [
    'on_deadline is unknown',
    rule('{ name: a, path: /etc/a, behavior: block, operations: [read], on_deadline: block }'),
    ["6:84: 'on_deadline' must be allow or deny, not 'block'"],
  ],
  [
    'an override of no rule',
    file(
      'version: 1',
      'overrides:',
      '  - { rule: host/ab, enabled: false }',
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      '    rules:',
      '      - { name: abc, path: /etc/a, behavior: watch }',
    ),
    ["3:13: no rule 'host/ab'; did you mean 'host/abc'?"],
  ],
  [
    'an override without a group',
    file('version: 1', 'overrides:', '  - { rule: shadow, enabled: false }'),
    ["3:13: 'rule' must be GROUP/RULE, not 'shadow'"],
  ],
  [
    'an override without a rule',
    file('version: 1', 'overrides:', '  - { enabled: false }'),
    ["3:5: 'rule' is missing"],
  ],
  [
    "an override's unknown key",
    file(
      'version: 1',
      'overrides:',
      '  - { rule: host/a, enabld: false }',
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      '    rules:',
      '      - { name: a, path: /etc/a, behavior: watch }',
    ),
    ["3:21: unknown key 'enabld'; did you mean 'enabled'?"],
  ],
  [
    "an override removes what isn't there",
    file(
      'version: 1',
      'overrides:',
      '  - { rule: host/a, apps: { remove: [ /usr/bin/cut ] } }',
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      '    rules:',
      '      - { name: a, path: /etc/a, behavior: block, operations: [read, write], apps: [ /usr/bin/cat ] }',
    ),
    ["3:39: '/usr/bin/cut' is not an app of 'host/a'; did you mean '/usr/bin/cat'?"],
  ],
  [
    'an override adds and removes',
    file(
      'version: 1',
      'overrides:',
      '  - { rule: host/a, apps: { add: [ /usr/bin/cat ], remove: [ /usr/bin/cat ] } }',
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      '    rules:',
      '      - { name: a, path: /etc/a, behavior: block, operations: [read, write], apps: [ /usr/bin/cat ] }',
    ),
    ["3:62: '/usr/bin/cat' is both added and removed"],
  ],
  [
    'an override makes it relative',
    file(
      'version: 1',
      'overrides:',
      '  - { rule: host/a, path: etc/b }',
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      '    rules:',
      '      - { name: a, path: /etc/a, behavior: watch }',
    ),
    ["3:27: 'etc/b' is not an absolute path; did you mean '/etc/b'?"],
  ],
  [
    'an unknown pack',
    file('version: 1', 'import: pack:linux-bsae'),
    ["2:9: no pack 'linux-bsae'; did you mean 'pack:linux-base'?"],
  ],
  [
    'an import of no file',
    file('version: 1', 'import: [ ./rules.yaml ]'),
    ['2:11: no such file: DIR/rules.yaml'],
  ],
  [
    'an import from the network',
    file('version: 1', 'import: [ https://example.com/rules.yaml ]'),
    ["2:11: can not import 'https://example.com/rules.yaml'; give pack:NAME or a path"],
  ],
  [
    'a file that imports itself',
    file('version: 1', 'import: [ ./fileward.config.yaml ]'),
    ['2:11: the file imports itself'],
  ],
  [
    'a glob that matches the file itself',
    file('version: 1', 'import: [ ./*.yaml ]'),
    ["2:11: './*.yaml' matches this file itself; use a folder such as ./rules.d/*.yaml"],
  ],
  [
    'an import that is a number',
    file('version: 1', 'import: [ 7 ]'),
    ["2:11: an item of 'import' must be text, not 7"],
  ],
  [
    'the window is a number',
    file('version: 1', 'records: { window: 10 }'),
    ["2:20: 'window' must be a duration such as 10s, 15m or 100ms, not 10"],
  ],
  [
    'the window has an unknown unit',
    file('version: 1', 'records: { window: 10sec }'),
    ["2:20: 'window' must be a duration such as 10s, 15m or 100ms, not '10sec'"],
  ],
  [
    'the window is too short',
    file('version: 1', 'records: { window: 1ms }'),
    ["2:20: 'window' must be from 100ms to 1h, not 1ms"],
  ],
  [
    'the size has no unit',
    file('version: 1', 'records: { hash: { max_size: 1000 } }'),
    ["2:30: 'max_size' must be a size such as 10MiB, not 1000"],
  ],
  [
    'the size is nothing',
    file('version: 1', 'records: { hash: { max_size: 0MiB } }'),
    ["2:30: 'max_size' must be more than 0"],
  ],
  [
    'the marks are none',
    file('version: 1', 'limits: { marks: 0 }'),
    ["2:18: 'marks' must be a whole number from 1 to 100000000, not 0"],
  ],
  [
    'the depth is too much',
    file('version: 1', 'limits: { depth: 5000 }'),
    ["2:18: 'depth' must be a whole number from 1 to 1000, not 5000"],
  ],
  [
    'the depth is a fraction',
    file('version: 1', 'limits: { depth: 1.5 }'),
    ["2:18: 'depth' must be a whole number from 1 to 1000, not 1.5"],
  ],
  [
    'the deadline is nothing',
    file('version: 1', 'verdict: { deadline: 0ms }'),
    ["2:22: 'deadline' must be from 1ms to 1m, not 0ms"],
  ],
  [
    'the deadline is too long',
    file('version: 1', 'verdict: { deadline: 5m }'),
    ["2:22: 'deadline' must be from 1ms to 1m, not 5m"],
  ],
  [
    'on_deadline of all is unknown',
    file('version: 1', 'verdict: { on_deadline: open }'),
    ["2:25: 'on_deadline' must be allow or deny, not 'open'"],
  ],
  [
    'the protocol is unknown',
    file('version: 1', 'telemetry: { protocol: http/json }'),
    ["2:24: 'protocol' must be grpc or http/protobuf, not 'http/json'"],
  ],
  [
    'the endpoint has no scheme',
    file('version: 1', "telemetry: { endpoint: 'collector:4317' }"),
    [
      "2:24: 'endpoint' must begin with http://, https:// or unix:, not 'collector:4317'; did you mean 'http://collector:4317'?",
    ],
  ],
  [
    'the endpoint is of another kind',
    file('version: 1', "telemetry: { endpoint: 'ftp://collector' }"),
    ["2:24: 'endpoint' must begin with http://, https:// or unix:, not 'ftp://collector'"],
  ],
  [
    'a certificate without its key',
    file('version: 1', 'telemetry: { tls: { cert: /a.pem } }'),
    ["2:27: 'cert' and 'key' go together"],
  ],
  [
    'a header is a number',
    file('version: 1', 'telemetry: { headers: { x: 1 } }'),
    ["2:28: 'x' must be text (quote it), not 1"],
  ],
  [
    'the state is relative',
    file('version: 1', 'state: var/lib'),
    ["2:8: 'var/lib' is not an absolute path"],
  ],
  [
    'learning is a word',
    file('version: 1', 'learning: on'),
    ["2:11: 'learning' must be a map such as { user: false }, not 'on'"],
  ],
  [
    'a JSON-like file with a comma too many',
    file('version: 1', 'groups: [ , ]'),
    ['2:11: unexpected , in flow sequence'],
  ],
  [
    'a merge of text',
    file('version: 1', 'limits: { <<: depth }'),
    ["2:9: '<<' must be followed by an alias of a map"],
  ],
  ['a map as key', file('version: 1', '{ a: b }: c'), ['2:1: a key must be text']],
  [
    'several at once',
    file(
      'version: 2',
      'limits: { mark: 1 }',
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      '    rules:',
      "      - { name: a, path: [ etc/a, '/etc/[a' ], behavior: blok, apps: [ cat, set:pan ] }",
      '      - { name: b, path: /b, behavior: block, operations: [read], mode: protect }',
    ),
    [
      "1:10: 'version' must be 1, not 2",
      "2:11: unknown key 'mark'; did you mean 'marks'?",
      "7:28: 'etc/a' is not an absolute path; did you mean '/etc/a'?",
      "7:35: bad glob '/etc/[a' at byte 6: '[' is not closed; write '\\[' for the character",
      "7:58: 'behavior' must be watch or block, not 'blok'; did you mean 'block'?",
      "7:72: 'cat' is not an absolute path; did you mean '/usr/bin/cat'?",
      "7:77: no set 'pan'; did you mean 'set:pam'?",
      "8:9: 'apps' is missing: a block rule in protect mode must say who is listed; 'apps: []' lists nobody",
    ],
  ],
];

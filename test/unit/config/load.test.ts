import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { type LoadResult, loadConfiguration } from '../../../src/config/load.ts';
import { formatProblem } from '../../../src/config/problem.ts';

const run = promisify(execFile);
const needsRoot = { skip: process.getuid?.() === 0 ? false : 'only root can write trusted files' };
const minimal = 'version: 1\ngroups: []\n';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fileward-load-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function put(name: string, ...lines: readonly string[]): Promise<string> {
  const file = join(folder, name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}

function messages(result: LoadResult): string[] {
  const problems = result.ok ? result.warnings : result.problems;
  return problems.map((problem) => formatProblem(problem).replaceAll(`${folder}/`, ''));
}

function rulesOf(result: LoadResult) {
  assert.ok(result.ok, messages(result).join('\n'));
  return result.configuration.document.groups.flatMap((group) =>
    group.rules.map((rule) => ({ group: group.name, ...rule })),
  );
}

describe('finding the configuration', () => {
  it('says how to make one when there is none', async () => {
    const result = await loadConfiguration({ folder, env: {} });
    assert.deepEqual(messages(result), [
      "fileward.config.yaml:1:1: there is no configuration; create one with 'fileward init'",
    ]);
    assert.ok(!result.ok && result.problems[0]?.kind === 'missing');
  });

  it('takes --config before $FILEWARD_CONFIG before the folder', async () => {
    await put('fileward.config.yaml', 'version: 1', 'policy_version: folder');
    const env = { FILEWARD_CONFIG: await put('env.yaml', 'version: 1', 'policy_version: env') };
    const file = await put('named.yaml', 'version: 1', 'policy_version: named');
    for (const [options, expected] of [
      [{ folder, env, file }, 'named'],
      [{ folder, env }, 'env'],
      [{ folder, env: { FILEWARD_CONFIG: '' } }, 'folder'],
    ] as const) {
      const result = await loadConfiguration(options);
      assert.equal(result.ok && result.configuration.policyVersion, expected);
    }
  });

  it('takes yaml before json, and says that json is not read', async () => {
    await put('fileward.config.yaml', minimal);
    await put('fileward.config.json', '{}');
    const result = await loadConfiguration({ folder, env: {} });
    assert.ok(messages(result)[0]?.startsWith('fileward.config.json:1:1: not read: '));
  });

  it('never passes over a file that it can not use', async () => {
    await mkdir(join(folder, 'fileward.config.yaml'));
    await put('fileward.config.json', '{ "version": 1 }');
    assert.deepEqual(messages(await loadConfiguration({ folder, env: {} })), [
      'fileward.config.yaml:1:1: is a folder; name the file in it',
    ]);
  });

  it('runs nothing from a hostile working directory', async () => {
    const marker = join(folder, 'ran');
    const trap = `require('fs').appendFileSync(${JSON.stringify(marker)}, __filename + '\\n'); module.exports = {};`;
    for (const name of [
      '.config/config.cjs',
      '.config/config.js',
      'fileward.config.js',
      '.filewardrc.js',
      '.config/filewardrc.js',
    ]) {
      await put(name, trap);
    }
    const empty = await mkdtemp(join(tmpdir(), 'fileward-empty-'));
    const load = new URL('../../../src/config/load.ts', import.meta.url).href;
    const script = `
      const { loadConfiguration } = await import(${JSON.stringify(load)});
      const result = await loadConfiguration({ folder: ${JSON.stringify(empty)}, env: {} });
      console.log(result.ok, result.problems[0].kind);`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], {
      cwd: folder,
    });
    assert.equal(stdout.trim(), 'false missing');
    assert.equal(existsSync(marker), false);
    // The trap works: cosmiconfig's public constructor falls into it.
    const cosmiconfig = import.meta.resolve('cosmiconfig');
    const control = `(await import(${JSON.stringify(cosmiconfig)})).cosmiconfig('fileward');`;
    await run(process.execPath, ['--input-type=module', '-e', control], { cwd: folder });
    assert.equal(existsSync(marker), true);
    await rm(empty, { recursive: true });
  });
});

describe('files that can not be read', () => {
  it('says of each what is wrong', async () => {
    await put('empty.yaml');
    await put('a-folder.yaml/x');
    await symlink('nowhere', join(folder, 'dangling.yaml'));
    await symlink('loop.yaml', join(folder, 'loop.yaml'));
    await run('mkfifo', [join(folder, 'pipe.yaml')]);
    await put('huge.yaml');
    await truncate(join(folder, 'huge.yaml'), 17 * 1024 * 1024);
    await writeFile(join(folder, 'latin1.yaml'), Buffer.from('version: 1\nstate: /é\n', 'latin1'));
    await writeFile(join(folder, 'utf16.yaml'), Buffer.from('\ufeffversion: 1\n', 'utf16le'));
    await put('fileward.toml', 'version = 1');
    const expected = {
      'empty.yaml': '1:1: is empty',
      'a-folder.yaml': '1:1: is a folder; name the file in it',
      'dangling.yaml': '1:1: is a link to nowhere, which does not exist',
      'loop.yaml': '1:1: is a link that leads back to itself',
      'pipe.yaml': '1:1: is not a regular file',
      'huge.yaml': '1:1: is 17 MiB; at most 16 MiB are read',
      'latin1.yaml': '2:1: this line is not UTF-8',
      'utf16.yaml': '1:1: is UTF-16; save it as UTF-8',
      'fileward.toml': '1:1: its name must end in one of .yaml, .yml, .json, .js, .mjs, .ts',
      'absent.yaml': "1:1: no such file; create one with 'fileward init --stdout > absent.yaml'",
    };
    for (const [name, message] of Object.entries(expected)) {
      const result = await loadConfiguration({ file: join(folder, name) });
      assert.deepEqual(messages(result), [`${name}:${message}`]);
    }
  });

  it('holds out against aliases that multiply', async () => {
    const lines = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
    for (let level = 1; level < 9; level += 1) {
      const [from, to] = [String.fromCharCode(96 + level), String.fromCharCode(97 + level)];
      lines.push(`${to}: &${to} [${Array(10).fill(`*${from}`).join(', ')}]`);
    }
    const result = await loadConfiguration({ file: await put('bomb.yaml', ...lines) });
    assert.match(
      messages(result)[0] ?? '',
      /^bomb.yaml:\d+:\d+: aliases make more than 2000000 values/,
    );
  });

  it('holds out against nesting', async () => {
    for (const depth of [100, 200_000]) {
      const result = await loadConfiguration({ file: await put('deep.yaml', '['.repeat(depth)) });
      assert.equal(result.ok, false);
    }
    const nested = `${'['.repeat(100)}${']'.repeat(100)}`;
    const result = await loadConfiguration({ file: await put('deep.yaml', nested) });
    assert.match(messages(result)[0] ?? '', /nested deeper than 64 levels/);
  });

  it('reads JSON strictly, with positions', async () => {
    const file = await put('a.json', '{', '  "version": 1,', '  "groops": []', '}');
    assert.deepEqual(messages(await loadConfiguration({ file })), [
      "a.json:3:3: unknown key 'groops'; did you mean 'groups'?",
    ]);
    const comma = await put('b.json', '{', '\t"version": 1,', '}');
    assert.deepEqual(messages(await loadConfiguration({ file: comma })), [
      'b.json:3:1: not JSON: expected double-quoted property name',
    ]);
    const tabs = await put('c.json', '{', '\t"version": 1,', '\t"groups": []', '}');
    assert.equal((await loadConfiguration({ file: tabs })).ok, true);
  });
});

describe('files that run code', needsRoot, () => {
  let trusted = '';
  beforeEach(async () => {
    trusted = await mkdtemp('/var/lib/fileward-unit-');
    await chmod(trusted, 0o755);
  });
  afterEach(() => rm(trusted, { recursive: true, force: true }));

  const code = (version: string) =>
    `const version: number = 1;\nexport default { version, policy_version: '${version}', groups: [] };\n`;

  it('run when only root can write them, and are run anew on each load', async () => {
    const file = join(trusted, 'fileward.config.ts');
    await writeFile(join(trusted, 'part.ts'), "export const version: string = 'one';\n");
    await writeFile(
      file,
      "import { version } from './part.ts';\nexport default async () => ({ version: 1, policy_version: version });\n",
    );
    const first = await loadConfiguration({ file });
    assert.equal(first.ok && first.configuration.policyVersion, 'one');
    assert.ok(first.files.includes(join(trusted, 'part.ts')));
    await writeFile(join(trusted, 'part.ts'), "export const version: string = 'two';\n");
    const second = await loadConfiguration({ file });
    assert.equal(second.ok && second.configuration.policyVersion, 'two');
  });

  it('are refused when others can write them, the folder above or what they import', async () => {
    const file = join(trusted, 'fileward.config.ts');
    await writeFile(file, code('x'));
    const refusal = async () => {
      const result = await loadConfiguration({ file });
      return result.ok ? 'accepted' : (result.problems[0]?.message ?? '');
    };
    const refused = 'refused, as it runs code and not only root can write it: ';
    assert.equal(await refusal(), 'accepted');
    await chmod(file, 0o664);
    assert.equal(
      await refusal(),
      `${refused}${file} can be written by others than root (mode 0664)`,
    );
    await chmod(file, 0o644);
    await chown(file, 65534, 0);
    assert.equal(
      await refusal(),
      `${refused}${file} is owned by uid 65534 (mode 0644), not by root`,
    );
    await chown(file, 0, 0);
    await chmod(trusted, 0o777);
    assert.equal(
      await refusal(),
      `${refused}${trusted} can be written by others than root (mode 0777)`,
    );
    await chmod(trusted, 0o755);
    await put('loose.ts', "export const version = 'loose';");
    await writeFile(file, `export { version } from '${folder}/loose.ts';\nexport default {};\n`);
    assert.match(await refusal(), /^refused to run .*loose.ts: \/tmp can be written by others/);
  });

  it('are refused behind a link that others can turn', async () => {
    await writeFile(join(trusted, 'real.ts'), code('x'));
    const link = join(folder, 'fileward.config.ts');
    await symlink(join(trusted, 'real.ts'), link);
    const result = await loadConfiguration({ file: link });
    assert.match(messages(result)[0] ?? '', /\/tmp can be written by others than root/);
  });

  it('are refused as imports too', async () => {
    await put('rules.js', 'export default { groups: [] };');
    const file = await put('main.yaml', 'version: 1', 'import: [ ./rules.js ]');
    assert.match(
      messages(await loadConfiguration({ file }))[0] ?? '',
      /^rules.js:1:1: refused, as it runs code/,
    );
  });

  it('say what is wrong at their first line', async () => {
    const file = join(trusted, 'a.mjs');
    const cases = {
      'export default { version: 1, groops: [] };': "unknown key 'groops'; did you mean 'groups'?",
      'export const a = 1;': 'has no default export; export the configuration as default',
      "throw new Error('out of order');": 'out of order',
      'export default { version: 1, groups: () => [] };': /could not be cloned|not data/,
      'process.exit(0);': 'left before it gave a configuration',
    };
    for (const [text, expected] of Object.entries(cases)) {
      await writeFile(file, text);
      const result = await loadConfiguration({ file });
      const problem = result.ok ? undefined : result.problems[0];
      assert.equal(problem?.line, 1);
      if (typeof expected === 'string') assert.equal(problem?.message, expected);
      else assert.match(problem?.message ?? '', expected);
    }
  });
});

describe('imports', () => {
  const main = (...more: readonly string[]) =>
    put('main.yaml', 'version: 1', 'import: [ ./rules.d/*.yaml ]', ...more);
  const imported = (name: string, ...rules: readonly string[]) =>
    put(
      `rules.d/${name}`,
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      '    rules:',
      ...rules,
    );

  it("put the importing file's rules first, then files by name", async () => {
    await imported('20.yaml', '      - { name: c, path: /c, behavior: watch }');
    await imported('10.yaml', '      - { name: b, path: /b, behavior: watch }');
    await put('rules.d/.10.yaml.swp', 'rubbish: [');
    await put('rules.d/.hidden.yaml', 'rubbish: [');
    const file = await main(
      'groups:',
      '  - { name: host, mode: protect, rules: [ { name: a, path: /a, behavior: watch } ] }',
    );
    const result = await loadConfiguration({ file });
    assert.deepEqual(
      rulesOf(result).map((rule) => rule.name),
      ['a', 'b', 'c'],
    );
    assert.ok(result.ok && result.configuration.document.groups[0]?.mode === 'protect');
    assert.ok(result.files.includes(join(folder, 'rules.d')));
    assert.ok(result.files.includes(join(folder, 'rules.d/10.yaml')));
  });

  it('hold groups, sets and overrides only', async () => {
    await put('rules.d/a.yaml', 'version: 1', 'telemetry: {}', 'groops: []');
    assert.deepEqual(messages(await loadConfiguration({ file: await main() })), [
      "rules.d/a.yaml:1:1: unknown key 'version'; it belongs in the main file, an imported one holds groups, sets and overrides",
      "rules.d/a.yaml:2:1: unknown key 'telemetry'; it belongs in the main file, an imported one holds groups, sets and overrides",
      "rules.d/a.yaml:3:1: unknown key 'groops'; did you mean 'groups'?",
    ]);
  });

  it('do not define a rule, a set or a group in two ways', async () => {
    await put(
      'rules.d/a.yaml',
      'sets: { one: [ /a ] }',
      'groups:',
      '  - { name: web, members: { container: { image: a } } }',
    );
    await put(
      'rules.d/b.yaml',
      'sets: { one: [ /b ] }',
      'groups:',
      '  - { name: web, members: { container: { image: b } } }',
    );
    await imported('c.yaml', '      - { name: a, path: /a, behavior: watch }');
    const file = await main(
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      '    rules: [ { name: a, path: /a, behavior: watch } ]',
    );
    assert.deepEqual(
      messages(await loadConfiguration({ file })),
      [
        `rules.d/b.yaml:1:9: set 'one' is already at ${folder}/rules.d/a.yaml:1; rename one of them`.replaceAll(
          `${folder}/`,
          '',
        ),
        'rules.d/b.yaml:3:27: '.concat(
          "group 'web' has other members at rules.d/a.yaml:3; rename one of them",
        ),
        "rules.d/c.yaml:5:9: rule 'host/a' is already at main.yaml:6; rename one, or use an override",
      ].toSorted(),
    );
  });

  it('report every file at once', async () => {
    await put('rules.d/a.yaml', 'groops: []');
    await put('rules.d/b.yaml', 'groups: [');
    const file = await main('state: var');
    assert.equal(messages(await loadConfiguration({ file })).length, 3);
  });
});

describe('files that others can write', needsRoot, () => {
  const load = (file: string) => loadConfiguration({ file, trust: 'refuse' });

  it('are refused only when that is asked for, and warned of otherwise', async () => {
    const file = await put('main.yaml', 'version: 1', 'import: a.yaml', 'groups: []');
    const imported = await put('a.yaml', 'groups: []');
    assert.ok((await load(file)).ok);
    await chmod(imported, 0o666);
    await chmod(file, 0o620);
    assert.ok((await loadConfiguration({ file })).ok);
    const how = (name: string, mode: string) =>
      `${join(folder, name)} can be written by others than root (mode ${mode})`;
    const reasons = [how('main.yaml', '0620'), how('a.yaml', '0666')];
    const told = reasons.map((reason) => reason.replace(`${folder}/`, ''));
    const help = '; give it to root, or use --no-self-protection';
    assert.deepEqual(messages(await load(file)), [
      `main.yaml:1:1: refused: ${told[0]}${help}`,
      `a.yaml:1:1: refused: ${told[1]}${help}`,
    ]);
    const warned = await loadConfiguration({ file, trust: 'warn' });
    assert.ok(warned.ok);
    const refusals = messages(warned).filter((message) => message.includes('refuses it'));
    assert.deepEqual(refusals, [
      `main.yaml:1:1: fileward run refuses it: ${told[0]}`,
      `a.yaml:1:1: fileward run refuses it: ${told[1]}`,
    ]);
  });

  it('are fine in a sticky folder, and where only root may enter', async () => {
    const shared = join(folder, 'shared');
    const file = await put('shared/volume/main.yaml', 'version: 1', 'groups: []');
    // As the volume of a ConfigMap is, whose folders above only root may enter.
    await chmod(join(shared, 'volume'), 0o777);
    await chmod(shared, 0o700);
    assert.ok((await load(file)).ok);
    await chmod(shared, 0o755);
    await chmod(folder, 0o755);
    assert.match(messages(await load(file))[0] ?? '', /volume can be written by others/);
    await chmod(join(shared, 'volume'), 0o1777);
    assert.ok((await load(file)).ok);
    await chown(join(shared, 'volume'), 65534, 65534);
    assert.match(messages(await load(file))[0] ?? '', /volume is owned by uid 65534/);
  });
});

describe('bounds', () => {
  const ruleLine = (name: string) => `{ name: ${name}, path: /x, behavior: watch }`;

  it('more rules than are taken are refused, in whatever files they are', async () => {
    const rules = Array.from({ length: 20_000 }, (_, index) => ruleLine(`r${index}`));
    const group = (list: readonly string[]) =>
      `groups: [ { name: a, members: { host: true }, rules: [ ${list.join(', ')} ] } ]`;
    await put('a.yaml', group(rules));
    const file = await put('main.yaml', 'version: 1', 'import: a.yaml', group([ruleLine('more')]));
    const [message = '', ...others] = messages(await loadConfiguration({ file, offline: true }));
    assert.match(
      message,
      /^a\.yaml:1:\d+: rule 'r19999' is one too many: there are 20001 rules, at most 20000 are taken/,
    );
    assert.deepEqual(others, []);
  });

  it('more imported files than are taken are refused', async () => {
    const file = await put('main.yaml', 'version: 1', 'import: ./d/*.yaml');
    for (let index = 0; index < 1001; index++) await put(`d/${index}.yaml`, 'groups: []');
    const result = await loadConfiguration({ file, offline: true });
    assert.deepEqual(messages(result), [
      'main.yaml:2:9: imports more than 1000 files; put their rules into fewer',
    ]);
  });
});

describe('overrides and sets', () => {
  const head = ['version: 1', 'import: [ ./rules.yaml ]'];
  beforeEach(() =>
    put(
      'rules.yaml',
      'sets: { tools: [ /usr/bin/one, { exe: /usr/bin/two, operations: [exec] } ] }',
      'overrides: [ { rule: host/a, severity: info } ]',
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      '    rules:',
      '      - name: a',
      '        path: /etc/a',
      '        behavior: block',
      '        operations: [read, write]',
      '        apps: [ set:tools, /usr/bin/three ]',
    ),
  );

  it('add and remove apps, and replace any other key', async () => {
    const file = await put(
      'main.yaml',
      ...head,
      'overrides:',
      '  - rule: host/a',
      '    apps: { add: [ /usr/bin/four ], remove: [ /usr/bin/three ] }',
      '    regex: /etc/.*',
      '    mode: protect',
      '    severity: error',
    );
    const [rule] = rulesOf(await loadConfiguration({ file }));
    assert.deepEqual(
      rule?.apps.map((app) => app.exe),
      ['/usr/bin/one', '/usr/bin/two', '/usr/bin/four'],
    );
    assert.deepEqual(
      [rule?.path, rule?.regex, rule?.mode, rule?.severity],
      [[], '/etc/.*', 'protect', 'error'],
    );
  });

  it('leave the rule where it was written, and report at the override', async () => {
    const file = await put(
      'main.yaml',
      ...head,
      'overrides: [ { rule: host/a, except: [ /x, y ] } ]',
    );
    assert.deepEqual(messages(await loadConfiguration({ file })), [
      "main.yaml:3:44: 'y' is not an absolute path; did you mean '/y'?",
    ]);
  });

  it("let the main file's set take the place of an imported and a shipped one", async () => {
    const file = await put(
      'main.yaml',
      ...head,
      'sets: { tools: [ /usr/bin/mine ], pam: [ set:tools ] }',
    );
    const [rule] = rulesOf(await loadConfiguration({ file }));
    assert.deepEqual(
      rule?.apps.map((app) => [app.exe, app.set]),
      [
        ['/usr/bin/mine', 'tools'],
        ['/usr/bin/three', undefined],
      ],
    );
  });

  it('go on at the values of anchors and merge keys', async () => {
    const file = await put(
      'anchors.yaml',
      'version: 1',
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      '    rules:',
      '      - &base { name: a, path: /a, behavior: watch, operations: &ops [read] }',
      '      - { <<: *base, name: b, path: /b }',
      '      - { name: c, path: /c, behavior: watch, operations: *ops }',
    );
    assert.deepEqual(
      rulesOf(await loadConfiguration({ file })).map((rule) => [
        rule.name,
        rule.path,
        rule.operations,
      ]),
      [
        ['a', ['/a'], ['read']],
        ['b', ['/b'], ['read']],
        ['c', ['/c'], ['read']],
      ],
    );
  });
});

describe('what a configuration becomes', () => {
  it('has every default of the contract', async () => {
    const file = await put(
      'main.yaml',
      'version: 1',
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      '    rules:',
      '      - { name: w, path: /w, behavior: watch }',
      '      - { name: b, path: /b, behavior: block }',
    );
    const result = await loadConfiguration({ file });
    assert.ok(result.ok);
    const { document, ...settings } = result.configuration;
    assert.deepEqual(settings, {
      file,
      telemetry: {
        protocol: 'grpc',
        endpoint: 'http://localhost:4317',
        headers: {},
        timeoutMs: 10_000,
        compression: 'none',
        tls: { insecure: false },
        outbox: { maxSizeBytes: 256 * 1024 * 1024 },
        metrics: { perRule: true, intervalMs: 60_000 },
      },
      records: {
        windowMs: 10_000,
        commandArgs: false,
        hash: { enabled: true, maxSizeBytes: 10 * 1024 * 1024 },
      },
      limits: { marks: 200_000, depth: 32 },
      verdict: { deadlineMs: 100, onDeadline: 'allow' },
      learning: { user: false },
      state: '/var/lib/fileward',
    });
    const [group] = document.groups;
    const [watch, block] = group?.rules ?? [];
    assert.deepEqual([group?.mode, group?.labels], ['monitor', {}]);
    assert.deepEqual([watch?.operations, watch?.changes], [['write'], 'quiet']);
    assert.deepEqual([block?.operations, block?.changes], [['read', 'write', 'exec'], 'report']);
    assert.deepEqual([block?.enabled, block?.hash, block?.runtime], [true, true, true]);
    assert.deepEqual([block?.position.line, block?.position.column], [7, 9]);
  });

  it('has a hash of what it says, not of how it is written', async () => {
    const plain = await loadConfiguration({
      file: await put('a.yaml', 'version: 1', 'groups: []'),
    });
    const other = await loadConfiguration({
      file: await put('b.json', '{ "groups": [],', ' "version": 1 }'),
    });
    const third = await loadConfiguration({ file: await put('c.yaml', 'version: 1', 'state: /s') });
    assert.ok(plain.ok && other.ok && third.ok);
    assert.equal(plain.hash, other.hash);
    assert.notEqual(plain.hash, third.hash);
    assert.match(plain.hash, /^[0-9a-f]{64}$/);
  });

  it('looks at no file but its own when offline', async () => {
    const tool = await put('tool', '#!/bin/sh');
    const text = (app: string) => [
      'version: 1',
      'groups:',
      '  - name: host',
      '    members: { host: true }',
      `    rules: [ { name: a, path: /a, behavior: block, operations: [read], apps: [ ${app} ] } ]`,
    ];
    for (const app of [tool, `{ exe: ${tool}, user: nobody-here }`, '/usr/bin']) {
      const file = await put('main.yaml', ...text(app));
      assert.equal((await loadConfiguration({ file })).ok, false, app);
      assert.equal((await loadConfiguration({ file, offline: true })).ok, true, app);
    }
  });
});

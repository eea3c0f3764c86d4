/** `fileward learned export|apply|merge` as a user meets them, without an agent: what lands in which file, and what is refused. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { parse } from 'yaml';
import type { LearnedPair } from '../../../src/learning/learned-pair.ts';
import { LearnedStore } from '../../../src/learning/learned-store.ts';
import { replaceFile } from '../../../src/learning/replace-file.ts';
import { pairOf, rule } from './support.ts';

const main = path.resolve(import.meta.dirname, '../../../src/main.ts');
const base = mkdtempSync(path.join(tmpdir(), 'fileward-apply-'));
after(() => rmSync(base, { recursive: true }));

/** A folder with a configuration and what was learned under it. */
class Site {
  readonly folder: string;
  readonly file: string;

  constructor(
    text: string,
    name = 'fileward.config.yaml',
    folder = mkdtempSync(path.join(base, 'site-')),
  ) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    this.file = this.write(name, text.replaceAll('STATE', path.join(this.folder, 'state')));
  }

  write(name: string, text: string): string {
    const file = path.join(this.folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
    return file;
  }

  read(): string {
    return readFileSync(this.file, 'utf8');
  }

  learned(...pairs: readonly Partial<LearnedPair>[]): this {
    mkdirSync(path.join(this.folder, 'state'));
    const store = new LearnedStore(path.join(this.folder, 'state/learned.db'));
    const all = pairs.map((pair, index) => ({ ...pairOf(source, pair), id: index + 1 }));
    const names = [...new Set(all.map(({ group, rule }) => `${group}/${rule}`))];
    const rules = names.map((name, index) => {
      const [group = '', rule = ''] = name.split('/');
      const { behavior, operations } = source;
      return { id: index + 1, group, rule, fingerprint: '', behavior, operations };
    });
    const ruleId = (pair: LearnedPair) => names.indexOf(`${pair.group}/${pair.rule}`) + 1;
    const rows = all.map((pair) => ({ ...pair, ruleId: ruleId(pair) }));
    store.write({ rules, pairs: rows, refusals: [], goneRules: [] });
    store.close();
    return this;
  }

  run(...args: readonly string[]) {
    const [command = '', ...rest] = args;
    const all = ['learned', command, ...rest, '-c', this.file];
    const env = { PATH: process.env['PATH'] ?? '', NO_COLOR: '1' };
    const options = { encoding: 'utf8', cwd: this.folder, env } as const;
    const node = ['--disable-warning=ExperimentalWarning', main, ...all];
    const { status, stdout, stderr } = spawnSync(process.execPath, node, options);
    return { status, stdout, stderr, all: stdout + stderr };
  }
}

const source = rule('conf', { path: ['/srv/web/**'], operations: ['read', 'write'] });
const nginx = { group: 'web', rule: 'conf', app: '/usr/sbin/nginx' };
const group = (rules: string) => `groups:
  - name: web
    members: { host: true }
    mode: discover
    rules: ${rules}
`;
const conf =
  '[ { name: conf, path: /srv/web/**, behavior: block, operations: [read, write], apps: [] } ]';
const head = 'version: 1\nstate: STATE\n';

describe('apply', () => {
  it('adds to a rule of an imported file, and of a pack, by overrides in the main file', () => {
    const site = new Site(
      `${head}import:\n  - pack:linux-base  # as shipped\n  - ./mine.yaml\ngroups: []\n`,
    );
    const mine = site.write('mine.yaml', group(conf));
    const before = readFileSync(mine, 'utf8');
    site.learned(nginx, {
      group: 'host',
      rule: 'sudoers',
      app: '/usr/sbin/nginx',
      operation: 'write',
    });
    const { status, stderr } = site.run('apply', '--yes');
    assert.equal(status, 0, stderr);
    assert.equal(readFileSync(mine, 'utf8'), before);
    const add = { add: [{ exe: '/usr/sbin/nginx', operations: ['read'] }] };
    const { overrides } = parse(site.read());
    assert.deepEqual(overrides.map(({ rule }: { rule: string }) => rule).sort(), [
      'host/sudoers',
      'web/conf',
    ]);
    assert.deepEqual(
      overrides.find(({ rule }: { rule: string }) => rule === 'web/conf'),
      { rule: 'web/conf', apps: add },
    );
    assert.ok(
      site.read().includes('  - pack:linux-base  # as shipped\n  - ./mine.yaml\noverrides:\n'),
    );
  });

  it('adds where an override of an imported file decides what is listed', () => {
    const site = new Site(`${head}import: ./mine.yaml\n${group(conf)}`);
    site.write('mine.yaml', 'overrides:\n  - { rule: web/conf, apps: [ /usr/bin/init ] }\n');
    site.learned(nginx);
    assert.equal(site.run('apply', '--yes').status, 0);
    assert.deepEqual(parse(site.read()).overrides, [
      { rule: 'web/conf', apps: { add: [{ exe: '/usr/sbin/nginx', operations: ['read'] }] } },
    ]);
  });

  it('keeps to the group that was asked for', () => {
    const site = new Site(`${head}${group(conf)}`).learned(nginx);
    const { status, stdout } = site.run('apply', '--yes', '--group', 'other');
    assert.deepEqual([status, site.read().includes('nginx')], [0, false]);
    assert.match(stdout, /nothing to add/);
  });

  it('writes through a link, keeps mode and owner, and leaves nothing behind', () => {
    const site = new Site(`${head}${group(conf)}`).learned(nginx);
    const real = site.write('repository/real.yaml', site.read());
    chmodSync(real, 0o604);
    rmSync(site.file);
    symlinkSync('repository/real.yaml', site.file);
    assert.equal(site.run('apply', '--yes').status, 0);
    assert.ok(lstatSync(site.file).isSymbolicLink());
    assert.match(readFileSync(real, 'utf8'), /nginx/);
    assert.equal(statSync(real).mode & 0o777, 0o604);
    assert.deepEqual(readdirSync(path.dirname(real)), ['real.yaml']);
  });

  it('writes JSON', () => {
    const rules = [
      {
        name: 'conf',
        path: '/srv/web/**',
        behavior: 'block',
        operations: ['read', 'write'],
        apps: [],
      },
    ];
    const groups = [{ name: 'web', members: { host: true }, mode: 'discover', rules }];
    const text = JSON.stringify({ version: 1, state: 'STATE', groups }, null, 2);
    const site = new Site(text, 'fileward.config.json').learned(nginx);
    assert.equal(site.run('apply', '--yes').status, 0);
    assert.deepEqual(JSON.parse(site.read()).groups[0].rules[0].apps, [
      { exe: '/usr/sbin/nginx', operations: ['read'] },
    ]);
  });

  const notRoot = process.getuid?.() !== 0 && "only root's own files are run";
  it('refuses a configuration that is a program, and says what to paste', {
    skip: notRoot,
  }, (t) => {
    const document = {
      version: 1,
      state: 'STATE',
      groups: [
        {
          name: 'web',
          members: { host: true },
          rules: [
            { name: 'conf', path: '/srv/web/**', behavior: 'watch', operations: ['read', 'write'] },
          ],
        },
      ],
    };
    const text = `export default ${JSON.stringify(document)};\n`;
    const site = new Site(text, 'fileward.config.mjs', mkdtempSync('/run/fileward-apply-'));
    t.after(() => rmSync(site.folder, { recursive: true }));
    site.learned(nginx);
    const before = site.read();
    const { status, stdout, stderr } = site.run('apply', '--yes');
    assert.equal(status, 2);
    assert.match(stderr, /it is a program/);
    assert.deepEqual(parse(stdout).overrides[0].apps.add, [
      { exe: '/usr/sbin/nginx', operations: ['read'] },
    ]);
    assert.equal(site.read(), before);
  });

  it('refuses a ConfigMap, whose next version would undo it', () => {
    const site = new Site(`${head}${group(conf)}`).learned(nginx);
    const text = site.read();
    const real = site.write('..2026_11_21/fileward.config.yaml', text);
    rmSync(site.file);
    symlinkSync('..2026_11_21', path.join(site.folder, '..data'));
    symlinkSync('..data/fileward.config.yaml', site.file);
    const { status, stdout, stderr } = site.run('apply', '--yes');
    assert.equal(status, 2);
    assert.match(stderr, /ConfigMap/);
    assert.match(stdout, /^overrides:\n {2}- rule: web\/conf$/m);
    assert.equal(readFileSync(real, 'utf8'), text);
  });

  it('does not write over a change that was made meanwhile', () => {
    const site = new Site(`${head}${group(conf)}`);
    const before = site.read();
    writeFileSync(site.file, `${before}# new\n`);
    assert.throws(() => replaceFile(site.file, before, 'mine'), /changed meanwhile/);
    assert.equal(site.read(), `${before}# new\n`);
    assert.equal(readdirSync(site.folder).length, 1);
  });

  it('takes names as they are', () => {
    const odd = [
      '/opt/a, b',
      '/opt/[c]*',
      '/opt/# d',
      "/opt/it's: {x}",
      '/opt/\ttab',
      '/opt/\\back',
      '/opt/é\u2028',
      '/opt/-',
      '/opt/set:x',
      '/opt/a\nb: c\n\n- d',
    ];
    const site = new Site(`${head}${group(conf)}`).learned(
      ...odd.map((app) => ({ ...nginx, app })),
    );
    const { status, stderr } = site.run('apply', '--yes');
    assert.equal(status, 0, stderr);
    assert.match(site.run('apply').stdout, /10 pairs are listed already/);
  });

  it('lists the others where some can not be listed, and says why', () => {
    const folder = { ...nginx, app: '/usr/share' };
    const bad = ['/', '/opt/../x', '/usr//bin/x', '/opt/\ud800'].map((app) => ({ ...nginx, app }));
    for (const name of ['fileward.config.yaml', 'fileward.config.json']) {
      const document = parse(`${head}${group(conf)}`);
      const text = name.endsWith('json') ? JSON.stringify(document) : `${head}${group(conf)}`;
      const site = new Site(text, name).learned(...bad, folder, nginx, {
        ...nginx,
        app: '/usr/bin/tool',
        user: 'nobody-of-that-name',
      });
      const { status, stdout, stderr } = site.run('apply', '--yes');
      assert.equal(status, 0, stderr);
      assert.deepEqual(parse(site.read()).groups[0].rules[0].apps, [
        { exe: '/usr/sbin/nginx', operations: ['read'] },
      ]);
      assert.match(stdout, /would deny it:\n(.*no file has such a path.*\n){3}/);
      assert.match(stdout, /is a folder/);
      assert.match(stdout, /no user 'nobody-of-that-name'/);
    }
  });

  it('writes thousands of entries into a long file', () => {
    const names = Array.from({ length: 1500 }, (_, index) => `/opt/old/${index}`);
    const entries = names.map((exe) => `          - { exe: ${exe}, operations: [ read ] }\n`);
    const rules = `\n      - name: conf\n        path: /srv/web/**\n        behavior: block\n        operations: [ read, write ]\n        apps:\n${entries.join('')}`;
    const fresh = Array.from({ length: 1500 }, (_, index) => `/opt/new/${index}`);
    const site = new Site(`${head}${group(rules)}`).learned(
      ...[...names, ...fresh].map((app) => ({ ...nginx, app, operation: 'write' }) as const),
    );
    const { status, stderr } = site.run('apply', '--yes');
    assert.equal(status, 0, stderr);
    const { apps } = parse(site.read()).groups[0].rules[0];
    assert.equal(apps.length, 3000);
    assert.deepEqual(apps[0].operations, ['read', 'write']);
  });

  it('lists globs when asked to', () => {
    const versions = ['1.2.3', '1.2.4'].map((version) => ({
      ...nginx,
      app: `/opt/app-${version}/run`,
    }));
    const site = new Site(`${head}${group(conf)}`).learned(...versions);
    const { stdout } = site.run('apply', '--yes', '--widen');
    assert.match(stdout, /^\+.*\{ exe: \/opt\/app-\*\/run, operations: \[ read \] \}/m);
    assert.match(site.read(), /\/opt\/app-\*\/run/);
    assert.match(site.run('apply').stdout, /nothing to add/);
  });

  it('says what protect would still deny', () => {
    const site = new Site(`${head}${group(conf)}`);
    site.learned(nginx, { ...nginx, app: '/bin/sh', kind: 'interpreter', count: 7 });
    const { status, stdout } = site.run('apply', '--yes');
    assert.equal(status, 0);
    assert.match(
      stdout,
      /protect would deny it:\n +web\/conf +\/bin\/sh +read +×7 .*--allow-broad/,
    );
    assert.doesNotMatch(site.read(), /bin\/sh/);
  });

  it('needs a configuration, and something that was learned', () => {
    const site = new Site(`${head}${group('[ { name: conf } ]')}`);
    assert.equal(site.run('apply').status, 2);
    const none = new Site(`${head}${group(conf)}`);
    const { status, stderr } = none.run('apply');
    assert.deepEqual([status, /no agent is running/.test(stderr)], [3, true]);
  });
});

describe('export', () => {
  it('prints overrides, and what is left out as comments', () => {
    const site = new Site(`${head}${group(conf)}`);
    site.learned(nginx, { ...nginx, app: '/bin/sh', kind: 'interpreter' });
    const { status, stdout } = site.run('export');
    assert.equal(status, 0);
    assert.deepEqual(parse(stdout), {
      overrides: [
        { rule: 'web/conf', apps: { add: [{ exe: '/usr/sbin/nginx', operations: ['read'] }] } },
      ],
    });
    assert.match(stdout, /^# web\/conf: not listed: \/bin\/sh read: an interpreter/m);
  });
});

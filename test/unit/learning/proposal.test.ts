/** What of that which was learned gets into a configuration, as which entry, and what does not. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Listing } from '../../../src/learning/listing.ts';
import type { LearnedPair } from '../../../src/learning/learned-pair.ts';
import { propose, type ProposalOptions } from '../../../src/learning/proposal.ts';
import { loadNative } from '../../../src/native/load.ts';
import { compile, noCaps } from '../../../src/policy/compile.ts';
import type { AppEntry, MemberCriteria, Rule } from '../../../src/policy/document.ts';
import { appEntryYaml } from '../../../src/policy/snippet.ts';
import { configurationOf } from '../records/support.ts';
import { pairOf, rule } from './support.ts';

const container: MemberCriteria = { container: { keys: {}, labels: {} } };
const { position } = rule('any');

function app(given: Partial<AppEntry>): AppEntry {
  return { children: false, workload: 'same', packageManager: false, position, ...given };
}

function proposalOf(
  source: Rule,
  pairs: readonly Partial<LearnedPair>[],
  options: Partial<ProposalOptions & { members: MemberCriteria }> = {},
) {
  const { members = { host: true }, allowBroad = false, widen = false } = options;
  const configuration = configurationOf([source], { mode: 'discover' });
  const [group] = configuration.document.groups;
  const document = { groups: group ? [{ ...group, members: [members] }] : [] };
  const listing = new Listing(
    compile({ ...configuration, document }, noCaps),
    loadNative().createEvaluator,
  );
  const learned = { pairs: pairs.map((pair) => pairOf(source, pair)), rules: [], refusals: [] };
  const proposal = propose(learned, listing, { allowBroad, widen });
  return {
    ...proposal,
    entries: proposal.rules.flatMap(({ entries }) => entries.map(appEntryYaml)),
    left: proposal.leftOut.map(({ pair, denied }) => `${pair.app} ${denied}`),
  };
}

const read = { operation: 'read' } as const;
const write = { operation: 'write' } as const;
const exec = { operation: 'exec' } as const;

describe('entries', () => {
  const data = rule('data');
  it('are one for each app, plain when all operations of the rule were seen', () => {
    const other = { app: '/usr/bin/tee' };
    const { entries } = proposalOf(data, [
      write,
      exec,
      read,
      { ...other, ...write },
      { ...other, ...read },
    ]);
    assert.deepEqual(entries, [
      '/usr/bin/cat',
      '{ exe: /usr/bin/tee, operations: [ read, write ] }',
    ]);
  });

  it('are plain for the only operation of a rule', () => {
    const { entries } = proposalOf(rule('data', { operations: ['write'] }), [write, read]);
    assert.deepEqual(entries, ['/usr/bin/cat']);
  });

  it('name the user where that was learned', () => {
    const { entries } = proposalOf(data, [{ user: 'root' }, { user: '33' }]);
    assert.deepEqual(entries, [
      '{ exe: /usr/bin/cat, operations: [ read ], user: root }',
      '{ exe: /usr/bin/cat, operations: [ read ], user: "33" }',
    ]);
  });

  it('say that a program is the host’s', () => {
    const { entries } = proposalOf(data, [{ origin: 'host' }], { members: container });
    assert.deepEqual(entries, ['{ exe: /usr/bin/cat, operations: [ read ], workload: host }']);
  });

  it('are one for all that package managers did', () => {
    const pairs = ['/usr/bin/dpkg', '/bin/sh'].map((app) => ({
      app,
      packageManager: 'dpkg',
      ...write,
    }));
    const { entries } = proposalOf(data, [
      ...pairs,
      { ...read, app: '/usr/bin/dpkg', packageManager: 'dpkg', kind: 'binary' },
    ]);
    assert.deepEqual(entries, ['{ package_manager: true, operations: [ read, write ] }']);
  });

  it('are two for a program that ran under a package manager and alone', () => {
    const both = { packageManager: 'dpkg', alsoAlone: true } as const;
    assert.deepEqual(proposalOf(data, [both]).entries, [
      '{ package_manager: true, operations: [ read ] }',
      '{ exe: /usr/bin/cat, operations: [ read ] }',
    ]);
    const shell = proposalOf(data, [{ ...both, app: '/bin/sh', kind: 'interpreter' }]);
    assert.deepEqual(shell.entries, ['{ package_manager: true, operations: [ read ] }']);
    assert.deepEqual(shell.left, ['/bin/sh true']);
  });

  it('of package managers are not made where their user is listed already', () => {
    const apps = [app({ packageManager: true, user: 'root' })];
    const pairs = ['root', 'bin'].map((user) => ({ app: '/bin/sh', packageManager: 'dpkg', user }));
    const { entries } = proposalOf(rule('data', { apps }), pairs);
    assert.deepEqual(entries, ['{ package_manager: true, operations: [ read ], user: bin }']);
  });

  it('are not made of what is listed', () => {
    const apps = [
      app({ exe: '/usr/bin/ca*', operations: ['read'] }),
      app({ exe: '/usr/bin/host', workload: 'host' }),
      app({ packageManager: true }),
    ];
    const listed = rule('data', { apps });
    const pairs = [
      read,
      write,
      { app: '/usr/bin/host', origin: 'host' },
      { app: '/usr/bin/host', origin: 'same' },
      { app: '/usr/bin/dpkg', packageManager: 'dpkg' },
    ] as const;
    const { entries, listed: count } = proposalOf(listed, pairs, { members: container });
    assert.deepEqual(entries, [
      '{ exe: /usr/bin/cat, operations: [ write ] }',
      '{ exe: /usr/bin/host, operations: [ read ] }',
    ]);
    assert.equal(count, 3);
  });
});

describe('left out', () => {
  it('is what no entry should or could list, with the reason', () => {
    const pairs = [
      { app: '/bin/sh', kind: 'interpreter' },
      { app: '/bin/busybox', kind: 'multicall' },
      { app: '/usr/bin/tool', origin: 'container' },
      { app: '/memfd:x' },
      { app: '/opt/\ufffd' },
      { app: '/opt/\ud800x' },
      { app: '/' },
      { app: '/opt/../../usr/bin/x' },
      { app: '/usr//bin/x' },
      { app: '/usr/bin/.' },
    ] as const;
    const { entries, leftOut, left } = proposalOf(rule('data'), pairs);
    assert.deepEqual(entries, []);
    assert.deepEqual(
      left,
      pairs.map(({ app }) => `${app} true`),
    );
    assert.match(
      leftOut.map(({ why }) => why).join('\n'),
      /interpreter.*--allow-broad\)\n.*multi-call.*\n.*another container.*\n.*no file.*\n.*UTF-8\n.*UTF-8\n(.*such a path\n?){4}$/,
    );
    const { entries: broad, left: rest } = proposalOf(rule('data'), pairs, { allowBroad: true });
    assert.deepEqual([broad.length, rest.length], [2, pairs.length - 2]);
  });

  it('names the scripts that an interpreter ran, for a closer entry', () => {
    const pair = { app: '/bin/sh', kind: 'interpreter', scripts: ['/opt/job'] } as const;
    const [left] = proposalOf(rule('data'), [pair]).leftOut;
    assert.match(left?.why ?? '', /\{ exe: \/bin\/sh, script: \/opt\/job \}$/);
  });

  it('is denied by no watch rule, and by no rule that is gone', () => {
    const pair = { app: '/bin/sh', kind: 'interpreter' } as const;
    assert.deepEqual(proposalOf(rule('data', { behavior: 'watch' }), [pair]).left, [
      '/bin/sh false',
    ]);
    assert.deepEqual(proposalOf(rule('data'), [{ ...pair, rule: 'gone' }]).left, ['/bin/sh false']);
    assert.deepEqual(proposalOf(rule('data', { enabled: false }), [pair]).left, ['/bin/sh false']);
  });
});

describe('paths with random parts', () => {
  const versions = ['/opt/app-1.2.3/bin/run', '/opt/app-1.2.4/bin/run'].map((app) => ({ app }));
  it('are listed as they are, and a glob is proposed', () => {
    const { entries, widenings } = proposalOf(rule('data'), [
      ...versions,
      { app: '/usr/bin/python3.11' },
    ]);
    assert.deepEqual(entries, [
      '{ exe: /opt/app-1.2.3/bin/run, operations: [ read ] }',
      '{ exe: /opt/app-1.2.4/bin/run, operations: [ read ] }',
      '{ exe: /usr/bin/python3.11, operations: [ read ] }',
    ]);
    assert.deepEqual(widenings, [
      {
        group: 'host',
        rule: 'data',
        glob: '/opt/app-*/bin/run',
        examples: versions.map(({ app }) => app),
      },
    ]);
  });

  it('are widened only when asked to, and not over users', () => {
    const pairs = [...versions, { app: '/opt/app-2.0/bin/run', user: 'root' }];
    const { entries } = proposalOf(rule('data'), pairs, { widen: true });
    assert.deepEqual(entries, [
      '{ exe: /opt/app-*/bin/run, operations: [ read ] }',
      '{ exe: /opt/app-2.0/bin/run, operations: [ read ], user: root }',
    ]);
  });

  it('are proposed of a single program in a folder for temporary files', () => {
    const { widenings, warnings } = proposalOf(rule('data'), [{ app: '/tmp/xyz123/run' }]);
    assert.equal(widenings[0]?.glob, '/tmp/xyz*/run');
    assert.match(warnings.join(), /others may put a program/);
  });
});

describe('warnings', () => {
  it('tell what came under another policy and was not seen since', () => {
    const { warnings } = proposalOf(rule('data'), [{ fingerprint: 'other' }]);
    assert.match(warnings.join(), /host\/data: 1 .*another policy.*\/usr\/bin\/cat/);
    const merged = { fingerprint: '', nodes: ['n1'] };
    assert.deepEqual(proposalOf(rule('data'), [merged]).warnings, []);
    assert.match(
      proposalOf(rule('data'), [{ ...merged, policy: 'old' }]).warnings.join(),
      /another policy/,
    );
  });

  it('tell of programs that ran from a replaced file', () => {
    assert.match(
      proposalOf(rule('data'), [{ replaced: true }]).warnings.join(),
      /once it is started again/,
    );
  });
});

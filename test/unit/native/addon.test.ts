import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { EvaluationQuery } from '../../../src/native/addon.ts';
import { loadNative } from '../../../src/native/load.ts';
import { app, rule, ruleset } from './rulesets.ts';

const native = loadNative();

describe('loading the addon', () => {
  /** What `loadNative()` says in a package whose build/Release holds `addon`, or nothing. */
  function messageWith(addon: string | undefined): string {
    const folder = mkdtempSync('/tmp/fileward-load-');
    try {
      cpSync(path.resolve(import.meta.dirname, '../../../src/native'), `${folder}/src/native`, {
        recursive: true,
      });
      writeFileSync(`${folder}/package.json`, '{"type":"module"}');
      if (addon !== undefined) {
        mkdirSync(`${folder}/build/Release`, { recursive: true });
        writeFileSync(`${folder}/build/Release/fileward.node`, addon);
      }
      const script = `
        import { loadNative } from '${folder}/src/native/load.ts';
        try { loadNative(); } catch ({ code, message }) { console.log(code + '\\n' + message); }`;
      const text = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      return text.replaceAll(folder, 'FOLDER');
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  it('says what to run when it is not built', () => {
    assert.equal(
      messageWith(undefined),
      'FILEWARD_ADDON_MISSING\n' +
        'the native addon is not built: FOLDER/build/Release/fileward.node\n' +
        'Fix: run "npm run build" in FOLDER.\n',
    );
  });

  it('says so when it is no addon', () => {
    const message = messageWith('not an ELF file');
    assert.match(message, /^FILEWARD_ADDON_BROKEN\nthe native addon can't be loaded: /);
    assert.match(message, /Fix: run "npm run build" in FOLDER\.\n$/);
  });
});

describe('pattern checks', () => {
  it('accept what is right', () => {
    assert.equal(native.checkGlob('/etc/{shadow,gshadow}[-+]'), null);
    assert.equal(native.checkRegex('/home/[^/]+/\\.ssh/.*'), null);
  });

  it('say what is wrong, and where in a glob', () => {
    const problem = native.checkGlob('/etc/[ab');
    assert.equal(problem?.offset, 5);
    assert.match(problem?.message ?? '', /not closed/);
    assert.match(native.checkRegex('/a(b')?.message ?? '', /missing \)/);
  });

  it('refuse what is no string', () => {
    assert.throws(() => native.checkGlob(7 as unknown as string), TypeError);
  });
});

describe('the evaluator', () => {
  const compiled = ruleset(
    [
      [
        rule({ name: 'public', path: ['/srv/www/**'], operations: ['write'] }),
        rule({
          name: 'all',
          path: ['/srv/**'],
          except: ['/srv/tmp/*'],
          apps: [app({ exe: 0 })],
        }),
      ],
      [
        rule({
          name: 'watched',
          path: ['/srv/www/*'],
          behavior: 'watch',
          mode: 'monitor',
        }),
      ],
    ],
    ['/usr/bin/{cat,tac}', '/usr/sbin/cron'],
  );
  const evaluator = native.createEvaluator(JSON.stringify(compiled));
  const ask = (values: Partial<EvaluationQuery>) =>
    evaluator.evaluate({
      paths: ['/srv/key'],
      operation: 'read',
      exe: '/bin/sh',
      ...values,
    });

  it('denies an app that is not listed, and says by which rule', () => {
    const answer = ask({});
    assert.equal(answer.outcome, 'denied');
    assert.equal(answer.verdict, 'deny');
    assert.equal(answer.rule_index, 1);
    assert.equal(answer.mode, 'protect');
    assert.equal(answer.reason, 'app_not_listed');
    assert.equal(answer.path, '/srv/key');
    assert.equal(answer.app_index, -1);
    assert.deepEqual(answer.covering, [1]);
  });

  it('knows a listed app by the glob that names it', () => {
    const answer = ask({ exe: '/usr/bin/tac' });
    assert.equal(answer.outcome, 'quiet');
    assert.equal(answer.verdict, 'allow');
    assert.equal(answer.listed, true);
    assert.equal(answer.app_index, 0);
    assert.equal(answer.reason, '');
  });

  it('takes the first rule that holds the operation, in each group', () => {
    const write = ask({
      paths: ['/srv/www/index'],
      operation: 'write',
      exe: '/usr/bin/cat',
    });
    assert.equal(write.outcome, 'denied');
    assert.equal(write.rule_index, 0);
    assert.deepEqual(write.covering, [0, 1, 2]);
    const read = ask({ paths: ['/srv/www/index'], exe: '/usr/bin/cat' });
    assert.equal(read.outcome, 'accessed', 'quiet in one group, watched in the other');
    assert.equal(read.rule_index, 2);
  });

  it('looks at the named groups only', () => {
    const answer = ask({ paths: ['/srv/www/index'], groups: [1] });
    assert.equal(answer.outcome, 'accessed');
    assert.deepEqual(answer.covering, [2]);
  });

  it('says not_covered for what is excepted or named by nobody', () => {
    for (const file of ['/srv/tmp/x', '/etc/passwd']) {
      const answer = ask({ paths: [file] });
      assert.equal(answer.outcome, 'not_covered');
      assert.equal(answer.verdict, 'allow');
      assert.equal(answer.rule_index, -1);
      assert.equal(answer.mode, '');
      assert.deepEqual(answer.covering, []);
    }
  });

  it('denies no change that has no gate, but tells it as a violation', () => {
    const answer = ask({ operation: 'write', gate: 'change' });
    assert.equal(answer.outcome, 'violated');
    assert.equal(answer.verdict, 'allow');
    assert.equal(answer.reason, 'not_enforceable');
  });

  it('refuses what is no query or no ruleset', () => {
    assert.throws(() => ask({ operation: 'delete' as 'read' }), TypeError);
    assert.throws(() => ask({ paths: '/srv' as unknown as string[] }), TypeError);
    assert.throws(() => native.createEvaluator('{}'), /format|ruleset|groups/);
  });
});

describe('services', () => {
  it('lock a file once in all processes', () => {
    const folder = mkdtempSync('/tmp/fileward-lock-');
    try {
      const file = path.join(folder, 'lock');
      assert.equal(native.lockFile(file), true);
      const script = `
        import { loadNative } from '${path.resolve(import.meta.dirname, '../../../src/native/load.ts')}';
        console.log(loadNative().lockFile(${JSON.stringify(file)}));`;
      const other = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      assert.equal(other, 'false\n');
      assert.throws(() => native.lockFile(path.join(folder, 'absent/lock')), {
        code: 'ENOENT',
        errno: -2,
        syscall: 'open',
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('say nothing to a service manager that is not there', () => {
    assert.equal(process.env['NOTIFY_SOCKET'], undefined);
    assert.equal(native.sdNotify('READY=1'), false);
  });
});

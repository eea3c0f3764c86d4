/** The native core without the agent around it: real marks on a tmpfs of its own, real openers, hand-made rulesets. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync } from 'node:fs';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { CoverageReport } from '../../src/native/addon.ts';
import type { EventBatch } from '../../src/native/event-batch.ts';
import { loadNative } from '../../src/native/load.ts';
import { type EventSession, openEventSession } from '../../src/native/session.ts';
import { app, rule, ruleset } from '../unit/native/rulesets.ts';
import { copyHelper, openInChild, run, shell } from './children.ts';
import { Scratch } from './scratch.ts';

const native = loadNative();

/** What the tests look at of an event. */
interface Seen {
  readonly kind: string;
  readonly outcome: string;
  readonly verdict: string;
  readonly operation: string;
  readonly change: string;
  readonly reason: string;
  readonly rule: number;
  readonly path: string;
  readonly newPath: string;
  readonly exe: string;
  readonly pid: number;
}

function seenOf(batch: EventBatch): Seen {
  return {
    kind: batch.kind,
    outcome: batch.outcome,
    verdict: batch.verdict,
    operation: batch.operation,
    change: batch.change,
    reason: batch.reason,
    rule: batch.ruleIndex,
    path: batch.pathText,
    newPath: batch.newPathText,
    exe: batch.exeText,
    pid: batch.pid,
  };
}

class Watch {
  readonly events: Seen[] = [];
  readonly reports: CoverageReport[] = [];
  #arrived = (): void => {};

  open(): EventSession {
    return openEventSession(native, {
      collectArgs: false,
      onBatch: (batch) => {
        while (batch.next()) this.events.push(seenOf(batch));
        this.#arrived();
      },
      onCoverage: (report) => this.reports.push(report),
      onFatal: (error) => assert.fail(error),
    });
  }

  /** The first event that has all of `wanted`; fails with what came instead. */
  async event(wanted: Partial<Seen>): Promise<Seen> {
    const find = (): Seen | undefined =>
      this.events.find((event) =>
        Object.entries(wanted).every(([key, value]) => event[key as keyof Seen] === value),
      );
    const deadline = Date.now() + 10_000;
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (Date.now() > deadline) {
        assert.fail(
          `no ${JSON.stringify(wanted)} among\n${this.events.map((e) => JSON.stringify(e)).join('\n')}`,
        );
      }
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
        setTimeout(resolve, 100);
      });
    }
  }
}

describe('a native session', { timeout: 120_000 }, () => {
  const scratch = new Scratch();
  const secret = scratch.write('covered/secret', 'top');
  const shared = scratch.write('covered/shared', 'x');
  const free = scratch.write('free/file');
  const reader = copyHelper('opener', scratch.write('bin/reader', '', 0o755));
  const program = copyHelper('opener', scratch.write('tools/program', '', 0o755));
  const watch = new Watch();
  let session: EventSession;
  let version = 0n;

  const rules = JSON.stringify(
    ruleset(
      [
        [
          rule({
            name: 'shared',
            path: [scratch.path('covered/shared*')],
            operations: ['write'],
            changes_listed: 'report',
          }),
          rule({ name: 'secret', path: [secret], apps: [app({ exe: 0 })] }),
          rule({ name: 'tools', path: [scratch.path('tools/**')], operations: ['exec', 'write'] }),
        ],
      ],
      [reader],
    ),
  );

  before(async () => {
    session = watch.open();
    version += 1n;
    const report = await session.setRuleset(rules, version, []);
    assert.equal(report.ruleset_version, version);
    assert.equal(report.rules.length, 3);
  });
  beforeEach(() => {
    watch.events.length = 0;
  });
  after(() => {
    session.close();
    scratch.remove();
  });

  it('denies an app that is not listed and allows the listed one', async () => {
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
    assert.equal(await openInChild(secret, 'O_RDONLY', { app: reader }), 'ok');
    const event = await watch.event({ kind: 'open', path: secret, outcome: 'denied' });
    assert.equal(event.verdict, 'deny');
    assert.equal(event.operation, 'read');
    assert.equal(event.rule, 1);
    assert.equal(event.reason, 'app_not_listed');
    assert.match(event.exe, /opener$/);
  });

  it('leaves readers alone where only writing is guarded', async () => {
    assert.equal(await openInChild(shared, 'O_RDONLY'), 'ok');
    assert.equal(await openInChild(shared, 'O_WRONLY'), 'EPERM');
    assert.equal(await openInChild(shared, 'O_RDWR'), 'EPERM');
    const event = await watch.event({ kind: 'open', path: shared, outcome: 'denied' });
    assert.equal(event.operation, 'write');
    assert.equal(event.rule, 0);
  });

  it('denies an exec and lets the same file be read', async () => {
    const { code, stderr } = await shell(`exec ${program} open O_RDONLY ${free}`);
    assert.notEqual(code, 0);
    assert.match(stderr, /not permitted|denied/i);
    assert.equal(await openInChild(program, 'O_RDONLY'), 'ok');
    const event = await watch.event({ kind: 'open', path: program, outcome: 'denied' });
    assert.equal(event.operation, 'exec');
  });

  it('tells changes that have no gate, with who made them', async () => {
    const outside = scratch.write('free/other');
    const file = scratch.path('covered/shared-2');
    assert.equal((await run('/bin/mv', [outside, file])).code, 0);
    const arrived = await watch.event({ kind: 'change', change: 'renamed', path: file });
    assert.equal(arrived.newPath, '', 'its old folder is not covered, so nobody looks there');
    assert.equal(arrived.exe, '/usr/bin/mv');
    assert.equal((await run('/bin/mv', [file, `${file}-moved`])).code, 0);
    const renamed = await watch.event({
      kind: 'change',
      change: 'renamed',
      path: file,
      newPath: `${file}-moved`,
    });
    assert.equal(renamed.rule, 0);
    assert.equal((await run('/bin/rm', [`${file}-moved`])).code, 0);
    await watch.event({ kind: 'change', change: 'deleted', path: `${file}-moved` });
  });

  it('says nothing of what no rule covers', async () => {
    assert.equal(await openInChild(free, 'O_RDWR', { write: 'x' }), 'ok');
    renameSync(free, `${free}-2`);
    renameSync(`${free}-2`, free);
    await openInChild(secret, 'O_RDONLY');
    await watch.event({ kind: 'open', path: secret });
    assert.deepEqual(
      watch.events.filter(({ path }) => path.startsWith(scratch.path('free'))),
      [],
    );
  });

  it('counts what was quiet by ruleset version, over a reload', async () => {
    const quietReads = (): bigint =>
      session
        .stats()
        .quiet.filter(({ ruleset_version }) => ruleset_version === version)
        .map(({ count }) => count(1, 'read'))
        .reduce((sum, count) => sum + count, 0n);
    const before = quietReads();
    assert.equal(await openInChild(secret, 'O_RDONLY', { app: reader, times: 3 }), 'ok');
    assert.equal(quietReads(), before + 3n);
    await session.setRuleset(rules, version + 1n, []);
    assert.equal(quietReads(), before + 3n, 'of the version before');
    version += 1n;
    assert.equal(quietReads(), 0n, 'of the new one');
  });

  it('measures verdicts', () => {
    const { allow, deny } = session.stats().verdicts;
    for (const { bounds_seconds, counts, sum_seconds } of [allow, deny]) {
      assert.equal(counts.length, bounds_seconds.length + 1);
      assert.ok(bounds_seconds.includes(0.1));
      assert.ok(counts.some((count) => count > 0n));
      assert.ok(sum_seconds > 0);
    }
  });

  it('keeps the ruleset in force when a new one is refused', async () => {
    await assert.rejects(session.setRuleset('{', version + 1n, []), {
      code: 'ERR_FILEWARD_RULESET',
    });
    version += 1n;
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
  });

  it('takes a version only once', () => {
    assert.throws(() => session.setRuleset(rules, version, []), RangeError);
    assert.throws(() => session.setRuleset(rules, -1n, []), TypeError);
  });

  it('says false for a path whose protection did not move', async () => {
    assert.equal(await session.release(secret), false);
  });
});

describe('a closed native session', { timeout: 60_000 }, () => {
  it('releases openers, answers clearly, and closes twice', async () => {
    const scratch = new Scratch();
    const secret = scratch.write('covered/secret');
    const session = new Watch().open();
    const rules = JSON.stringify(
      ruleset([[rule({ name: 'secret', path: [scratch.path('covered/*')] })]]),
    );
    await session.setRuleset(rules, 1n, []);
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
    session.close();
    session.close();
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'ok');
    const closed = { code: 'ERR_FILEWARD_SESSION_CLOSED' };
    await assert.rejects(session.setRuleset(rules, 2n, []), closed);
    await assert.rejects(session.release(secret), closed);
    assert.ok(session.stats().verdicts.deny.counts.some((count) => count > 0n));
    session.drainNow();
    scratch.remove();
  });

  it('leaves no thread behind that could still use the group', async () => {
    const scratch = new Scratch();
    const secret = scratch.write('covered/secret');
    const threads = (): string[] =>
      readdirSync('/proc/self/task')
        .map((tid) => readFileSync(`/proc/self/task/${tid}/comm`, 'utf8').trim())
        .filter((name) => name.startsWith('fw-'));
    const session = new Watch().open();
    await session.setRuleset(
      JSON.stringify(ruleset([[rule({ name: 'secret', path: [scratch.path('covered/*')] })]])),
      1n,
      [],
    );
    assert.ok(threads().length >= 3, `none to look for among ${threads()}`);
    // An open just before: what watches over its answer is still busy with it.
    assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
    session.close();
    assert.deepEqual(threads(), []);
    scratch.remove();
  });

  it('rejects a ruleset that was under way', async () => {
    const session = new Watch().open();
    const pending = session.setRuleset(JSON.stringify(ruleset([])), 1n, []);
    session.close();
    await assert.rejects(pending, { code: 'ERR_FILEWARD_SESSION_CLOSED' });
  });
});

describe('a process with a native session', { timeout: 60_000 }, () => {
  const load = `
    import { loadNative } from '${import.meta.dirname}/../../src/native/load.ts';
    const options = { onWake() {}, onCoverage() {}, onFatal() {}, collectArgs: false };
    const session = loadNative().openSession(options);`;
  const node = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e'];

  it('ends by itself once it is closed, and not before', async () => {
    const script = `${load}
      let open = true;
      process.on('beforeExit', () => console.log(open ? 'while open' : 'after close'));
      setTimeout(() => { open = false; session.close(); }, 200);`;
    const { stdout, code } = await run(process.execPath, [...node, script]);
    assert.equal(stdout, 'after close\n');
    assert.equal(code, 0);
  });

  it('can leave with process.exit()', async () => {
    const { code, signal } = await run(process.execPath, [...node, `${load} process.exit(7);`]);
    assert.equal(signal, null);
    assert.equal(code, 7);
  });

  it('is refused without the privilege, with an error like those of Node', async () => {
    const script = `try { ${load.replace(/import .*\n/, '')} } catch ({ code, errno, syscall }) {
      console.log(code, errno, syscall); }`;
    const importLine = load.match(/import .*\n/)?.[0] ?? '';
    const { stdout } = await run('setpriv', [
      '--bounding-set=-all',
      '--inh-caps=-all',
      process.execPath,
      ...node,
      importLine + script,
    ]);
    assert.equal(stdout, 'EPERM -1 fanotify_init\n');
  });
});

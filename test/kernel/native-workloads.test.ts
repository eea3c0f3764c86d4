/** Containers as the native core is told of them, without an agent or a runtime: a cgroup and a changed root. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, readFileSync, rmdirSync, symlinkSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoverageReport, WorkloadSpec } from '../../src/native/addon.ts';
import { hostWorkload } from '../../src/native/event-layout.ts';
import { loadNative } from '../../src/native/load.ts';
import { type EventSession, openEventSession } from '../../src/native/session.ts';
import { WaitingShell } from '../containers/waiting-shell.ts';
import { rule, ruleset } from '../unit/native/rulesets.ts';
import { helper, shell as hostShell, openInChild } from './children.ts';
import { Scratch } from './scratch.ts';

const native = loadNative();
const id = 9;

/** The hierarchy that the core looks at, and where in it a cgroup can be made. */
function makeCgroup(): { name: string; directory: string } {
  const name = `/fw-native-workloads-${process.pid}`;
  for (const hierarchy of ['/sys/fs/cgroup/systemd', '/sys/fs/cgroup']) {
    try {
      mkdirSync(hierarchy + name);
      return { name, directory: hierarchy + name };
    } catch {
      // The other one.
    }
  }
  throw new Error('no cgroup can be made');
}

function startTicks(pid: number): string {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  return fields.split(' ')[19] ?? '';
}

describe('workloads of a native session', { timeout: 60_000 }, () => {
  const scratch = new Scratch();
  const cgroup = makeCgroup();
  const events: {
    path: string;
    outcome: string;
    workload: number;
    actor: number;
  }[] = [];
  let shell: WaitingShell;
  let session: EventSession;
  let spec: WorkloadSpec;
  let report: CoverageReport;
  let pid = 0;

  const { groups, ...rest } = ruleset([
    [],
    [
      rule({
        name: 'secret',
        path: ['/data/*'],
        operations: ['read', 'write'],
      }),
    ],
  ]);
  const rules = JSON.stringify({
    ...rest,
    groups: groups.map((group) => ({
      ...group,
      host: group.rules.length === 0,
    })),
  });

  before(async () => {
    const root = scratch.path('root');
    scratch.write('root/data/secret');
    scratch.write('root/etc/passwd', 'root:x:0:0::/:/bin/sh\n');
    scratch.write('root/bin/busybox');
    execFileSync('sh', [
      '-c',
      'cp "$(command -v busybox)" "$1"; chmod 755 "$1"',
      'sh',
      `${root}/bin/busybox`,
    ]);
    mkdirSync(`${root}/dev`);
    execFileSync('mknod', ['-m', '666', `${root}/dev/null`, 'c', '1', '3']);
    execFileSync('cp', [helper('opener'), `${root}/bin/opener`]);
    for (const name of ['sh', 'echo', 'cat', 'ln', 'mkfifo'])
      symlinkSync('busybox', `${root}/bin/${name}`);
    shell = await WaitingShell.start([
      'sh',
      '-c',
      'echo $$ > "$1/cgroup.procs"; exec chroot "$2" /bin/sh',
      'sh',
      cgroup.directory,
      root,
    ]);
    pid = Number(readFileSync(`${cgroup.directory}/cgroup.procs`, 'utf8'));
    spec = {
      id,
      pid,
      start_ticks: startTicks(pid),
      cgroup: cgroup.name,
      groups: ['group-1'],
    };
    session = openEventSession(native, {
      collectArgs: false,
      onBatch: (batch) => {
        while (batch.next()) {
          const { pathText, outcome, workload, actorWorkload } = batch;
          events.push({
            path: pathText,
            outcome,
            workload,
            actor: actorWorkload,
          });
        }
      },
      onCoverage: () => {},
      onFatal: (error) => assert.fail(error),
    });
    report = await session.setRuleset(rules, 1n, []);
    assert.deepEqual(report.workloads, []);
  });
  after(async () => {
    session.close();
    await shell.close();
    scratch.remove();
    for (let looks = 0; looks < 500; looks++) {
      try {
        rmdirSync(cgroup.directory);
        return;
      } catch {
        await sleep(10);
      }
    }
  });

  /** The event of the next open of the secret. */
  async function nextEvent(open: () => Promise<unknown>): Promise<(typeof events)[number]> {
    events.length = 0;
    await open();
    for (let looks = 0; looks < 1000; looks++) {
      session.drainNow();
      const event = events.find(({ path }) => path === '/data/secret');
      if (event !== undefined) return event;
      await sleep(10);
    }
    assert.fail(`no event of the secret among ${JSON.stringify(events)}`);
  }

  it('are covered by the rules of their groups, and told in reports and events', async () => {
    assert.equal((await shell.run('cat /data/secret')).code, 0, 'not before it is known');
    report = await session.setWorkloads([spec]);
    const [covered] = report.workloads;
    assert.equal(report.workloads.length, 1);
    assert.equal(covered?.workload, id);
    assert.equal(covered?.error, '');
    assert.ok((covered?.covered_ns ?? 0n) > 0n);
    assert.equal(covered?.rules[0]?.files, 1);
    const inside = await nextEvent(() => shell.run('/bin/opener openat O_RDONLY /data/secret'));
    assert.deepEqual(inside, {
      path: '/data/secret',
      outcome: 'denied',
      workload: id,
      actor: id,
    });
    const file = scratch.path('root/data/secret');
    const outside = await nextEvent(() => openInChild(file, 'O_RDONLY'));
    assert.deepEqual(outside, { ...inside, actor: hostWorkload });
  });

  it('keep their rules over a new ruleset and lose them with their groups', async () => {
    report = await session.setRuleset(rules, 2n, [spec]);
    assert.equal(report.workloads[0]?.error, '');
    assert.equal((await shell.run('/bin/opener openat O_RDONLY /data/secret')).output, 'EPERM\n');
    report = await session.setWorkloads([{ ...spec, groups: [] }]);
    assert.deepEqual(report.workloads, []);
    assert.equal((await shell.run('/bin/opener openat O_RDONLY /data/secret')).output, 'ok\n');
  });

  it('resolve every call, and say of another process that it is gone', async () => {
    const calls = [
      session.setWorkloads([spec]),
      session.setWorkloads([{ ...spec, id: id + 1, start_ticks: `${spec.start_ticks}0` }]),
    ];
    const reports = await Promise.all(calls);
    assert.equal(reports[1]?.workloads[0]?.error, 'gone');
    assert.equal((await shell.run('/bin/opener openat O_RDONLY /data/secret')).output, 'ok\n');
  });

  it('must be described in full', () => {
    const wrong: [unknown, RegExp][] = [
      [undefined, /workloads must be an array/],
      [[{ ...spec, id: 0 }], /id must be a number from 1 to 4294967294/],
      [[{ ...spec, id: 1.5 }], /id must be/],
      [[{ ...spec, pid: -1 }], /pid must be/],
      [[{ ...spec, start_ticks: '1x' }], /start_ticks must be a decimal number/],
      [[{ ...spec, cgroup: 1 }], /cgroup must be a string/],
      [[{ ...spec, groups: 'web' }], /groups must be an array/],
    ];
    for (const [specs, message] of wrong) {
      const given = specs as readonly WorkloadSpec[];
      assert.throws(() => session.setWorkloads(given), {
        name: 'TypeError',
        message,
      });
      assert.throws(() => session.setRuleset(rules, 3n, given), {
        name: 'TypeError',
        message,
      });
    }
  });

  it('show their files, by their own paths and links only', async () => {
    const read = async (path: string | Uint8Array, most = 1000): Promise<string | null> => {
      const bytes = await native.readFileOf(pid, spec.start_ticks, path, most);
      return bytes === null ? null : Buffer.from(bytes).toString();
    };
    await shell.run(
      'mkfifo /data/fifo; ln -s /data/../../../../etc/passwd /data/link; ln -s /fifo /data/x',
    );
    assert.equal(await read('/etc/passwd'), 'root:x:0:0::/:/bin/sh\n');
    assert.equal(await read(Buffer.from('/data/link')), 'root:x:0:0::/:/bin/sh\n');
    assert.equal(await read('/etc/passwd', 4), 'root');
    for (const path of ['/data/fifo', '/data/x', '/data', '/nothing', '/etc/shadow']) {
      assert.equal(await read(path), null, path);
    }
    assert.equal(await native.readFileOf(pid, `${spec.start_ticks}0`, '/etc/passwd', 10), null);
    assert.equal(await native.readFileOf(0x3fffffff, '1', '/etc/passwd', 10), null);
    assert.throws(() => native.readFileOf(pid, 'x', '/etc/passwd', 10), TypeError);
    assert.throws(() => native.readFileOf(pid, '1', 'a\0b', 10), TypeError);
    assert.throws(() => native.readFileOf(pid, '1', '/a', -1), TypeError);

    const fd = await native.openFileOf(pid, spec.start_ticks, '/etc/passwd');
    assert.ok(fd !== null);
    assert.equal(readFileSync(`/proc/self/fd/${fd}`, 'utf8'), 'root:x:0:0::/:/bin/sh\n');
    closeSync(fd);
    for (const path of ['/data/link', '/data/fifo', '/data', '/nothing']) {
      assert.equal(await native.openFileOf(pid, spec.start_ticks, path), null, path);
    }
  });

  it('are gone when their init has ended', async () => {
    report = await session.setWorkloads([spec]);
    assert.equal(report.workloads[0]?.error, '');
    await hostShell(`kill -9 ${pid}`);
    await shell.ended;
    assert.equal(await native.readFileOf(pid, spec.start_ticks, '/etc/passwd', 10), null);
    report = await session.setWorkloads([spec]);
    assert.equal(report.workloads[0]?.error, 'gone');
    assert.equal(await openInChild(scratch.path('root/data/secret'), 'O_RDONLY'), 'ok');
  });
});

/**
 * Members of groups as containers come, change and go. The native core is played here: it is what the kernel tests and
 * test/containers have.
 */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { AboutMember } from '../../../src/control/workload-keeper.ts';
import { WorkloadKeeper } from '../../../src/control/workload-keeper.ts';
import type { CoverageReport, WorkloadReport, WorkloadSpec } from '../../../src/native/addon.ts';
import type { Group, MemberCriteria } from '../../../src/policy/document.ts';
import type { ContainerWorkload } from '../../../src/workloads/container-workload.ts';
import { containerOf } from '../records/support.ts';

const position = { file: '/c.yaml', line: 1, column: 1 };

function group(name: string, ...members: MemberCriteria[]): Group {
  return { name, members, mode: 'monitor', labels: {}, rules: [], position };
}

const labelled = (key: string, value: string): MemberCriteria => ({
  container: { keys: {}, labels: { [key]: { any: [value] } } },
});
const web = group('web', labelled('app', 'web'));
const shop = group('shop', labelled('team', 'shop'));
const host = group('host', { host: true });

function container(
  id: number,
  labels: Record<string, string> | undefined,
  given: Partial<ContainerWorkload> = {},
): ContainerWorkload {
  const facts = { keys: { name: `c${id}`, image: 'nginx:1' }, ...(labels && { labels }) };
  const workload = { kind: 'container', container: facts } as const;
  return containerOf(id, `c${id}`, { workload, ...given });
}

function reportOf(...workloads: Partial<WorkloadReport>[]): CoverageReport {
  return {
    ruleset_version: 1n,
    marks: { permission: 0, notification: 0 },
    rules: [],
    moved: [],
    followed_apps: [],
    workloads: workloads.map((each) => ({
      ...{ workload: 1, error: '', covered_ns: 1_790_000_000_000_000_000n, rules: [] },
      ...each,
    })),
  };
}

const keepers: WorkloadKeeper[] = [];
afterEach(() => {
  for (const keeper of keepers.splice(0)) keeper.close();
});

/** Of a core that is still at work. */
const starting = { covered_ns: 0n };

/** @param answer - what the core says of each member */
function underTest(groups: readonly Group[], answer: Partial<WorkloadReport> = {}) {
  const given: (readonly WorkloadSpec[])[] = [];
  const told: string[] = [];
  const bodies: string[] = [];
  /** What the core waits for before it answers; one that rejects makes it refuse. */
  const core: { answers?: Promise<void> } = {};
  let turn = Promise.resolve();
  const keeper = new WorkloadKeeper({
    log: pino({ level: 'silent' }),
    session: {
      setWorkloads: async (specs) => {
        given.push(specs);
        await core.answers;
        const held = specs.filter((spec) => spec.groups.length > 0);
        return reportOf(...held.map(({ id }) => ({ ...answer, workload: id })));
      },
    },
    inTurn: (change) => {
      turn = turn.then(change);
      return turn;
    },
    tell: (event, body, { group, criteria }: AboutMember, workload) => {
      const what = event.replace('fileward.workload.', '');
      told.push([what, workload, group, criteria].filter(Boolean).join(' '));
      bodies.push(body);
    },
    onChange: () => undefined,
  });
  keepers.push(keeper);
  keeper.useGroups(groups, []);
  const gaps = () =>
    keeper
      .gaps(() => ({ group: 'web', rule: 'conf' }))
      .map(({ gap }) =>
        [gap.group, gap.rule, gap.workload, gap.error_type].filter(Boolean).join(' '),
      );
  return { keeper, given, told, bodies, gaps, core };
}

describe('the native core', () => {
  it('is told all containers, those that no group holds too, once for all that came together', async () => {
    const { keeper, given } = underTest([host, web, shop]);
    keeper.take([container(1, { app: 'web', team: 'shop' })]);
    keeper.take([container(1, { app: 'web', team: 'shop' }), container(2, {})]);
    await setImmediate();
    assert.equal(given.length, 1);
    const { id, pid, startTicks: start_ticks, cgroup } = container(1, {});
    assert.deepEqual(given[0]?.[0], { id, pid, start_ticks, cgroup, groups: ['web', 'shop'] });
    assert.deepEqual(given[0]?.[1]?.groups, []);
  });

  it('is not told the same again', async () => {
    const { keeper, given } = underTest([web]);
    keeper.take([container(1, { app: 'web' })]);
    await setImmediate();
    keeper.take([container(1, { app: 'web', tier: 'front' })]);
    await setImmediate();
    assert.equal(given.length, 1);
  });

  it('is told what changed while a reload was under way', async () => {
    const { keeper, given } = underTest([web]);
    const candidate = keeper.specs([web, shop]);
    keeper.take([container(1, { team: 'shop' })]);
    keeper.useGroups([web, shop], candidate);
    await setImmediate();
    assert.deepEqual(
      given.map((specs) => specs.map(({ groups }) => groups.join())),
      [['shop']],
    );
  });

  it('is asked again, later and later, for what it could not cover', async () => {
    const { keeper, given } = underTest([web], { ...starting, error: 'no_root' });
    keeper.take([container(1, { app: 'web' })]);
    for (let tries = 2; tries < 5; tries += 1) {
      keeper.takeReport(reportOf({ error: 'no_root' }));
      while (given.length < tries) await sleep(5);
    }
    keeper.takeReport(reportOf({}));
    assert.equal(keeper.status()[1]?.container?.state, 'covered');
  });

  it('has 10 s to answer, and after that it is a gap until it does', async (test) => {
    test.mock.timers.enable({ apis: ['setTimeout'] });
    const { keeper, gaps, core } = underTest([web]);
    const { promise, resolve } = Promise.withResolvers<void>();
    core.answers = promise;
    keeper.take([container(1, { app: 'web' }), container(2, {})]);
    await setImmediate();
    test.mock.timers.tick(9_999);
    assert.deepEqual(gaps(), []);
    test.mock.timers.tick(1);
    assert.deepEqual(gaps(), ['web c1 workload_failed']);
    resolve();
    await setImmediate();
    assert.deepEqual(gaps(), []);
  });

  it('is given again what it refused, which is a gap until then', async () => {
    const { keeper, given, told, gaps, core } = underTest([web]);
    core.answers = Promise.reject(new Error('no memory'));
    keeper.take([container(1, { app: 'web' }), container(2, {})]);
    await setImmediate();
    assert.deepEqual(gaps(), ['web c1 workload_failed']);
    assert.deepEqual(told, []);
    delete core.answers;
    while (told.length === 0) await sleep(5);
    assert.equal(given.length, 2);
    assert.deepEqual(gaps(), []);
    assert.deepEqual(told, ['started 1 web container.labels.app web']);
  });
});

describe('a member', () => {
  it('comes and goes with a record for each group, saying why', () => {
    const { keeper, told, bodies } = underTest([host, web, shop]);
    keeper.take([container(1, { app: 'web', team: 'shop' }), container(2, {})]);
    keeper.take([container(2, {})]);
    assert.deepEqual(told, [
      'started 1 web container.labels.app web',
      'started 1 shop container.labels.team shop',
      'stopped 1 web',
      'stopped 1 shop',
    ]);
    assert.equal(
      bodies[0],
      'Container c1 (podman, nginx:1) is a member of group web: container.labels.app web, but its rules are not in place',
    );
  });

  it('is told by no report that may be about the groups that it had before', async () => {
    const { keeper, told, core } = underTest([web, shop]);
    const { promise, resolve } = Promise.withResolvers<void>();
    core.answers = promise;
    keeper.take([container(1, { app: 'web' })]);
    await setImmediate();
    keeper.take([container(1, { team: 'shop' })]);
    await setImmediate();
    keeper.takeReport(reportOf({}));
    assert.deepEqual(told, []);
    resolve();
    await setImmediate();
    assert.deepEqual(told, ['started 1 shop container.labels.team shop']);
  });

  it('is told when its rules are in place, whoever else takes longer', async () => {
    const { keeper, told } = underTest([web], starting);
    keeper.take([container(1, { app: 'web' }), container(2, { app: 'web' })]);
    await setImmediate();
    assert.deepEqual(told, []);
    keeper.takeReport(reportOf({ workload: 2 }, { workload: 1, covered_ns: 0n }));
    assert.deepEqual(told, ['started 2 web container.labels.app web']);
  });

  it('moves when its labels or the groups change', async () => {
    const { keeper, told } = underTest([web, shop]);
    keeper.take([container(1, { app: 'web' })]);
    await setImmediate();
    keeper.take([container(1, { team: 'shop' })]);
    await setImmediate();
    for (const groups of [[web], [web, shop]]) {
      keeper.useGroups(groups, keeper.specs(groups));
      keeper.takeReport(reportOf({}));
    }
    assert.deepEqual(told, [
      'started 1 web container.labels.app web',
      'stopped 1 web',
      'started 1 shop container.labels.team shop',
      'stopped 1 shop',
      'started 1 shop container.labels.team shop',
    ]);
  });

  it('is told when its runtime has answered, or at its end when that came first', async () => {
    const { keeper, told } = underTest([group('all', { container: { keys: {}, labels: {} } })]);
    keeper.take([container(1, {}, { asking: true }), container(2, {}, { asking: true })]);
    await setImmediate();
    assert.deepEqual(told, []);
    keeper.take([container(1, {})]);
    assert.deepEqual(told, [
      'started 2 all any container',
      'stopped 2 all',
      'started 1 all any container',
    ]);
  });

  it('is counted, as the host is', () => {
    const { keeper } = underTest([host, web, shop]);
    keeper.take([container(1, { app: 'web' }), container(2, { app: 'web' })]);
    assert.deepEqual(Object.fromEntries(keeper.counts()), { host: 1, web: 2, shop: 0 });
  });

  it('is shown with its groups, why, and how it is covered', () => {
    const { keeper } = underTest([host, web], starting);
    keeper.take([container(1, { app: 'web' }), container(2, {})]);
    assert.equal(keeper.status()[1]?.container?.state, 'starting');
    keeper.takeReport(reportOf({ covered_ns: 1_790_000_000_123_000_000n }));
    const [ofHost, first, second] = keeper.status();
    assert.deepEqual(ofHost, { kind: 'host', groups: ['host'], why: { host: 'host' } });
    assert.deepEqual(first, {
      kind: 'container',
      groups: ['web'],
      why: { web: 'container.labels.app web' },
      container: {
        id: containerOf(1, 'c1').containerId,
        name: 'c1',
        image: 'nginx:1',
        pod: '',
        namespace: '',
        runtime: 'podman',
        pid: process.pid,
        state: 'covered',
        covered: '2026-09-21T14:13:20.123Z',
        error: '',
        unknown: [],
        unknown_why: '',
      },
    });
    assert.equal(second?.container?.state, 'no_group');
  });
});

describe('a gap', () => {
  const unknown = { unknown: ['labels'], unknownWhy: 'no socket of podman answers' } as const;

  it('is what no runtime tells, once for all containers of which the same is unknown', () => {
    const { keeper, gaps } = underTest([host, web]);
    keeper.take([container(1, undefined, unknown), container(2, undefined, unknown)]);
    const placed = keeper.gaps(() => ({ group: '', rule: '' }));
    assert.equal(new Set(placed.map((each) => JSON.stringify(each))).size, 1);
    assert.match(
      placed[0]?.gap.detail ?? '',
      /container\.labels\.app.*no socket of podman answers/,
    );
    assert.equal(gaps()[0], 'web criteria_unknown');
    keeper.take([container(1, { app: 'web' })]);
    assert.deepEqual(gaps(), []);
  });

  it('is none while the runtime is being asked, nor where no group asks for it', () => {
    const asking = underTest([web]);
    asking.keeper.take([container(1, undefined, { ...unknown, asking: true })]);
    assert.deepEqual(asking.gaps(), []);
    const hostOnly = underTest([host]);
    hostOnly.keeper.take([container(1, undefined, unknown)]);
    assert.deepEqual(hostOnly.gaps(), []);
  });

  it('is a member that stays uncovered, but not one that has merely gone', async () => {
    const failed = { error: 'openat2 says EIO', covered_ns: 0n };
    const { keeper, gaps, told, bodies } = underTest([web], failed);
    keeper.take([container(1, { app: 'web' })]);
    keeper.takeReport(reportOf({ error: 'gone', covered_ns: 0n }));
    assert.deepEqual(gaps(), []);
    keeper.takeReport(reportOf(failed));
    assert.deepEqual(gaps(), []);
    assert.equal(keeper.status()[1]?.container?.state, 'failed');
    while (gaps().length === 0) await sleep(20);
    assert.deepEqual(gaps(), ['web c1 workload_failed']);
    while (told.length === 0) {
      keeper.takeReport(reportOf(failed));
      await sleep(20);
    }
    assert.match(bodies[0] ?? '', /a member of group web: .*, but its rules are not in place$/);
  });

  it('is what of its rules is not covered, named by the container', () => {
    const { keeper, gaps } = underTest([web]);
    keeper.take([container(1, { app: 'web' })]);
    const degraded = [{ error_type: 'absent', detail: '/etc/nginx' }];
    const rule = { files: 0, directories: 0, resolved: [], absent: [], absent_apps: [], degraded };
    keeper.takeReport(reportOf({ rules: [{ rule_index: 0, ...rule }] }));
    assert.deepEqual(gaps(), ['web conf c1 absent']);
    // What is left is nobody's concern.
    keeper.take([container(1, {})]);
    assert.deepEqual(gaps(), []);
  });
});

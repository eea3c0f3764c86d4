/** Twenty containers of three groups come and go at once: every verdict and every record right, nothing kept after. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { RecordLine } from '../kernel/harness.ts';
import type { Container } from './container.ts';
import { whyNoContainers } from './podman.ts';
import { opens, Site } from './site.ts';

const skip = whyNoContainers() ?? false;
const groupNames = ['red', 'green', 'blue'] as const;
type GroupName = (typeof groupNames)[number];
const containersEach = 7;
const atATime = 4;
const rounds = 25;
let site: Site;
let stays: Container;

/** What a container of each group may do once its rules are there: [opener, listed] of its own file, of the volume. */
const expected: Readonly<Record<GroupName, readonly string[]>> = {
  red: ['EPERM', 'ok', 'EPERM', 'ok'],
  green: ['EPERM', 'ok', 'ok', 'EPERM'],
  blue: ['EPERM', 'ok', 'ok', 'ok'],
};

function group(name: GroupName): unknown {
  const rule = (what: string, where: string, apps: string[]) => ({
    name: what,
    path: where,
    behavior: 'block',
    operations: ['read'],
    apps,
  });
  const own = rule('own', `/etc/${name}`, ['/bin/listed']);
  const shared = rule('shared', '/data/shared', [name === 'red' ? '/bin/listed' : '/bin/opener']);
  return {
    name,
    members: { container: { labels: { group: name } } },
    mode: 'protect',
    rules: name === 'blue' ? [own] : [own, shared],
  };
}

/** Says what it may do so many times: its own file, the volume's, and those of the other groups, which it may read. */
function script(name: GroupName): string {
  const others = groupNames.filter((other) => other !== name).map((other) => `/etc/${other}`);
  const tries = [`/etc/${name}`, '/data/shared']
    .flatMap((file) => ['opener', 'listed'].map((app) => [app, file] as const))
    .concat(others.map((file) => ['opener', file] as const))
    .map(([app, file]) => `$(${app} openat O_RDONLY ${file})`);
  return `i=0; while [ $i -lt ${rounds} ]; do echo ${tries.join(' ')}; i=$((i + 1)); sleep 0.02; done; echo done; sleep 300`;
}

before(async () => {
  if (skip !== false) return;
  site = await Site.make('storm');
  for (const name of groupNames) writeFileSync(path.join(site.root, 'etc', name), 'secret\n');
  await site.podman.image('localhost/storm:1', site.root);
  await site.podman.ok('volume', 'create', 'storm');
  const place = await site.podman.ok('volume', 'inspect', '--format', '{{.Mountpoint}}', 'storm');
  writeFileSync(path.join(place, 'shared'), 'shared\n');
  await site.startAgent(groupNames.map(group), {}, { records: { window: '1s' } });
  stays = await site.podman.start('storm-stays', {
    image: 'localhost/storm:1',
    args: ['--label=group=red', '--volume=storm:/data'],
  });
  await site.covered(stays);
});
after(() => site?.remove());

/** What the agent holds: the marks of its fanotify groups, and how many descriptors of each kind. */
function held(): { marks: string[]; descriptors: Record<string, number> } {
  const descriptors: Record<string, number> = {};
  const marks: string[] = [];
  const folder = `/proc/${site.agent.pid}`;
  for (const fd of readdirSync(`${folder}/fd`)) {
    try {
      const target = readlinkSync(`${folder}/fd/${fd}`);
      // A runtime's API may have a connection more or less.
      if (target.startsWith('socket:')) continue;
      const kind = target.replace(/\d+/g, 'N');
      descriptors[kind] = (descriptors[kind] ?? 0) + 1;
      if (!target.includes('fanotify')) continue;
      const lines = readFileSync(`${folder}/fdinfo/${fd}`, 'utf8').match(/^fanotify [a-z]+:.*$/gm);
      // One that only mutes comes when somebody opens a file beside a covered one.
      marks.push(...(lines ?? []).filter((line) => !/ mask:0 /.test(line)));
    } catch {
      // closed meanwhile
    }
  }
  return { marks: marks.sort(), descriptors };
}

/** Starts one, waits until it has said all, takes it away. @returns what it said, and what podman complained of. */
async function comeAndGo(name: string, group: GroupName): Promise<{ id: string; lines: string[] }> {
  const { podman } = site;
  const args = [`--label=group=${group}`, '--volume=storm:/data'];
  const container = await podman.start(name, {
    image: 'localhost/storm:1',
    args,
    command: ['/bin/sh', '-c', script(group)],
  });
  for (let look = 0; ; look++) {
    const lines = (await podman.ok('logs', name)).split('\n');
    if (lines.at(-1) === 'done') {
      const { code, stderr } = await podman.run(['rm', '--force', '--time', '0', name]);
      assert.deepEqual([code, stderr], [0, ''], name);
      return { id: container.id, lines: lines.slice(0, -1) };
    }
    assert.ok(look < 300, `${name} said only ${lines}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Before the rules are there everything is `ok`; from the first refusal on it must be as expected, every time. */
function assertVerdicts(name: string, group: GroupName, lines: readonly string[]): void {
  const last = [...expected[group], 'ok', 'ok'].join(' ');
  assert.equal(lines.length, rounds, name);
  const first = lines.indexOf(last);
  assert.ok(first >= 0, `${name} never had its rules: ${lines[0]}`);
  for (const line of lines.slice(first)) assert.equal(line, last, name);
  for (const line of lines.slice(0, first)) {
    const words = line.split(' ');
    words.forEach((word, index) => {
      assert.ok(word === 'ok' || word === last.split(' ')[index], `${name}: ${line}`);
    });
  }
}

describe('a storm of containers', { skip }, () => {
  let heldBefore = { marks: [] as string[], descriptors: {} as Record<string, number> };
  const said = new Map<string, { name: string; group: GroupName; lines: string[] }>();

  it('each has its verdicts, while one that stays keeps its own', async () => {
    heldBefore = held();
    assert.ok(heldBefore.marks.length > 0);
    const queue = Array.from({ length: containersEach }, (_, index) =>
      groupNames.map((group) => ({ name: `storm-${group}-${index}`, group })),
    ).flat();
    const count = queue.length;
    assert.ok(count >= 20);
    let over = false;
    const watching = (async () => {
      while (!over) {
        assert.equal(await opens(stays, '/etc/red'), 'EPERM');
        assert.equal(await opens(stays, '/etc/red', 'O_RDONLY', '/bin/listed'), 'ok');
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    })();
    const workers = Array.from({ length: atATime }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        // Some are gone before anybody could cover them.
        const brief = [
          'run',
          '--rm',
          ...site.podman.runArgs,
          '--label=group=red',
          'localhost/storm:1',
        ];
        await site.podman.ok(...brief, '/bin/true');
        const { id, lines } = await comeAndGo(next.name, next.group);
        said.set(id, { ...next, lines });
      }
    });
    await Promise.all(workers).finally(() => {
      over = true;
    });
    await watching;
    assert.equal(said.size, count);
    for (const { name, group, lines } of said.values()) assertVerdicts(name, group, lines);
  });

  it('holds no mark and no descriptor more than before', async () => {
    await untilEqual(held, heldBefore);
  });

  it('holds no mount and no cgroup of those that have gone', () => {
    const mounts = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(`${site.podman.base}/storage/overlay/`));
    assert.equal(mounts.length, 1, `${mounts}`);
    const cgroups = execFileSync('find', [...site.podman.cgroups('.'), '-name', 'libpod-*'], {
      encoding: 'utf8',
    });
    const ids = new Set(
      cgroups
        .trim()
        .split('\n')
        .map((line) => path.basename(line)),
    );
    assert.deepEqual([...ids], [`libpod-${stays.id}`]);
    const merged = mounts[0]?.split(' ')[1] ?? '';
    // Nothing of the agent's keeps the mount of one that runs busy either.
    const users = spawnSync('sh', ['-c', `ls -l /proc/${site.agent.pid}/fd | grep -c '${merged}'`]);
    assert.equal(String(users.stdout).trim(), '0');
  });

  it('every record has the right container, group and app, and their numbers are those of the refusals', async () => {
    await site.agent.stop();
    const denied = site.agent.matching({ event: 'fileward.file.denied' });
    const counts = new Map<string, number>();
    for (const record of denied) {
      const { attributes, resource } = record;
      const id = String(resource['container.id']);
      if (id === stays.id) continue;
      const container = said.get(id);
      assert.ok(container, `of no container of the storm: ${JSON.stringify(record)}`);
      assertBelongs(record, container);
      const key = `${id} ${attributes['file.path']}`;
      counts.set(key, (counts.get(key) ?? 0) + Number(attributes['fileward.count'] ?? 1));
    }
    for (const [id, { name, group, lines }] of said) {
      const words = lines.map((line) => line.split(' '));
      const refused = (...columns: number[]): number =>
        words.reduce(
          (sum, line) => sum + columns.filter((column) => line[column] === 'EPERM').length,
          0,
        );
      assert.equal(counts.get(`${id} /etc/${group}`), refused(0, 1), name);
      assert.equal(counts.get(`${id} /data/shared`) ?? 0, refused(2, 3), name);
    }
    const lost = site.agent.matching({ event: 'fileward.record.lost' });
    assert.deepEqual(
      lost.map(({ body }) => body),
      [],
    );
    for (const event of ['started', 'stopped']) {
      const names = site.agent
        .matching({ event: `fileward.workload.${event}` })
        .map(({ resource }) => resource['container.name']);
      for (const { name } of said.values()) {
        assert.equal(names.filter((other) => other === name).length, 1, `${name} ${event}`);
      }
    }
  });
});

function assertBelongs(
  { attributes, resource, body }: RecordLine,
  { name, group }: { name: string; group: GroupName },
): void {
  assert.equal(resource['container.name'], name, body);
  assert.equal(attributes['security_rule.ruleset.name'], group, body);
  const isOwn = attributes['file.path'] === `/etc/${group}`;
  assert.ok(isOwn || attributes['file.path'] === '/data/shared', body);
  assert.equal(attributes['security_rule.name'], isOwn ? 'own' : 'shared', body);
  const app = !isOwn && group === 'green' ? '/bin/listed' : '/bin/opener';
  assert.equal(attributes['process.executable.path'], app, body);
  assert.equal('fileward.process.container.id' in attributes, false, body);
}

async function untilEqual<Value>(look: () => Value, wanted: Value): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (performance.now() < deadline) {
    try {
      return assert.deepEqual(look(), wanted);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  assert.deepEqual(look(), wanted);
}

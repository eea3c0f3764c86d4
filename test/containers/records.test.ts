/**
 * What a collector gets of containers, decoded: whose resource a record has, who did it, members coming and going; and
 * what `status` and `explain` say of them. Real containers of Podman; the pod is one process in a pod's cgroup with a root
 * of its own, of which a recorded containerd tells (recorded-cri.ts).
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openInChild, run } from '../kernel/children.ts';
import { commandLine } from '../kernel/harness.ts';
import {
  attributesOf,
  Collector,
  type KeyValue,
  labelsOf,
  type LogRecord,
} from '../otlp/collector.ts';
import { problemsOf } from '../registry/conformance.ts';
import { joinCgroups } from './chroot.ts';
import type { Container } from './container.ts';
import { busyboxRoot, whyNoContainers } from './podman.ts';
import { podUid, RecordedCri } from './recorded-cri.ts';
import { image, opens, Site } from './site.ts';
import { WaitingShell } from './waiting-shell.ts';

const skip = whyNoContainers() ?? false;
let site: Site;
let collector: Collector;
let cri: RecordedCri;
let web: Container;
let mapped: Container;
let plain: Container;
let hosted: string;
const pod = { id: randomBytes(32).toString('hex'), sandbox: randomBytes(32).toString('hex') };
let podShell: WaitingShell;

const block = { behavior: 'block', operations: ['read', 'write'], apps: ['/bin/listed'] };

function groups(): unknown[] {
  return [
    {
      name: 'web',
      members: { container: { labels: { records: 'web' } } },
      mode: 'protect',
      labels: { team: 'shop' },
      rules: [{ name: 'secret', path: '/etc/secret*', ...block }],
    },
    {
      name: 'images',
      members: { container: { image: 'localhost/site:*', name: ['records-web', 'records-short'] } },
      rules: [{ name: 'notes', path: '/data/notes', behavior: 'watch', operations: ['read'] }],
    },
    {
      name: 'pods',
      members: { kubernetes: { namespace: 'shop', labels: { app: 'web' } } },
      mode: 'protect',
      rules: [{ name: 'token', path: '/etc/token', ...block }],
    },
    {
      name: 'host',
      members: { host: true },
      rules: [{ name: 'hosted', path: `${hosted}/**`, behavior: 'watch', operations: ['read'] }],
    },
  ];
}

interface Told {
  readonly resource: Readonly<Record<string, unknown>>;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly record: LogRecord;
}

/** Plain values, as JSON has them. */
function plainly(list: readonly KeyValue[]): Record<string, unknown> {
  const values = Object.entries(attributesOf(list)).map(([name, value]) => [
    name,
    'arrayValue' in value
      ? value.arrayValue.values.flatMap((each) => Object.values(each))
      : Object.values(value)[0],
  ]);
  return Object.fromEntries(values);
}

function told(): Told[] {
  return collector.logs.flatMap(({ resourceLogs }) =>
    resourceLogs.flatMap(({ resource, scopeLogs }) =>
      scopeLogs.flatMap(({ logRecords }) =>
        logRecords.map((record) => ({
          resource: plainly(resource.attributes),
          attributes: plainly(record.attributes),
          record,
        })),
      ),
    ),
  );
}

/** The first record of an event that has these attributes, when it has come. */
async function arrived(
  event: string,
  attributes: Readonly<Record<string, unknown>>,
  resource: Readonly<Record<string, unknown>> = {},
): Promise<Told> {
  const fits = (found: Readonly<Record<string, unknown>>, wanted: typeof found): boolean =>
    Object.entries(wanted).every(([name, value]) => found[name] === value);
  for (const deadline = Date.now() + 20_000; ; await sleep(20)) {
    const found = told().find(
      (each) =>
        each.record.eventName === `fileward.${event}` &&
        fits(each.attributes, attributes) &&
        fits(each.resource, resource),
    );
    if (found) return found;
    if (Date.now() > deadline) {
      const lately = told()
        .slice(-10)
        .map(({ record, attributes }) => [record.eventName, attributes]);
      assert.fail(`no ${event} ${JSON.stringify(attributes)}: ${JSON.stringify(lately, null, 1)}`);
    }
  }
}

/** Of a resource, what says which container it is. */
function containerIn({ resource }: Told): Record<string, unknown> {
  const own = Object.entries(resource).filter(([name]) => /^(container|k8s)\./.test(name));
  return Object.fromEntries(own);
}

async function fileward(...args: string[]): Promise<string> {
  const [node, command] = commandLine([...args, '-c', site.agent.configurationFile]);
  const { code, stdout, stderr } = await run(node, command);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** A shell with a root of its own, then put into the cgroup of a pod's container. */
async function startPod(): Promise<WaitingShell> {
  const root = busyboxRoot(site.podman, [`${site.root}/bin/opener`, `${site.root}/bin/listed`]);
  writeFileSync(path.join(root, 'etc/token'), 'token\n');
  const pidFile = path.join(site.podman.base, 'pod.pid');
  const enter = [
    'echo $$ > "$1"; mkdir -p "$0/proc"; mount --bind "$0" "$0"; mount -t proc proc "$0/proc"',
    'cd "$0"; pivot_root . .; umount -n -l .; exec /bin/sh',
  ].join('; ');
  const unshare = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', enter];
  const shell = await WaitingShell.start([...unshare, root, pidFile]);
  const pid = Number(readFileSync(pidFile, 'utf8'));
  joinCgroups(site.podman, `kubepods/burstable/pod${podUid}/${pod.id}`, pid);
  return shell;
}

before(async () => {
  if (skip !== false) return;
  site = await Site.make('records');
  hosted = site.scratch.directory('hosted');
  writeFileSync(path.join(hosted, 'file'), 'x\n');
  collector = await Collector.start({ protocol: 'grpc' });
  const criSocket = path.join(site.podman.base, 'cri.sock');
  cri = await RecordedCri.start(criSocket, pod.id, pod.sandbox);
  web = await site.start('records-web', ['--label=records=web']);
  const maps = ['--uidmap=0:100000:65536', '--gidmap=0:100000:65536', '--label=records=web'];
  mapped = await site.start('records-mapped', maps);
  for (const each of [web, mapped]) {
    await each.shell('for f in secret secret-late; do echo x > /etc/$f; chmod 644 /etc/$f; done');
  }
  await site.startAgent(groups(), {
    exports: true,
    env: {
      CONTAINER_RUNTIME_ENDPOINT: `unix://${criSocket}`,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_METRIC_EXPORT_INTERVAL: '500',
    },
  });
  plain = await site.start('plain-records', [`--volume=${hosted}:/host`]);
  podShell = await startPod();
  await site.agent.record({
    event: 'fileward.workload.started',
    resource: { 'container.id': pod.id },
  });
});
after(async () => {
  await podShell?.close();
  cri?.close();
  await site?.remove();
  await collector?.close();
});

describe('a record of a container', { skip }, () => {
  it("carries that container's resource, beside the machine's", async () => {
    assert.equal(await opens(web, '/etc/secret'), 'EPERM');
    const denied = await arrived('file.denied', { 'file.path': '/etc/secret' });
    assert.deepEqual(containerIn(denied), {
      'container.id': web.id,
      'container.name': 'records-web',
      'container.image.name': 'localhost/site',
      'container.image.tags': ['1'],
      'container.runtime.name': 'podman',
    });
    assert.ok(denied.resource['host.id'] && denied.resource['service.name'] === 'fileward');
    assert.equal(denied.attributes['process.executable.path'], '/bin/opener');
    assert.equal(denied.attributes['fileward.group.label.team'], 'shop');
    assert.equal('fileward.process.origin' in denied.attributes, false);
  });

  it('says that a process of the host reached in', async () => {
    assert.equal(await openInChild(web.path('/etc/secret'), 'O_RDONLY'), 'EPERM');
    const origin = { 'fileward.process.origin': 'host' };
    const denied = await arrived('file.denied', origin, { 'container.id': web.id });
    assert.equal(denied.attributes['file.path'], '/etc/secret');
    assert.equal('fileward.process.container.id' in denied.attributes, false);
  });

  it("says which container reached the host's files", async () => {
    assert.equal(await opens(plain, '/host/file'), 'ok');
    const file = path.join(hosted, 'file');
    const accessed = await arrived('file.accessed', { 'file.path': file });
    assert.deepEqual(containerIn(accessed), {});
    assert.equal(accessed.attributes['fileward.process.origin'], 'container');
    assert.equal(accessed.attributes['fileward.process.container.id'], plain.id);
  });

  it("names users as the container's own passwd does, those added later too", async () => {
    const late = 'echo late:x:4242:4242::/:/bin/sh >> /etc/passwd; echo late:x:4242: >> /etc/group';
    await web.shell(`${late}; su late -c '/bin/opener openat O_RDONLY /etc/secret-late'`);
    const denied = await arrived('file.denied', { 'file.path': '/etc/secret-late' });
    assert.equal(denied.attributes['process.user.id'], '4242');
    assert.equal(denied.attributes['process.user.name'], 'late');
  });

  it('numbers users as their user namespace does', async () => {
    const opener = '/bin/opener openat O_RDONLY /etc/secret';
    await mapped.shell(`${opener}; su app -c '${opener}'`);
    const of = { 'container.id': mapped.id };
    const root = await arrived('file.denied', { 'process.user.id': '0' }, of);
    assert.equal(root.attributes['process.user.name'], 'root');
    const app = await arrived('file.denied', { 'process.user.id': '1000' }, of);
    assert.equal(app.attributes['process.user.name'], 'app');
  });

  it('has the hash of a file that changed inside', async () => {
    const listed = "/bin/listed openat 'O_WRONLY|O_TRUNC' /etc/secret --write content";
    const { output } = await web.shell(listed);
    assert.equal(output.trim(), 'ok');
    const sha256 = createHash('sha256').update('content').digest('hex');
    await arrived('file.modified', { 'fileward.file.sha256': sha256 }, { 'container.id': web.id });
  });

  it("has a pod's attributes from what containerd's CRI told of one", async () => {
    const { output } = await podShell.run('/bin/opener openat O_RDONLY /etc/token');
    assert.equal(output.trim(), 'EPERM');
    const denied = await arrived('file.denied', { 'file.path': '/etc/token' });
    assert.deepEqual(containerIn(denied), {
      'container.id': pod.id,
      'container.name': 'nginx',
      'container.image.name': 'registry.example.com/shop/web',
      'container.image.tags': ['2.1'],
      'container.runtime.name': 'containerd',
      'k8s.pod.name': 'web-0',
      'k8s.pod.uid': podUid,
      'k8s.namespace.name': 'shop',
      'k8s.container.name': 'nginx',
    });
  });
});

describe('members', { skip }, () => {
  it('come and go with a record for each group, of their resource', async () => {
    const started = await arrived(
      'workload.started',
      { 'security_rule.ruleset.name': 'web' },
      { 'container.name': 'records-web' },
    );
    assert.equal(started.attributes['fileward.workload.criteria'], 'container.labels.records web');
    const short = await site.startCovered('records-short');
    await short.remove();
    const stopped = await arrived('workload.stopped', {}, { 'container.id': short.id });
    assert.equal(stopped.attributes['security_rule.ruleset.name'], 'images');
    assert.equal(containerIn(stopped)['container.name'], 'records-short');
    const ofPlain = told().filter(
      ({ record, resource }) =>
        record.eventName.startsWith('fileward.workload.') && resource['container.id'] === plain.id,
    );
    assert.deepEqual(ofPlain, []);
  });

  it('are counted by group', async () => {
    const wanted = { web: '2', images: '1', pods: '1', host: '1', settle: '1' };
    const counts = () =>
      Object.fromEntries(
        collector
          .metric('fileward.workload.count')
          ?.sum?.dataPoints.map((point) => [
            labelsOf(point)['security_rule.ruleset.name'],
            point.asInt,
          ]) ?? [],
      );
    for (const deadline = Date.now() + 20_000; Date.now() < deadline; await sleep(50)) {
      if (JSON.stringify(counts()) === JSON.stringify(wanted)) return;
    }
    assert.deepEqual(counts(), wanted);
  });

  it('are in the status, with why each group holds them', async () => {
    const { workloads } = JSON.parse(await fileward('status', '--json'));
    const of = (id: string) =>
      workloads.find(({ container }: { container?: { id: string } }) => container?.id === id);
    const { covered, ...shown } = of(web.id).container;
    assert.ok(Math.abs(Date.parse(covered) - Date.now()) < 300_000, covered);
    assert.deepEqual(shown, {
      id: web.id,
      name: 'records-web',
      image,
      pod: '',
      namespace: '',
      runtime: 'podman',
      pid: web.pid,
      state: 'covered',
      error: '',
      unknown: [],
      unknown_why: '',
    });
    assert.deepEqual(of(web.id).groups, ['web', 'images']);
    assert.equal(of(web.id).why.web, 'container.labels.records web');
    assert.deepEqual([of(plain.id).groups, of(plain.id).container.state], [[], 'no_group']);
    assert.equal(of(pod.id).container.pod, 'web-0');
    assert.deepEqual(workloads[0].groups, ['host', 'settle']);
    const text = await fileward('status');
    assert.match(
      text,
      /records-web +[0-9a-f]{12} +localhost\/site:1 +covered since .* web, images/,
    );
    assert.match(text, /shop\/web-0/);
  });

  it('are explained: which groups hold them, and what those say', async () => {
    const text = await fileward('explain', '/etc/secret', '--workload', 'records-web');
    assert.match(text, /group web +container\.labels\.records web/);
    assert.match(text, /read +deny +denied/);
    const byId = ['explain', '/etc/secret', '--workload', plain.id.slice(0, 12), '--json'];
    const [answer] = JSON.parse(await fileward(...byId));
    assert.deepEqual([answer.outcome, answer.workload.groups], ['not_covered', []]);
    assert.match(answer.why, /No group holds this workload/);
    assert.match(await fileward('explain', '--workload', pod.id), /group pods +.*namespace shop/);
  });
});

it('what has come is as the registry has it', { skip }, () => {
  assert.deepEqual(problemsOf(collector), []);
});

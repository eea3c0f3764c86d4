/**
 * The defects of NeuVector's file rules (docs/neuvector.md, W1 to W22), each as what fileward does in its place. Most run
 * in one container under rules that `fileward import neuvector` made of an NvSecurityRule; where another test proves one
 * already, docs/neuvector.md names that.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { helper, openInChild, run } from '../kernel/children.ts';
import { Agent, commandLine, type RecordLine } from '../kernel/harness.ts';
import { Scratch } from '../kernel/scratch.ts';
import { short } from '../kernel/told.ts';
import type { Container } from './container.ts';
import { whyNoContainers } from './podman.ts';
import { opens, Site } from './site.ts';

const skip = whyNoContainers() ?? false;
/** As cri-dockerd labels the containers of a pod. */
const podLabels = [
  '--label=io.kubernetes.pod.namespace=shop',
  '--label=io.kubernetes.pod.name=web',
];

interface NvFile {
  readonly filter: string;
  readonly behavior: 'block_access' | 'monitor_change';
  readonly recursive?: boolean;
  readonly app?: readonly string[];
}

const block = (filter: string, app: readonly string[] = [], recursive = false): NvFile => ({
  filter,
  behavior: 'block_access',
  recursive,
  app,
});

const files: readonly NvFile[] = [
  block('/etc/mysecret', ['/bin/listed']),
  block('/etc/passwd'),
  block('/etc/*.conf'),
  block('/etc/*.pem'),
  block('/home/*/.ssh/*', ['/bin/listed']),
  block('/srv/*/keys/*.pem', [], true),
  block('/opt/app/conf/*'),
  block('/volume/*'),
  block('/host/*'),
  block('/tmpfs/*'),
  block('/data/small', ['/bin/listed']),
  { filter: '/data/*', recursive: true, behavior: 'monitor_change' },
  { filter: '/run/single', behavior: 'monitor_change' },
];

/** An NvSecurityRule of namespace `shop` as `kubectl get -o yaml` has it, but in JSON. */
const resource = (file: readonly NvFile[]) => ({
  apiVersion: 'neuvector.com/v1',
  kind: 'NvSecurityRule',
  metadata: { name: 'nv.web.shop', namespace: 'shop' },
  spec: {
    target: {
      policymode: 'Protect',
      selector: {
        name: 'nv.web.shop',
        criteria: [
          { key: 'container', op: '=', value: 'neuvector-web' },
          { key: 'domain', op: '=', value: 'shop' },
        ],
      },
    },
    file,
  },
});

let site: Site;
let web: Container;
let hosted: string;

interface Group {
  readonly rules: readonly unknown[];
}

async function imported(file: readonly NvFile[]): Promise<Group[]> {
  const rules = path.join(site.scratch.base, 'rules.json');
  writeFileSync(rules, JSON.stringify(resource(file)));
  const [node, args] = commandLine(['import', 'neuvector', rules]);
  const { code, stdout, stderr } = await run(node, args);
  assert.equal(code, 0, stderr);
  return parse(stdout).groups;
}

/** The rule of docs/neuvector.md for the filters that NeuVector gives every service by itself. */
function defaults(): Group {
  const doc = readFileSync(path.resolve(import.meta.dirname, '../../docs/neuvector.md'), 'utf8');
  const [, yaml = ''] = /```yaml\n(- name: neuvector-defaults\n[^`]*)```/.exec(doc) ?? [];
  const named = { name: 'defaults', members: { container: { name: 'neuvector-web' } } };
  return { ...named, rules: parse(yaml) };
}

/** Files of NeuVector's default filters, on a root whose /lib is a link. */
const defaultFiles = [
  '/var/lib/dpkg/status',
  '/lib/apk/db/installed',
  '/lib/x86_64-linux-gnu/libc.so.6',
  '/usr/bin/tool',
  '/usr/bin/deeper/tool',
  '/usr/sbin/daemon',
  '/usr/local/bin/tool',
  '/bin/tool',
];
const secrets = [
  '/etc/mysecret',
  '/etc/a.conf',
  '/etc/b.pem',
  '/home/u/.ssh/id',
  '/home/team/u/.ssh/id',
  '/srv/a/keys/x.pem',
  '/srv/a/b/keys/deep/x.pem',
  '/opt/app/conf/f',
  '/data/small',
];

const configuration = { records: { window: '1s' } };
const groups = async () => [...(await imported(files)), defaults()];

before(async () => {
  if (skip !== false) return;
  site = await Site.make('neuvector');
  hosted = site.scratch.directory('hosted');
  writeFileSync(path.join(hosted, 'f'), 'x\n');
  const places = ['--volume=volume:/volume', `--volume=${hosted}:/host`, '--tmpfs=/tmpfs'];
  web = await site.start('neuvector-web', [...podLabels, ...places]);
  const made = [...defaultFiles, ...secrets, '/run/single', '/volume/f', '/tmpfs/f', '/data/other'];
  await web.shell(`
    mkdir -p /usr/lib /data/many; ln -s usr/lib /lib
    for file in ${made.join(' ')}; do mkdir -p "$(dirname "$file")"; echo x > "$file"; done
    for number in $(seq 40); do echo x > /data/many/$number; done
    head -c 65536 /dev/zero > /data/big`);
  await site.startAgent(await groups(), {}, configuration);
});
after(async () => {
  await site?.remove();
});

/** Of the container. */
function matching(file: string): RecordLine[] {
  return site.agent.matching({ path: file, resource: { 'container.id': web.id } });
}

/** Exactly this was told of a path since the last call for it; sorted. */
async function assertTold(file: string, ...expected: readonly string[]): Promise<void> {
  const seen = seenBefore.get(file) ?? 0;
  const all = () => matching(file).map(short).slice(seen).sort();
  // What equals a change of a moment ago is told at the end of the window.
  await waitUntil(`${file}: ${expected}`, () => all().length >= expected.length);
  await site.agent.settle();
  seenBefore.set(file, seen + all().length);
  assert.deepEqual(all(), expected, file);
}
const seenBefore = new Map<string, number>();

async function waitUntil(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within 20 s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** How many opens the denials told until now stand for. */
function denials(file: string): number {
  return matching(file)
    .filter(({ event }) => event === 'fileward.file.denied')
    .reduce((sum, { attributes }) => sum + Number(attributes['fileward.count'] ?? 1), 0);
}

describe('NeuVector’s defects', { skip }, () => {
  it('W1: no verdict shifts and every denial is told, while the agent itself opens covered files', async () => {
    // It hashes what the listed app wrote, and reads the container's /etc/passwd, which is blocked too.
    const before = denials('/etc/mysecret');
    const { output } = await web.shell(`
      for round in $(seq 100); do
        opener openat O_RDONLY /etc/mysecret
        listed openat 'O_WRONLY|O_APPEND' /etc/mysecret --write x
      done`);
    const expected = Array.from({ length: 100 }, () => 'EPERM\nok\n').join('');
    assert.equal(output, expected);
    await waitUntil('every denial told', () => denials('/etc/mysecret') - before === 100);
    const [last] = matching('/etc/mysecret').slice(-1);
    assert.equal(last?.attributes['process.user.name'], 'root');
  });

  it('W2: openers that come together with the agent’s own are each answered', async () => {
    const { output } = await web.shell(`
      opener openat O_RDONLY /etc/a.conf --times 1 > /dev/null
      for job in 1 2 3 4 5 6; do
        (for round in $(seq 40); do
          opener openat O_RDONLY /etc/mysecret
          listed openat 'O_WRONLY|O_APPEND' /etc/mysecret --write x
        done > /tmp/answers-$job) &
      done
      wait
      cat /tmp/answers-*`);
    const answers = output.trim().split('\n').sort();
    const expected = [...Array(240).fill('EPERM'), ...Array(240).fill('ok')];
    assert.deepEqual(answers, expected);
  });

  it('W3: files at any depth and behind a link are watched, those of the default filters', async () => {
    for (const file of defaultFiles) await web.shell(`echo more >> ${file}`);
    for (const file of defaultFiles) {
      await assertTold(file.replace(/^\/lib\//, '/usr/lib/'), 'modified write - 9');
    }
  });

  it('W4: a wildcard in the middle of a path matches, across folders as in NeuVector', async () => {
    for (const file of secrets.filter((each) => /ssh|keys/.test(each))) {
      assert.equal(await opens(web, file), 'EPERM', file);
    }
    assert.equal(await opens(web, '/home/u/.ssh/id', 'O_RDONLY', '/bin/listed'), 'ok');
  });

  it('W5: an imported NvSecurityRule denies whom it does not list, and only those', async () => {
    assert.equal(await opens(web, '/etc/mysecret'), 'EPERM');
    assert.equal(await opens(web, '/etc/mysecret', 'O_RDWR', '/bin/listed'), 'ok');
    const record = await site.agent.record({
      event: 'fileward.file.denied',
      path: '/etc/mysecret',
      resource: { 'container.id': web.id },
    });
    assert.equal(record.attributes['security_rule.ruleset.name'], 'nv.web.shop');
    assert.equal(record.attributes['security_rule.name'], 'etc-mysecret');
    assert.equal(record.resource['k8s.namespace.name'], 'shop');
    assert.equal(record.resource['k8s.pod.name'], 'web');
    const stranger = await site.start('neuvector-stranger');
    await stranger.shell('echo x > /etc/mysecret');
    assert.equal(await opens(stranger, '/etc/mysecret'), 'ok');
    await stranger.remove();
  });

  it('W6: a change of the rules is applied to the running container at once', async () => {
    const changed = [block('/etc/mysecret', ['/bin/listed', '/bin/opener']), ...files.slice(1)];
    const answers: string[] = [];
    for (const list of [changed, files]) {
      const answer = await site.agent.reconfigure({
        ...configuration,
        groups: [...(await imported(list)), defaults()],
      });
      assert.equal(answer.event, 'fileward.policy.loaded');
      answers.push(await opens(web, '/etc/mysecret'));
    }
    assert.deepEqual(answers, ['ok', 'EPERM']);
  });

  it('W7: a rule of a folder does not swallow that of a file in it', async () => {
    assert.equal(await opens(web, '/data/small'), 'EPERM');
    assert.equal(await opens(web, '/data/small', 'O_RDONLY', '/bin/listed'), 'ok');
    assert.equal(await opens(web, '/data/other', 'O_RDWR'), 'ok');
    await assertTold('/data/other', 'modified write - 9');
  });

  it('W8: two filters of one folder both hold', async () => {
    assert.equal(await opens(web, '/etc/a.conf'), 'EPERM');
    assert.equal(await opens(web, '/etc/b.pem'), 'EPERM');
    assert.equal(await opens(web, '/etc/group'), 'ok');
  });

  it('W9: a file that was replaced atomically is watched as before, and each change told with its process', async () => {
    const replace = 'echo new > /run/other; change rename /run/other /run/single';
    await web.shell(replace);
    await assertTold('/run/single', 'modified rename - 9');
    await web.shell('change chmod /run/single 600');
    await assertTold('/run/single', 'modified attributes - 9');
    await web.shell(replace);
    await assertTold('/run/single', 'modified rename - 9');
    await web.shell('change delete /run/single');
    await assertTold('/run/single', 'modified delete - 9');
    await web.shell('change create /run/single; change write /run/single x');
    await assertTold('/run/single', 'modified create - 9', 'modified write - 9');
    for (const { attributes, body } of matching('/run/single')) {
      assert.equal(attributes['process.executable.path'], '/bin/change', body);
    }
  });

  it('W10: a change far behind the beginning of a file is a modification, with the hash of the whole', async () => {
    const hashes: unknown[] = [];
    for (const byte of ['A', 'B']) {
      await web.shell(`printf ${byte} | dd of=/data/big bs=1 seek=50000 conv=notrunc 2>/dev/null`);
      const content = Buffer.alloc(65536);
      content.write(byte, 50000);
      const hash = createHash('sha256').update(content).digest('hex');
      const { attributes } = await site.agent.record({
        event: 'fileward.file.modified',
        path: '/data/big',
        attributes: { 'fileward.file.sha256': hash },
      });
      hashes.push(attributes['fileward.file.sha256_before'], hash);
    }
    assert.equal(hashes[2], hashes[1]);
  });

  it('W11: the first write to each of 40 files in a folder is told as what it is', async () => {
    await web.shell('for number in $(seq 40); do echo more >> /data/many/$number; done');
    await site.agent.settle();
    for (let number = 1; number <= 40; number++) {
      await assertTold(`/data/many/${number}`, 'modified write - 9');
    }
  });

  it('W12: a file that was created once is not created again by later writes', async () => {
    await web.shell('change create /data/fresh');
    await assertTold('/data/fresh', 'modified create - 9');
    for (let write = 0; write < 2; write++) {
      await web.shell(`change write /data/fresh ${write}`);
      await assertTold('/data/fresh', 'modified write - 9');
    }
  });

  it('W13: what has no gate is told with its process, and is no way round the rule', async () => {
    const file = '/opt/app/conf/f';
    const changes = [
      ['create', `link ${file} /tmp/linked`],
      ['attributes', `chmod ${file} 640`],
      ['truncate', `truncate ${file} 0`],
      ['rename', `rename ${file} /tmp/moved`],
    ];
    for (const [operation, change] of changes) {
      await web.shell(`change ${change}`);
      const { severity } = await site.agent.record({
        event: 'fileward.file.violated',
        path: file,
        attributes: { 'fileward.operation': operation },
      });
      assert.equal(severity, 17, operation);
    }
    for (const { attributes, body } of matching(file)) {
      assert.equal(attributes['process.executable.path'], '/bin/change', body);
      assert.equal(typeof attributes['process.pid'], 'number', body);
      assert.equal(attributes['process.user.name'], 'root', body);
    }
    assert.equal(await opens(web, '/tmp/linked'), 'EPERM');
    assert.equal(await opens(web, '/tmp/moved'), 'EPERM');
    await web.shell('change delete /tmp/moved; change delete /tmp/linked');
  });

  it('W14: volumes, bind mounts and memory are covered', async () => {
    for (const place of ['/volume', '/host', '/tmpfs']) {
      assert.equal(await opens(web, `${place}/f`), 'EPERM', place);
      assert.equal(await opens(web, `${place}/new`, 'O_WRONLY|O_CREAT'), 'EPERM', place);
    }
  });

  it('W16: a program is its file: not its name, wherever a copy lies', async () => {
    await web.shell('mkdir -p /tmp/evil; cp /bin/listed /tmp/evil/listed');
    assert.equal(await opens(web, '/etc/mysecret', 'O_RDONLY', '/tmp/evil/listed'), 'EPERM');
    assert.equal(await opens(web, '/etc/mysecret', 'O_RDONLY', '/bin/listed'), 'ok');
  });

  it('W17: no open slips through while new rules are put in place', async () => {
    const [rules, ...others] = await groups();
    assert.ok(rules);
    const reloads = (async () => {
      for (let round = 0; round < 8; round++) {
        const extra = { name: 'extra', path: `/etc/extra-${round}`, behavior: 'block', apps: [] };
        const more = { ...rules, rules: round % 2 === 0 ? [extra, ...rules.rules] : rules.rules };
        await site.agent.reconfigure({ ...configuration, groups: [more, ...others] });
      }
      writeFileSync(web.path('/tmp/reloaded'), '');
    })();
    const { output } = await web.shell(
      'until [ -e /tmp/reloaded ]; do opener openat O_RDONLY /etc/mysecret; done',
      120_000,
    );
    await reloads;
    const answers = output.trim().split('\n');
    assert.ok(answers.length > 100, `${answers.length} opens`);
    assert.deepEqual([...new Set(answers)], ['EPERM']);
  });

  it('W19: rules that are gone leave no mark in the container', async () => {
    const { dev } = statSync(web.path('/'));
    assert.ok(marksOn(site.agent.pid, dev) > 5);
    await site.agent.reconfigure({ ...configuration, groups: [] });
    await waitUntil('no mark left', () => marksOn(site.agent.pid, dev) === 0);
    assert.equal(await opens(web, '/etc/mysecret'), 'ok');
    await site.agent.reconfigure({ ...configuration, groups: await groups() });
    assert.equal(await opens(web, '/etc/mysecret'), 'EPERM');
  });
});

/** Marks of a process's fanotify groups on the file system with this device number, from /proc/PID/fdinfo. */
function marksOn(pid: number, dev: number): number {
  // As the kernel writes it: 12 bits major, 20 bits minor; here the C library's numbers below 256 are the same. Marks
  // that mute a file have no mask; the kernel drops them when it needs the memory.
  const mark = new RegExp(`^fanotify .*sdev:${dev.toString(16)} .* mask:[1-9a-f]`, 'gm');
  return readdirSync(`/proc/${pid}/fdinfo`).reduce((sum, fd) => {
    const text = infoOf(`/proc/${pid}/fdinfo/${fd}`);
    return sum + (text.match(mark)?.length ?? 0);
  }, 0);
}

/** Empty when the descriptor has gone. */
function infoOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

describe('a machine that can not', () => {
  it('W20: a kernel without fanotify ends the agent with a message and status 3', async () => {
    const scratch = new Scratch();
    after(() => scratch.remove());
    const rule = { name: 'secret', path: scratch.path('*'), behavior: 'block', apps: [] };
    const host = { name: 'host', members: { host: true }, mode: 'protect', rules: [rule] };
    const agent = await Agent.start(
      scratch,
      { groups: [host] },
      { entrance: [helper('without_fanotify')], waitForReady: false },
    );
    const { code } = await agent.exited;
    assert.equal(code, 3);
    assert.match(agent.stderr, /fanotify/);
    assert.equal(await openInChild(scratch.write('file'), 'O_RDONLY'), 'ok');
  });
});

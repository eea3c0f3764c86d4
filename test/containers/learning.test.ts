/**
 * The promise of learning, with a real workload: Debian's nginx in containers is learned while it starts, serves,
 * reloads, reopens its logs and stops; what was learned is applied; in protect the same is never denied, and a program
 * that did not do it before is.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { run } from '../kernel/children.ts';
import { whyNoDebian } from '../kernel/debian-root.ts';
import { Agent, commandLine } from '../kernel/harness.ts';
import { Scratch } from '../kernel/scratch.ts';
import { nginxRoot } from './nginx-root.ts';
import { Podman, whyNoContainers } from './podman.ts';

const skip = whyNoContainers() ?? whyNoDebian() ?? false;
const image = 'localhost/nginx:1';

const configuration = (state: string): string => `# What nginx does, and nobody else.
version: 1
state: ${state}
learning: { user: true }
groups:
  - name: web      # all of them
    members: { container: { name: "learning-web-*" } }
    mode: discover
    rules:
      - { name: conf, path: /etc/nginx/**, behavior: block, operations: [read, write], apps: [] } # its own
      - name: content
        path: /var/www/**
        behavior: block
        operations: [read, write]
      - name: logs
        path: /var/log/nginx/**
        behavior: block
        operations: [read, write]
        apps: [] # Rotation comes later.
      - { name: modules, path: '/usr/{sbin,lib/nginx}/**', behavior: block, operations: [read, write, exec], apps: [] }
      - { name: pid, path: /run/nginx.pid, behavior: block, operations: [read, write], apps: [] }
  # The same containers once more, by what they are.
  - name: shop
    members: { container: { image: "localhost/nginx*" } }
    mode: discover
    rules:
      - { name: everything, path: /etc/**, behavior: block, operations: [read, write], apps: [] }
`;

const get = `exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; read -r line <&3; echo "$line"`;

/** A package that brings a file of its configuration. */
const upgrade = `
set -e
mkdir -p /tmp/site/DEBIAN /tmp/site/etc/nginx/conf.d
printf 'Package: site\nVersion: 1\nArchitecture: all\nMaintainer: me\nDescription: site\n' > /tmp/site/DEBIAN/control
printf '#!/bin/sh\ntouch /etc/nginx/conf.d/made\n' > /tmp/site/DEBIAN/postinst
chmod 755 /tmp/site/DEBIAN/postinst
echo '# site' > /tmp/site/etc/nginx/conf.d/site.conf
dpkg-deb --build /tmp/site /tmp/site.deb > /dev/null
dpkg --install /tmp/site.deb > /dev/null
`;

let podman: Podman;
let agent: Agent;
let runs = 0;
const scratch = new Scratch();

before(
  async () => {
    if (skip) return;
    podman = new Podman('learning');
    await podman.ok('import', '--quiet', nginxRoot(), image);
    await podman.service();
    agent = await startAgent(configuration(path.join(scratch.base, 'state')));
  },
  { timeout: 600_000 },
);
after(async () => {
  await agent?.stop();
  await podman?.remove();
  scratch.remove();
});

function startAgent(text: string): Promise<Agent> {
  const env = { CONTAINER_HOST: `unix://${podman.socket}` };
  return Agent.start(scratch, text, { env });
}

function fileward(...args: string[]) {
  const [node, command] = commandLine(args);
  return run(node, [...command, '-c', agent.configurationFile], { env: { NO_COLOR: '1' } });
}

/** One life of nginx: what each step said. */
async function live(): Promise<string[]> {
  runs += 1;
  const name = `learning-web-${runs}`;
  const exec = async (...command: string[]): Promise<string> => {
    const { code, stdout, stderr } = await podman.run(['exec', name, ...command]);
    return code === 0 ? stdout.trim() : `${code} ${stderr}`;
  };
  const container = await podman.start(name, {
    image,
    command: ['/usr/sbin/nginx', '-g', 'daemon off;'],
  });
  await agent.record({
    event: 'fileward.workload.started',
    resource: { 'container.id': container.id },
  });
  const said: string[] = [];
  // The host brings the pages.
  const page = container.path('/var/www/html/page');
  const { code, stderr } = await run('/usr/bin/cp', ['/etc/hostname', page]);
  assert.equal(code, 0, stderr);
  // It may take a moment to listen.
  for (let look = 0; look < 100 && !said[0]?.includes('200'); look += 1) {
    said[0] = await exec('bash', '-c', get);
  }
  said.push(await exec('/usr/sbin/nginx', '-s', 'reload'));
  said.push(await exec('bash', '-c', get));
  said.push(await exec('bash', '-c', 'mv /var/log/nginx/access.log /var/log/nginx/access.log.1'));
  said.push(await exec('/usr/sbin/nginx', '-s', 'reopen'));
  said.push(await exec('bash', '-c', get));
  said.push(await exec('bash', '-c', upgrade));
  said.push(await exec('/usr/sbin/nginx', '-t', '-q'));
  said.push(await exec('/usr/sbin/nginx', '-s', 'quit'));
  said.push(await podman.ok('wait', name));
  await podman.ok('rm', '--force', name);
  return said;
}

/** Another test's agent, which reads what the containers of this machine call their users. */
function isOtherAgent(denied: string): boolean {
  return denied === `/etc/passwd ${process.execPath}`;
}

const ok = 'HTTP/1.1 200 OK';
const wellDone = [ok, '', ok, '', '', ok, '', '', '', '0'];

describe('nginx in containers', { skip, concurrency: false }, () => {
  it('is learned while it works, and not again after a restart', async () => {
    assert.deepEqual(await live(), wellDone);
    await agent.stop();
    const told = agent.matching({ event: 'fileward.rule.learned' });
    const rules = new Set(told.map(({ attributes }) => attributes['security_rule.name']));
    assert.deepEqual([...rules].sort(), [
      'conf',
      'content',
      'everything',
      'logs',
      'modules',
      'pid',
    ]);
    assert.ok(told.every(({ resource }) => resource['container.name'] === 'learning-web-1'));
    const pair = ({ attributes }: (typeof told)[number]) =>
      `${attributes['security_rule.name']} ${attributes['process.executable.path']} ${attributes['fileward.operation']} ${attributes['process.user.name']}`;
    const first = new Set(told.map(pair));
    assert.equal(first.size, told.length, 'each once');
    agent = await startAgent(readFileSync(agent.configurationFile, 'utf8'));
    assert.deepEqual(await live(), wellDone);
    await agent.stop();
    const again = agent.matching({ event: 'fileward.rule.learned' }).map(pair);
    assert.deepEqual(
      again.filter((each) => first.has(each)),
      [],
    );
    agent = await startAgent(readFileSync(agent.configurationFile, 'utf8'));
  });

  it('is listed with users and containers, and applied', async () => {
    const listed = await fileward('learned', 'list', '--json');
    const { pairs } = JSON.parse(listed.stdout);
    const users = (rule: string) =>
      pairs
        .filter(
          (pair: { rule: string; app: string }) =>
            pair.rule === rule && pair.app === '/usr/sbin/nginx',
        )
        .map(({ user }: { user: string }) => user);
    // The master reads the configuration, the workers serve.
    assert.deepEqual(users('conf'), ['root']);
    assert.deepEqual(users('content'), ['www-data']);
    const [pair] = pairs;
    assert.deepEqual(pair.workloads, [
      'learning-web-1 (localhost/nginx)',
      'learning-web-2 (localhost/nginx)',
    ]);

    const applied = await fileward('learned', 'apply', '--yes', '--allow-broad');
    assert.equal(applied.code, 0, applied.stderr);
    assert.match(applied.stdout, /^\+ .*\{ package_manager: true, .*user: root \}/m);
    assert.doesNotMatch(applied.stdout, /would deny/);
    assert.match(
      applied.stdout,
      /^\+ .*exe: \/usr\/bin\/cp, operations: .*user: root, workload: host/m,
    );
    const text = readFileSync(agent.configurationFile, 'utf8');
    for (const comment of [
      '# What nginx does',
      '# all of them',
      '# its own',
      '# Rotation comes later.',
      '# The same',
    ])
      assert.ok(text.includes(comment), comment);
    const [conf] = parse(text).groups[0].rules;
    assert.ok(
      conf.apps.some(
        ({ exe, user }: { exe: string; user: string }) =>
          exe === '/usr/sbin/nginx' && user === 'root',
      ),
    );
  });

  it('is never denied in protect, and what it did not do is', async () => {
    const text = readFileSync(agent.configurationFile, 'utf8').replaceAll(
      'mode: discover',
      'mode: protect',
    );
    writeFileSync(path.join(scratch.base, 'promoted.yaml'), text);
    assert.equal((await agent.reconfigure(text)).event, 'fileward.policy.loaded');
    for (let again = 0; again < 2; again += 1) assert.deepEqual(await live(), wellDone);

    const name = 'learning-web-other';
    const container = await podman.start(name, {
      image,
      command: ['/usr/sbin/nginx', '-g', 'daemon off;'],
    });
    await agent.record({
      event: 'fileward.workload.started',
      resource: { 'container.id': container.id },
    });
    const stolen = await podman.run(['exec', name, '/usr/bin/head', '/etc/nginx/nginx.conf']);
    assert.match(stolen.stderr, /Operation not permitted/);
    await agent.record({ event: 'fileward.file.denied', path: '/etc/nginx/nginx.conf' });
    await podman.ok('rm', '--force', '--time', '0', name);
    await agent.stop();
    const denied = agent
      .matching({ event: 'fileward.file.denied' })
      .map(
        ({ attributes }) => `${attributes['file.path']} ${attributes['process.executable.path']}`,
      );
    // What it needs to start is covered, too.
    assert.deepEqual(
      denied.filter((each) => !each.endsWith(' /usr/bin/head') && !isOtherAgent(each)),
      [],
    );
  });
});

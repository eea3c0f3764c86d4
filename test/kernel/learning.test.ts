/** From discover to protect on the host: what was learned and applied is never denied. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { freePorts } from '../backends/server-process.ts';
import { run } from './children.ts';
import { Agent, commandLine } from './harness.ts';
import { Scratch } from './scratch.ts';

const scratch = new Scratch();
const cat = path.join(scratch.base, 'cat');
const tee = path.join(scratch.base, 'tee');
/** An ordinary service. */
const httpd = path.join(scratch.base, 'httpd');
const file = path.join(scratch.base, 'fileward.config.yaml');
let agent: Agent;

const configuration = (mode: string): string => `# Payroll, as of today.
version: 1    # of this format
state: ${scratch.base}/state

groups:
  - name: pay      # money
    members: { host: true }
    mode: ${mode}
    rules:
      # Nobody else's business.
      - name: sheets
        path: ${scratch.files}/sheets/**
        behavior: block
        operations: [read, write]
        apps: [] # to be learned

      - { name: logs, path: '${scratch.files}/logs/**', behavior: block, operations: [ read, write ], apps: [] }
      - { name: www, path: "${scratch.files}/www/**", behavior: block, operations: [ read, write ], apps: [] }
`;

function fileward(...args: string[]) {
  const [node, command] = commandLine(args);
  return run(node, command, { env: { NO_COLOR: '1' }, timeoutMs: 60_000 });
}

function learned() {
  return agent.matching({ event: 'fileward.rule.learned' });
}

before(() => {
  copyFileSync('/bin/cat', cat);
  copyFileSync('/usr/bin/tee', tee);
  copyFileSync('/bin/busybox', httpd);
  for (const name of ['sheets/a', 'sheets/b', 'logs/x', 'www/index.html']) scratch.write(name);
});
after(async () => {
  await agent?.stop();
  scratch.remove();
});

/** What it answers, once it listens. */
async function serve(): Promise<string> {
  const [port] = await freePorts(1);
  const child = spawn('setpriv', [
    '--pdeathsig',
    'KILL',
    httpd,
    '-f',
    '-p',
    `127.0.0.1:${port}`,
    '-h',
    scratch.path('www'),
  ]);
  try {
    for (let look = 0; look < 200; look += 1) {
      const answer = await fetch(`http://127.0.0.1:${port}/index.html`).catch(() => undefined);
      if (answer !== undefined) return `${answer.status} ${await answer.text()}`;
      await sleep(20);
    }
    return 'no answer';
  } finally {
    child.kill();
  }
}

async function work(): Promise<number[]> {
  assert.equal(await serve(), '200 www/index.html\n');
  const results = [
    await run(cat, [scratch.path('sheets/a')]),
    await run(cat, [scratch.path('sheets/b')]),
    await run(tee, [scratch.path('sheets/b')], { input: 'more\n' }),
    await run(cat, [scratch.path('logs/x')]),
    // Reads and writes through one descriptor.
    await run('/usr/bin/perl', ['-e', 'open(F, "+<", $ARGV[0]) or exit 1', scratch.path('logs/x')]),
  ];
  return results.map(({ code }) => code ?? -1);
}

/** What is listed of an app, once it was seen so often. */
async function listed(app: string, rule: string, times: number) {
  for (let look = 0; look < 100; look += 1) {
    const { stdout } = await fileward('learned', 'list', '-c', file, '--json');
    const { pairs } = JSON.parse(stdout);
    const found = pairs.find(
      (pair: { app: string; rule: string }) => pair.app === app && pair.rule === rule,
    );
    if (found?.count >= times) return found;
  }
  throw new Error(`${app} was not seen ${times} times`);
}

describe('learning', { concurrency: false }, () => {
  it('tells each new pair once, also over a restart', async () => {
    agent = await Agent.start(scratch, configuration('discover'));
    assert.deepEqual(await work(), [0, 0, 0, 0, 0]);
    await agent.record({
      event: 'fileward.rule.learned',
      path: scratch.path('logs/x'),
      attributes: { 'process.executable.path': '/usr/bin/perl' },
    });
    await agent.stop();
    const first = learned().map(
      ({ attributes }) =>
        `${attributes['security_rule.name']} ${attributes['fileward.operation']} ${path.basename(String(attributes['process.executable.path']))}`,
    );
    assert.deepEqual(first.sort(), [
      'logs read cat',
      'logs read perl',
      'logs write perl',
      'sheets read cat',
      'sheets write tee',
      'www read httpd',
    ]);
    assert.equal(statSync(path.join(scratch.base, 'state/learned.db')).mode & 0o777, 0o600);
    agent = await Agent.start(scratch, configuration('discover'));
    assert.deepEqual(await work(), [0, 0, 0, 0, 0]);
  });

  it('lists them with what is known of them', async () => {
    const { first_seen, last_seen, policy, count, ...pair } = await listed(cat, 'sheets', 4);
    assert.equal(count, 4);
    assert.ok(first_seen <= last_seen && policy !== '');
    assert.deepEqual(pair, {
      group: 'pay',
      rule: 'sheets',
      app: cat,
      kind: 'binary',
      operations: ['read'],
      origin: 'same',
      users: ['root'],
      paths: [scratch.path('sheets/a'), scratch.path('sheets/b')],
      workloads: [],
    });
    const text = await fileward('learned', 'list', '-c', file, '--rule', 'logs');
    assert.match(text.stdout, /^pay\/logs\n.*\/cat +read +×2 .*as root\n/);
    assert.doesNotMatch(text.stdout, /sheets/);
  });

  it('shows what it would write, and without a terminal does not write it', async () => {
    const before = readFileSync(file, 'utf8');
    const { code, stdout, stderr } = await fileward('learned', 'apply', '-c', file);
    assert.equal(code, 1, stderr);
    assert.match(stdout, /^- {8}apps: \[\] # to be learned$/m);
    assert.match(
      stdout,
      /^\+ {8}apps: \[ \{ exe: .*\/cat, operations: \[ read \] \}, .* \] # to be learned$/m,
    );
    assert.match(
      stdout,
      /protect would deny it:\n +pay\/logs +\/usr\/bin\/perl +write .*interpreter/,
    );
    assert.match(stderr, /nothing was written.*--yes/);
    assert.equal(readFileSync(file, 'utf8'), before);
  });

  it('writes it, comments and all else kept', async () => {
    chmodSync(file, 0o640);
    const { code, stdout, stderr } = await fileward(
      'learned',
      'apply',
      '-c',
      file,
      '--yes',
      '--allow-broad',
    );
    assert.equal(code, 0, stderr);
    const text = readFileSync(file, 'utf8');
    const [sheets, logs] = parse(text).groups[0].rules;
    assert.deepEqual(sheets.apps, [
      { exe: cat, operations: ['read'] },
      { exe: tee, operations: ['write'] },
    ]);
    assert.deepEqual(logs.apps, [{ exe: cat, operations: ['read'] }, '/usr/bin/perl']);
    assert.equal(text.replace(/apps: \[ .* \]/g, 'apps: []'), configuration('discover'));
    assert.equal(statSync(file).mode & 0o777, 0o640);
    assert.doesNotMatch(stdout, /would deny/);
    const again = await fileward('learned', 'apply', '-c', file, '--yes');
    assert.match(again.stdout, /nothing to add/);
    assert.equal(again.code, 0);
    assert.equal(readFileSync(file, 'utf8'), text);
  });

  it('denies nothing of it in protect, and everybody else', async () => {
    const text = readFileSync(file, 'utf8').replace('mode: discover', 'mode: protect');
    writeFileSync(`${file}.new`, text);
    const { event } = await agent.reconfigure(text);
    assert.equal(event, 'fileward.policy.loaded');
    assert.deepEqual(await work(), [0, 0, 0, 0, 0]);
    assert.notEqual((await run('/bin/cat', [scratch.path('sheets/a')])).code, 0);
    await agent.record({ event: 'fileward.file.denied', path: scratch.path('sheets/a') });
    await agent.stop();
    assert.equal(agent.matching({ event: 'fileward.file.denied' }).length, 1);
    assert.deepEqual(learned(), []);
    assert.equal(existsSync(scratch.path('sheets/b')), true);
  });

  it('is read from its file while no agent runs', async () => {
    const { code, stdout } = await fileward('learned', 'list', '-c', file);
    assert.equal(code, 0);
    assert.match(stdout, /pay\/sheets/);
  });
});

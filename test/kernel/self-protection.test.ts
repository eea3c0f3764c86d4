/**
 * The agent guards its own program, state and configuration, and takes orders only from root. The program is a copy in
 * a temporary directory: no permission mark may land on what this machine runs on.
 */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openInChild, run, shell } from './children.ts';
import { Agent, commandLine } from './harness.ts';
import { Scratch } from './scratch.ts';

const root = path.resolve(import.meta.dirname, '../..');
const nobody = 65534;
const none = { groups: [] };

/** As it is installed beside what it needs, which is not fileward's alone; no work tree. */
function installProgram(scratch: Scratch): string {
  const program = path.join(scratch.base, 'program');
  mkdirSync(path.join(program, 'build/Release'), { recursive: true });
  const native = ['build/Release/fileward.node', 'build/Release/fileward_guardian'];
  for (const part of ['src', 'config', 'package.json', ...native]) {
    const file = path.join(root, part);
    if (existsSync(file)) cpSync(file, path.join(program, part), { recursive: true });
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(scratch.base, 'node_modules'));
  return program;
}

const installed = new Scratch();
const program = installProgram(installed);
process.env['FILEWARD_TEST_MAIN'] = path.join(program, 'src/main.ts');
after(() => installed.remove());

function fileward(scratch: Scratch, ...args: string[]) {
  const [node, command] = commandLine(args);
  return run(node, [...command, '--state', path.join(scratch.base, 'state')], {
    env: { NO_COLOR: '1' },
  });
}

async function statusOf(scratch: Scratch) {
  const { stdout, stderr } = await fileward(scratch, 'status', '--json');
  return JSON.parse(stdout || `"${stderr}"`);
}

const builtIn = (rule: string) => ({
  'security_rule.ruleset.name': 'fileward.self',
  'security_rule.name': rule,
});

describe('an agent that guards itself', () => {
  const scratch = new Scratch();
  const state = path.join(scratch.base, 'state');
  let agent: Agent;

  before(async () => {
    mkdirSync(state, { mode: 0o700 });
    writeFileSync(path.join(state, 'agent.lock'), '', { mode: 0o666 });
    agent = await Agent.start(scratch, none, {
      protectsItself: true,
      // Whatever umask it is started under.
      entrance: ['sh', '-c', 'umask 0; exec "$@"', 'sh'],
    });
  });
  after(async () => {
    await agent?.stop();
    scratch.remove();
  });

  it('denies others to write its state, and goes on keeping it itself', async () => {
    const files = readdirSync(state).filter((name) => statSync(path.join(state, name)).isFile());
    assert.ok(files.includes('agent.lock') && files.includes('learned.db'), files.join(' '));
    for (const name of files) {
      const file = path.join(state, name);
      assert.equal(await openInChild(file, 'O_WRONLY'), 'EPERM', file);
      assert.equal(await openInChild(file, 'O_RDONLY'), 'ok', file);
    }
    assert.equal(await openInChild(path.join(state, 'new'), 'O_WRONLY|O_CREAT'), 'EPERM');
    await agent.record({
      event: 'fileward.file.denied',
      path: path.join(state, 'learned.db'),
      attributes: { ...builtIn('state'), 'process.executable.name': 'opener' },
    });
    assert.equal((await fileward(scratch, 'pause', '--for', '1h', '--reason', 'x')).code, 0);
    assert.equal((await fileward(scratch, 'resume')).code, 0);
    assert.deepEqual(
      agent.records.filter(({ attributes }) => attributes['process.pid'] === agent.pid),
      [],
    );
  });

  it('tells who takes its socket away', async () => {
    const socket = path.join(state, 'fileward.sock');
    renameSync(socket, `${socket}.taken`);
    const record = await agent.record({
      event: 'fileward.file.violated',
      path: socket,
      attributes: builtIn('state'),
    });
    assert.equal(record.attributes['fileward.reason'], 'not_enforceable');
    renameSync(`${socket}.taken`, socket);
  });

  it('denies others to write its program, which everybody may run', async () => {
    const files = [
      'src/agent.ts',
      'config/sets.yaml',
      'package.json',
      'build/Release/fileward.node',
    ];
    for (const name of files) {
      const file = path.join(program, name);
      assert.equal(await openInChild(file, 'O_WRONLY'), 'EPERM', file);
      assert.equal(await openInChild(file, 'O_RDONLY'), 'ok', file);
    }
    const { built_in: rules } = await statusOf(scratch);
    assert.deepEqual(
      rules.map(({ rule, mode }: Record<string, unknown>) => `${rule} ${mode}`),
      [
        'canary monitor',
        'state protect',
        'program protect',
        'shared protect',
        'configuration protect',
      ],
    );
  });

  it('tells who changes its configuration, and counts its own rules nowhere else', async () => {
    await agent.reconfigure({ ...none, limits: { depth: 31 } });
    await agent.record({
      event: 'fileward.file.modified',
      path: agent.configurationFile,
      attributes: { ...builtIn('configuration'), 'process.pid': process.pid },
    });
    assert.deepEqual(
      agent.matching({ event: 'fileward.file.denied', path: agent.configurationFile }),
      [],
    );
    const [loaded] = agent.matching({ event: 'fileward.policy.loaded' });
    assert.match(loaded?.body ?? '', /^Loaded 1 rules /); // that of the harness
    const { groups, rules, workloads } = await statusOf(scratch);
    const names = JSON.stringify([groups, rules, workloads]);
    assert.ok(!names.includes('fileward.self'), names);
  });

  it('says nothing of who reads its state', async () => {
    await shell(`cat ${state}/* >/dev/null`);
    await agent.settle();
    const told = agent.records.filter(({ attributes }) =>
      JSON.stringify(attributes['process.executable.path'] ?? '').includes('cat'),
    );
    assert.deepEqual(told, []);
  });

  it('lets its state and program be written while that is paused', async () => {
    const target = ['--group', 'fileward.self'];
    const paused = await fileward(
      scratch,
      'pause',
      ...target,
      '--for',
      '1h',
      '--reason',
      'upgrade',
    );
    assert.equal(paused.code, 0, paused.stderr);
    assert.equal(await openInChild(path.join(program, 'src/agent.ts'), 'O_WRONLY'), 'ok');
    assert.equal((await fileward(scratch, 'resume', ...target)).code, 0);
    assert.equal(await openInChild(path.join(program, 'src/agent.ts'), 'O_WRONLY'), 'EPERM');
  });

  it('is found by a second one, which says so and touches nothing', async () => {
    const before = agent.records.length;
    const [node, command] = commandLine(
      ['run', '-c', agent.configurationFile, '--no-export'],
      true,
    );
    const { code, stderr } = await run(node, command);
    assert.equal(code, 3);
    assert.match(stderr, /another fileward agent is running/);
    await agent.settle();
    const told = agent.records.slice(before).filter(({ attributes }) => {
      return attributes['security_rule.ruleset.name'] === 'fileward.self';
    });
    assert.deepEqual(told, []);
  });

  it('keeps what is its own to its owner', () => {
    assert.equal(statSync(state).mode & 0o777, 0o700);
    for (const name of readdirSync(state)) {
      // That one was made by somebody else.
      if (name !== 'new') assert.equal(statSync(path.join(state, name)).mode & 0o777, 0o600, name);
    }
  });
});

describe('what changed of its own files while no agent ran', () => {
  it('is not told: the last to write them was the agent', async () => {
    const scratch = new Scratch();
    const compared = (line: { msg?: string }) => line.msg === 'compared with the last known state';
    for (const version of ['a', 'b']) {
      const configuration = { ...none, policy_version: version };
      const agent = await Agent.start(scratch, configuration, { protectsItself: true });
      await agent.logged(compared, 'the comparison');
      await agent.stop();
      const attributes = { 'fileward.reason': 'found_on_rescan' };
      assert.deepEqual(agent.matching({ attributes }), []);
    }
    scratch.remove();
  });
});

describe('run --no-self-protection', () => {
  it('leaves its own files to everybody, but for the canary', async () => {
    const scratch = new Scratch();
    const agent = await Agent.start(scratch, none);
    try {
      assert.equal(await openInChild(path.join(scratch.base, 'state/new'), 'O_RDWR|O_CREAT'), 'ok');
      assert.equal(await openInChild(path.join(program, 'package.json'), 'O_WRONLY'), 'ok');
      const { built_in: rules } = await statusOf(scratch);
      assert.deepEqual(
        rules.map(({ rule }: Record<string, unknown>) => rule),
        ['canary'],
      );
    } finally {
      await agent.stop();
      scratch.remove();
    }
  });
});

describe('the control socket', () => {
  it('turns away whoever is not root, whatever mode it has, and counts them', async () => {
    const scratch = new Scratch();
    const socket = path.join(scratch.base, 'open.sock');
    const env = { FILEWARD_SOCKET: socket };
    const agent = await Agent.start(scratch, none, { env });
    try {
      assert.equal(statSync(socket).mode & 0o777, 0o600);
      chmodSync(socket, 0o666);
      const ask =
        'use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un($ARGV[0])) or die;' +
        'send(S, qq({"command":"status"}\\n), MSG_NOSIGNAL); print while <S>';
      for (let times = 0; times < 3; times++) {
        const { stdout } = await run('perl', ['-e', ask, socket], { uid: nobody, gid: nobody });
        assert.deepEqual(JSON.parse(stdout), {
          ok: false,
          status: 3,
          error: 'only root may ask the agent; try sudo',
        });
      }
      const { stdout } = await run('perl', [
        '-e',
        `${ask.replace('print while', 'print scalar')}`,
        socket,
      ]);
      const { ok, result } = JSON.parse(stdout);
      assert.equal(ok, true);
      assert.equal(result.refused_clients, 3);
      const told = agent.log.filter(({ msg = '' }) => msg.includes('turned away'));
      assert.deepEqual(
        told.map(({ uid }) => uid),
        [nobody],
      );
    } finally {
      await agent.stop();
      scratch.remove();
    }
  });
});

describe('a configuration that others can write', () => {
  const scratch = new Scratch();
  const folder = path.join(scratch.base, 'etc');
  const file = path.join(folder, 'fileward.config.yaml');
  const imported = path.join(folder, 'rules.yaml');
  const secret = scratch.write('secret');
  const text = JSON.stringify({
    version: 1,
    import: './rules.yaml',
    state: path.join(scratch.base, 'state'),
    groups: [{ name: 'host', members: { host: true }, mode: 'protect' }],
  });
  const rule = { name: 'secret', path: secret, behavior: 'block', apps: [] };

  /** As it should be: everything root's, in a folder of root's below /tmp. */
  function restore(): void {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { mode: 0o755 });
    writeFileSync(file, text);
    writeFileSync(imported, JSON.stringify({ groups: [{ name: 'host', rules: [rule] }] }));
  }

  after(() => scratch.remove());

  const cases: readonly [what: string, spoil: () => void, why: RegExp][] = [
    ['by its mode', () => chmodSync(file, 0o646), /config\.yaml can be written .* \(mode 0646\)/],
    ['by its group', () => chmodSync(file, 0o664), /config\.yaml can be written by others/],
    ['by its owner', () => chownSync(file, nobody, 0), /config\.yaml is owned by uid 65534/],
    ['in its import', () => chmodSync(imported, 0o666), /rules\.yaml can be written by others/],
    ['by its folder', () => chmodSync(folder, 0o777), /etc can be written by others than root/],
    ['by the folder of its target', () => linkElsewhere(), /elsewhere is owned by uid 65534/],
  ];

  function linkElsewhere(): void {
    const elsewhere = path.join(folder, 'elsewhere');
    mkdirSync(elsewhere);
    renameSync(imported, path.join(elsewhere, 'rules.yaml'));
    symlinkSync('elsewhere/rules.yaml', imported);
    chownSync(elsewhere, nobody, nobody);
  }

  for (const [what, spoil, why] of cases) {
    it(`${what} is refused, with the place and the reason; check warns`, async () => {
      restore();
      spoil();
      const [node, command] = commandLine(['run', '-c', file, '--no-export'], true);
      const { code, stderr } = await run(node, command);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /^\/.*\.yaml:1:1: refused: /m);
      assert.match(stderr, why);
      if (what !== 'by its mode') return;
      const [, check] = commandLine(['check', '-c', file]);
      const checked = await run(node, check, { env: { NO_COLOR: '1' } });
      assert.equal(checked.code, 0);
      assert.match(checked.stdout, /warning: fileward run refuses it: /);
    });
  }

  it('is refused on reload, too: the running one stays', async () => {
    restore();
    const own = { ...JSON.parse(text), import: imported };
    const agent = await Agent.start(scratch, own, { protectsItself: true });
    try {
      assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
      writeFileSync(imported, JSON.stringify({ groups: [] }));
      chmodSync(imported, 0o666);
      agent.signal('SIGHUP');
      const { body } = await agent.record({
        event: 'fileward.policy.rejected',
        attributes: { 'otel.event.name': 'fileward.policy.rejected' },
      });
      assert.match(body, /rules\.yaml:1:1: refused: .*rules\.yaml can be written by others/);
      assert.equal(await openInChild(secret, 'O_RDONLY'), 'EPERM');
    } finally {
      await agent.stop();
    }
  });

  it('is taken with --no-self-protection, and warned of', async () => {
    restore();
    writeFileSync(imported, JSON.stringify({ groups: [] }));
    chmodSync(imported, 0o666);
    const agent = await Agent.start(scratch, { ...none, import: imported });
    try {
      const isWarning = ({ msg = '' }) => /rules\.yaml:1:1: fileward run refuses it/.test(msg);
      await agent.logged(isWarning, 'the warning');
    } finally {
      await agent.stop();
    }
  });
});

it("a group of the built-in one's name is a mistake", async () => {
  const scratch = new Scratch();
  const group = { name: 'fileward.self', members: { host: true }, rules: [] };
  const agent = await Agent.start(scratch, { groups: [group] }, { waitForReady: false });
  assert.equal((await agent.exited).code, 2);
  assert.match(agent.stderr, /group 'fileward\.self' is built in/);
  scratch.remove();
});

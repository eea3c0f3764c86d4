/** However a file is opened: the right operation, or `write` where it can't be proven. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { helper, type OpenOptions, openInChild } from './children.ts';
import { Agent } from './harness.ts';
import { place } from './place.ts';
import { Scratch } from './scratch.ts';
import { told } from './told.ts';

const scratch = new Scratch();
let agent: Agent;
let next = 0;

before(async () => {
  const rule = (operation: 'read' | 'write') => ({
    name: operation,
    path: `${scratch.path(operation)}/**`,
    behavior: 'block',
    operations: [operation],
    apps: [],
  });
  for (const folder of ['read', 'write']) scratch.directory(folder);
  agent = await Agent.start(scratch, {
    groups: [
      {
        name: 'host',
        members: { host: true },
        mode: 'protect',
        rules: [rule('read'), rule('write')],
      },
    ],
  });
});
after(async () => {
  await agent?.stop();
  scratch.remove();
});

interface Case {
  readonly flags: string;
  readonly options?: OpenOptions;
  /** What the open is: both for O_RDWR. */
  readonly is: readonly ('read' | 'write')[];
  /** It could not be proven a read. */
  readonly unproven?: boolean;
}

const cases: Readonly<Record<string, Case>> = {
  'open O_RDONLY': { flags: 'O_RDONLY', options: { call: 'open' }, is: ['read'] },
  'openat O_RDONLY': { flags: 'O_RDONLY', is: ['read'] },
  'openat O_WRONLY': { flags: 'O_WRONLY', is: ['write'] },
  'openat O_RDWR': { flags: 'O_RDWR', is: ['read', 'write'] },
  'openat O_RDONLY|O_TRUNC': { flags: 'O_RDONLY|O_TRUNC', is: ['read', 'write'] },
  'openat O_WRONLY|O_TRUNC': { flags: 'O_WRONLY|O_TRUNC', is: ['write'] },
  'openat O_WRONLY|O_APPEND': { flags: 'O_WRONLY|O_APPEND', is: ['write'] },
  'openat O_RDONLY|O_CREAT': { flags: 'O_RDONLY|O_CREAT', is: ['read'] },
  creat: { flags: 'O_WRONLY', options: { call: 'creat' }, is: ['write'] },
  'openat2 O_RDONLY': { flags: 'O_RDONLY', options: { call: 'openat2' }, is: ['read'] },
  'openat2 O_WRONLY': { flags: 'O_WRONLY', options: { call: 'openat2' }, is: ['write'] },
  'openat O_RDONLY of a threaded process': {
    flags: 'O_RDONLY',
    options: { threaded: true },
    is: ['read'],
  },
  'openat2 O_RDONLY of a threaded process': {
    flags: 'O_RDONLY',
    options: { call: 'openat2', threaded: true },
    is: ['read', 'write'],
    unproven: true,
  },
  'io_uring O_RDONLY': {
    flags: 'O_RDONLY',
    options: { call: 'io_uring' },
    is: ['read', 'write'],
    unproven: true,
  },
  'io_uring O_WRONLY': {
    flags: 'O_WRONLY',
    options: { call: 'io_uring' },
    is: ['read', 'write'],
    unproven: true,
  },
};

describe('an open', () => {
  for (const [name, { flags, options = {}, is, unproven = false }] of Object.entries(cases)) {
    it(`${name} is ${is.join(' and ')}${unproven ? ', not proven' : ''}`, async () => {
      for (const operation of ['read', 'write'] as const) {
        const denied = is.includes(operation);
        const file = place(scratch, `${operation}/${next++}`, 'content\n');
        await agent.settle();
        assert.equal(await openInChild(file, flags, options), denied ? 'EPERM' : 'ok', operation);
        if (denied) assert.equal(statSync(file).size, 8, 'denied before it truncates');
        await agent.settle();
        const denials = told(agent, file).filter((line) => line.startsWith('denied'));
        if (!denied) {
          assert.deepEqual(denials, []);
        } else if (unproven) {
          assert.deepEqual(denials, [`denied ${operation} intent_unproven 13`]);
        } else {
          assert.deepEqual(denials, [`denied ${operation} app_not_listed 13`]);
        }
      }
    });
  }

  it('of a 32-bit caller is what its own numbers say, or write', async () => {
    const readOnly = place(scratch, `read/${next++}`);
    const writeOnly = place(scratch, `write/${next++}`);
    await agent.settle();
    assert.equal(await openInChild(readOnly, 'O_RDONLY', { call: 'int80' }), 'EPERM');
    assert.equal(await openInChild(writeOnly, 'O_WRONLY', { call: 'int80' }), 'EPERM');
    const { attributes } = await agent.record({ event: 'fileward.file.denied', path: writeOnly });
    assert.equal(attributes['fileward.operation'], 'write');
  });

  it('with O_PATH is none', async () => {
    const file = place(scratch, `read/${next++}`);
    await agent.settle();
    assert.equal(await openInChild(file, 'O_PATH'), 'ok');
    await agent.settle();
    // Past the deadline they are let through, and told so.
    const wrong = told(agent, file).filter((line) => line.startsWith('denied'));
    assert.deepEqual(wrong, []);
  });
});

describe('many readers at once under operations: [write]', () => {
  it('are never denied, with the machine busy: 1,000,000 opens', { timeout: 300_000 }, async () => {
    const file = place(scratch, `write/${next++}`);
    await agent.settle();
    const hogs = Array.from({ length: availableParallelism() + 1 }, () =>
      spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' }),
    );
    try {
      const openers = 64;
      const times = Math.ceil(1_000_000 / openers);
      const answers = await Promise.all(
        Array.from({ length: openers }, () =>
          openInChild(file, 'O_RDONLY', { app: helper('opener'), times, timeoutMs: 280_000 }),
        ),
      );
      assert.deepEqual(new Set(answers), new Set(['ok']));
    } finally {
      for (const hog of hogs) hog.kill('SIGKILL');
    }
    await agent.settle();
    // Past the deadline they are let through, and told so.
    const wrong = told(agent, file).filter((line) => line.startsWith('denied'));
    assert.deepEqual(wrong, []);
  });
});

it('threads of one process get each their own answer', async () => {
  const file = place(scratch, `read/${next++}`);
  await agent.settle();
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => openInChild(file, 'O_RDONLY', { threaded: true })),
  );
  assert.deepEqual(new Set(answers), new Set(['EPERM']));
});

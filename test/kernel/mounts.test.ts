/** The agent keeps no filesystem of somebody else's busy: what is mounted can be unmounted at any time, covered or not. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { openInChild, run } from './children.ts';
import { Agent } from './harness.ts';
import { Scratch } from './scratch.ts';

const scratch = new Scratch();
const places = { before: 'before', later: 'later', covered: 'covered' };
let agent: Agent;

function mount(name: string): string {
  const place = scratch.directory(name);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'fileward-test', place]);
  return place;
}

before(async () => {
  mount(places.before);
  mount(places.covered);
  scratch.write(`${places.covered}/secret`);
  agent = await Agent.start(scratch, {
    groups: [
      {
        name: 'host',
        members: { host: true },
        mode: 'protect',
        rules: [
          {
            name: 'secret',
            path: `${scratch.path(places.covered)}/**`,
            behavior: 'block',
            apps: [],
          },
        ],
      },
    ],
  });
});
after(async () => {
  await agent?.stop();
  scratch.remove();
});

describe('unmounting', () => {
  it('what was there before the agent, and what came later', async () => {
    mount(places.later);
    await agent.settle();
    for (const name of [places.later, places.before]) {
      assert.deepEqual(await run('umount', [scratch.path(name)]), {
        code: 0,
        signal: null,
        stdout: '',
        stderr: '',
      });
    }
  });

  it('what a rule covers; the next one there is covered too', async () => {
    const file = scratch.path(places.covered, 'secret');
    for (let round = 0; round < 3; round++) {
      assert.equal(await openInChild(file, 'O_RDONLY'), 'EPERM');
      const { code, stderr } = await run('umount', [scratch.path(places.covered)]);
      assert.equal(code, 0, stderr);
      mount(places.covered);
      assert.match(await openInChild(file, 'O_RDWR|O_CREAT'), /^(ok|EPERM)$/);
      await agent.settle();
      const deadline = performance.now() + 20_000;
      while ((await openInChild(file, 'O_RDONLY')) !== 'EPERM') {
        assert.ok(performance.now() < deadline, 'never covered again');
      }
    }
  });

  it('many times in a row, each at once', async () => {
    const place = scratch.directory('again');
    const script = `for n in $(seq 100); do mount -t tmpfs none ${place} && umount ${place} || exit 1; done`;
    const { code, stderr } = await run('sh', ['-c', script]);
    assert.equal(code, 0, stderr);
  });
});

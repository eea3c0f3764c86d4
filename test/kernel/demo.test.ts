/** `fileward demo` as a newcomer runs it. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { it } from 'node:test';
import { run } from './children.ts';
import { commandLine } from './harness.ts';

const leftovers = () => readdirSync('/tmp').filter((name) => name.startsWith('fileward-demo-'));

it('shows the main job, ends by itself with 0, leaves nothing behind and says what to do next', async () => {
  const before = leftovers();
  const [node, command] = commandLine(['demo']);
  const { code, stdout, stderr } = await run(node, command, {
    env: { NO_COLOR: '1' },
    timeoutMs: 60_000,
  });
  assert.equal(code, 0, stdout + stderr);
  assert.equal(stderr, '');
  assert.equal([...stdout.matchAll(/^ {3}✓ /gm)].length, 6);
  assert.match(stdout, /denied +demo\/secret .*cat .*elsewhere\/harmless\.txt/);
  assert.match(stdout, /modified +demo\/data .*renamed .*notes\.txt to .*notes\.old/);
  assert.match(stdout, /fileward init/);
  assert.deepEqual(
    leftovers().filter((name) => !before.includes(name)),
    [],
  );
});

it('without root says what is missing and leaves with 3', async () => {
  const [node, command] = commandLine(['demo']);
  const { code, stderr } = await run('setpriv', [
    '--bounding-set=-sys_admin',
    '--inh-caps=-all',
    node,
    ...command,
  ]);
  assert.equal(code, 3);
  assert.match(stderr, /CAP_SYS_ADMIN/);
});

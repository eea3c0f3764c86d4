import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import {
  guardianSocket,
  killHung,
  type OtherEnd,
  takeOver,
} from '../../../src/control/guardian-takeover.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fileward-takeover-'));
after(() => rmSync(folder, { recursive: true }));

const line = '{"pid":7,"agent":5,"since_ns":"1790000000000000001","allowed":2,"denied":1}\n';
const legacy = { agent: 5, sinceNs: 1_790_000_000_000_000_001n, allowed: 2, denied: 1 };

/** Somebody who listens as a guardian does. @param answer - undefined: is stopped; deaf: so often it hears nothing */
async function setUp(t: TestContext, answer: string | undefined, deaf = 0) {
  let calls = 0;
  const socket = guardianSocket(mkdtempSync(path.join(folder, 'state-')));
  const heard: string[] = [];
  const killed: number[] = [];
  const server = createServer((client) => {
    calls += 1;
    if (calls <= deaf) return client.destroy();
    client.setEncoding('utf8').on('data', (text: string) => {
      heard.push(text);
      if (answer !== undefined) client.end(answer);
    });
  });
  server.listen(socket);
  await once(server, 'listening');
  t.after(() => server.close());
  const other: OtherEnd = { pidOf: () => 7, kill: (pid) => killed.push(pid) };
  return { socket, heard, killed, other };
}

describe('taking over', () => {
  it('ends the old guardian and says what it did', async (t) => {
    const { socket, other, heard, killed } = await setUp(t, line);
    await killHung(socket, other);
    assert.ok(existsSync(socket));
    assert.deepEqual(await takeOver(socket, other), legacy);
    assert.deepEqual(heard, ['look\n', 'end\n']);
    assert.equal(existsSync(socket), false);
    assert.equal(await takeOver(socket, other), undefined);
    assert.deepEqual(killed, []);
  });

  it('clears away the socket of one that has ended', async () => {
    const socket = guardianSocket(folder);
    writeFileSync(socket, '');
    const nobody = () => assert.fail('there is nobody to kill');
    assert.equal(await takeOver(socket, { pidOf: nobody, kill: nobody }), undefined);
    assert.equal(existsSync(socket), false);
  });

  it('asks again where it was not heard in time', async (t) => {
    const { socket, other, heard, killed } = await setUp(t, line, 2);
    assert.deepEqual(await takeOver(socket, other), legacy);
    assert.deepEqual([heard.length, killed], [1, []]);
  });

  it('kills one that does not answer', async (t) => {
    const { socket, other, killed } = await setUp(t, undefined);
    await killHung(socket, other);
    assert.deepEqual(killed, [7]);
  });
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentConnection } from '../../../src/control/client.ts';
import { Failure } from '../../../src/control/failure.ts';
import { type ControlHandler, ControlServer } from '../../../src/control/server.ts';
import { loadNative } from '../../../src/native/load.ts';
import type { FilewardRecord } from '../../../src/records/record.ts';

let folder: string;
let server: ControlServer;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'fileward-control-'));
});
afterEach(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

const toNdjson = (record: FilewardRecord) =>
  JSON.stringify({ event: record.event, body: record.body });

async function listen(handle: ControlHandler = async () => null): Promise<string> {
  server = new ControlServer({
    path: path.join(folder, 'fileward.sock'),
    handle,
    toNdjson,
    peerCredentials: loadNative().peerCredentials,
  });
  await server.listen();
  return path.join(folder, 'fileward.sock');
}

function connect(): Promise<AgentConnection> {
  return AgentConnection.open({ state: folder }, {});
}

function record(event: string, group: string, body = ''): FilewardRecord {
  return {
    time: 0n,
    event,
    severity: 9,
    body,
    attributes: { 'security_rule.ruleset.name': group, 'security_rule.name': 'r' },
    resource: {},
  };
}

describe('the control socket', () => {
  it('is for its owner only', async () => {
    assert.equal(statSync(await listen()).mode & 0o777, 0o600);
  });

  it('answers a request with what the handler gives', async () => {
    await listen(async (request) => ({ groups: [request.command] }));
    using agent = await connect();
    assert.deepEqual(await agent.request({ command: 'confirm' }), { groups: ['confirm'] });
  });

  it("passes a handler's refusal on with its status", async () => {
    await listen(async () => {
      throw new Failure(1, 'no such thing');
    });
    using agent = await connect();
    await assert.rejects(agent.request({ command: 'release', path: '/x' }), {
      status: 1,
      message: 'no such thing',
    });
  });

  it('says 3 where nobody listens', async () => {
    await listen();
    await assert.rejects(AgentConnection.open({ state: '/nonexistent' }, {}), { status: 3 });
  });

  it('refuses what is not a request and goes on', async () => {
    const socket = createConnection(await listen());
    const lines: string[] = [];
    const answered = new Promise<void>((resolve) => {
      socket.setEncoding('utf8').on('data', (text: string) => {
        lines.push(...text.split('\n').filter(Boolean));
        if (lines.length >= 4) resolve();
      });
    });
    const forever = JSON.stringify({ command: 'pause', for_ms: 1e15, reason: 'x' });
    socket.write(`no json\n{"command":"format"}\n${forever}\n{"command":"confirm"}\n`);
    await answered;
    socket.destroy();
    const statuses = lines
      .map((line) => JSON.parse(line))
      .map(({ ok, status }) => (ok ? 0 : status));
    assert.deepEqual(statuses.sort(), [0, 2, 2, 2]);
  });

  it('ends a client that sends a line without end', async () => {
    const socket = createConnection(await listen());
    socket.on('error', () => undefined);
    const ended = new Promise((resolve) => socket.once('close', resolve));
    socket.resume();
    socket.write('x'.repeat(1024 * 1024));
    await ended;
  });
});

describe('clients without end', () => {
  it('are told that they are too many, and let go', async () => {
    const socketFile = await listen();
    const open = await Promise.all(
      Array.from({ length: 64 }, async () => {
        const socket = createConnection(socketFile);
        await once(socket, 'connect');
        return socket;
      }),
    );
    const next = createConnection(socketFile).setEncoding('utf8');
    let answer = '';
    next.on('data', (text: string) => {
      answer += text;
    });
    await once(next, 'close');
    assert.deepEqual(JSON.parse(answer), { ok: false, status: 3, error: 'too many clients' });
    open[0]?.destroy();
    // Its place is free as soon as the server has seen it go.
    for (let answered = false; !answered; ) {
      using agent = await connect();
      answered = await agent.request({ command: 'confirm' }).then(
        () => true,
        () => false,
      );
    }
    for (const socket of open) socket.destroy();
  });

  it('get no more answers than they read', async () => {
    let asked = 0;
    const socketFile = await listen(async () => {
      asked += 1;
      return 'x'.repeat(128 * 1024);
    });
    const socket = createConnection(socketFile);
    await once(socket, 'connect');
    // Nobody reads yet: the answers fill what the kernel and the server keep for a client.
    socket.pause();
    const requests = 1000;
    socket.write('{"command":"confirm"}\n'.repeat(requests));
    for (let seen = -1; seen !== asked || asked === 0; ) {
      seen = asked;
      await sleep(200);
    }
    assert.ok(asked < 100, `${asked} requests were answered`);
    let lines = 0;
    socket.setEncoding('latin1').on('data', (text: string) => {
      lines += text.split('\n').length - 1;
    });
    socket.resume();
    while (lines < requests) await once(socket, 'data');
    socket.destroy();
    assert.equal(asked, requests);
  });

  it('are turned away unless they are root or the agent itself, and counted', async () => {
    const refused: number[] = [];
    const uid = (process.geteuid?.() ?? 0) + 1;
    server = new ControlServer({
      path: path.join(folder, 'fileward.sock'),
      handle: async () => null,
      toNdjson,
      // As the kernel tells it of somebody else; with real ones: test/kernel/self-protection.test.ts.
      peerCredentials: () => ({ pid: 1, uid, gid: uid }),
      onRefused: (peer) => refused.push(peer.uid),
    });
    await server.listen();
    using agent = await connect();
    await assert.rejects(agent.request({ command: 'confirm' }), {
      status: 3,
      message: /only root/,
    });
    assert.deepEqual(refused, [uid]);
  });
});

describe('tail', () => {
  it('gives the records that the filter lets through, as they are', async () => {
    await listen();
    using agent = await connect();
    await agent.request({ command: 'tail', group: 'web', event: 'denied' });
    server.publish(record('fileward.file.denied', 'host'));
    server.publish(record('fileward.file.modified', 'web'));
    server.publish(record('fileward.file.denied', 'web', 'this one'));
    assert.equal(
      await agent.nextLine(),
      '{"record":{"event":"fileward.file.denied","body":"this one"}}',
    );
  });

  it('drops for a reader that does not read, tells it how many, and holds nobody up', async () => {
    const socket = createConnection(await listen());
    socket.setEncoding('utf8');
    socket.write('{"command":"tail"}\n');
    await new Promise((resolve) => socket.once('readable', resolve));
    const total = 400;
    const big = 'x'.repeat(16 * 1024);
    for (let i = 0; i < total; i++) server.publish(record('fileward.file.denied', 'host', big));
    let text = '';
    let shown = 0;
    let dropped = 0;
    for await (const chunk of socket) {
      text += chunk;
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) {
        if (line.startsWith('{"record"')) shown++;
        dropped += Number(JSON.parse(line).dropped ?? 0);
      }
      if (shown + dropped >= total) break;
    }
    assert.ok(dropped > 0);
    assert.equal(shown + dropped, total);
  });
});

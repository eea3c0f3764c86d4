import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { AgentConnection } from '../../../src/control/client.ts';
import { Failure } from '../../../src/control/failure.ts';
import { type ControlHandler, ControlServer } from '../../../src/control/server.ts';
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
  server = new ControlServer({ path: path.join(folder, 'fileward.sock'), handle, toNdjson });
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

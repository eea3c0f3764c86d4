// What comes over the control socket, and what stands in the state directory: nothing of it ends the agent, and nothing
// but a request is one.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { ModeLimits } from '../../../src/control/mode-limits.ts';
import { ControlServer } from '../../../src/control/server.ts';
import { StateDirectory } from '../../../src/control/state-directory.ts';
import { loadNative } from '../../../src/native/load.ts';
import { mutated } from '../../fuzz/mutated-text.ts';
import { tries } from '../../fuzz/property.ts';

let folder: string;
before(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'fileward-hostile-'));
});
after(() => rmSync(folder, { recursive: true }));

const requests = [
  '{"command":"status"}',
  '{"command":"confirm"}',
  '{"command":"release","path":"/etc/shadow"}',
  '{"command":"pause","group":"host","rule":"shadow","for_ms":60000,"reason":"r"}',
  '{"command":"pause","for_ms":1000,"reason":"r"}',
  '{"command":"resume","group":"host"}',
  '{"command":"learned","after":1}',
  '{"command":"tail","event":"denied"}',
];

/** By hand what `requestSchema` says: the keys of each command, and what they may hold. */
function isRequest(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { command, ...rest } = value as Record<string, unknown>;
  const keys: Record<string, readonly string[]> = {
    status: [],
    confirm: [],
    release: ['path'],
    pause: ['group', 'rule', 'for_ms', 'reason'],
    resume: ['group', 'rule'],
    learned: ['after'],
    tail: ['group', 'rule', 'event'],
  };
  if (typeof command !== 'string' || !Object.hasOwn(keys, command)) return false;
  const isNumber = (key: string) => key === 'for_ms' || key === 'after';
  return (
    Object.keys(rest).every((key) => keys[command]?.includes(key)) &&
    Object.entries(rest).every(([key, each]) =>
      isNumber(key) ? Number.isInteger(each) : typeof each === 'string' && each.length <= 4096,
    ) &&
    (command !== 'pause' || ('for_ms' in rest && 'reason' in rest)) &&
    (command !== 'release' || 'path' in rest)
  );
}

describe('the control socket', () => {
  let server: ControlServer;
  let socket: string;
  const handled: unknown[] = [];

  before(async () => {
    socket = path.join(folder, 'fileward.sock');
    server = new ControlServer({
      path: socket,
      handle: async (request) => {
        handled.push(request);
        return {};
      },
      toNdjson: () => '{}',
      peerCredentials: loadNative().peerCredentials,
    });
    await server.listen();
  });
  after(() => server.close());

  /** All that it answers to these chunks, line by line. */
  function answers(chunks: readonly (string | Uint8Array)[]): Promise<string[]> {
    return new Promise((resolve, reject) => {
      const client = createConnection(socket);
      let text = '';
      client.on('data', (chunk) => {
        text += chunk.toString('utf8');
      });
      // What is sent behind a refusal meets a closed socket.
      client.on('error', (error) => {
        if (!['EPIPE', 'ECONNRESET'].includes(String(Reflect.get(error, 'code')))) reject(error);
      });
      client.on('close', () => resolve(text.split('\n').slice(0, -1)));
      for (const chunk of chunks) client.write(chunk);
      client.end();
    });
  }

  it('answers each line and takes nothing for a request that is none', async () => {
    const line = fc.oneof(
      mutated(requests),
      fc.constantFrom(...requests),
      fc.json(),
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.constantFrom('x'.repeat(70_000), '['.repeat(5000), '\n'.repeat(200), '{"a":'.repeat(2000)),
      fc.constantFrom(
        '{"command":"status","__proto__":{"x":1}}',
        '{"__proto__":{"command":"status"}}',
      ),
    );
    const chunk = fc.oneof(
      line.map((text) => `${text}\n`),
      line,
      fc.uint8Array({ maxLength: 30 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 5 }), async (chunks) => {
        handled.length = 0;
        for (const answer of await answers(chunks.filter((each) => each.length > 0))) {
          const told = JSON.parse(answer);
          assert.ok(told.ok === true || (told.status === 2 && told.error.length > 0), answer);
        }
        for (const request of handled) assert.ok(isRequest(request), JSON.stringify(request));
        assert.deepEqual(await answers(['{"command":"status"}\n']), ['{"ok":true,"result":{}}']);
      }),
      tries(250),
    );
  });
});

describe('a file of the state directory', () => {
  it('that is broken is set aside, and means nothing', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    const pauses = JSON.stringify([
      { group: 'host', rule: 'shadow', until: '2026-02-01T00:00:00.000Z', reason: 'r' },
    ]);
    const text = fc.oneof(
      mutated([pauses, '["host","web"]', '[]', '{}']),
      fc.json(),
      fc.string({ unit: 'binary', maxLength: 40 }),
    );
    const broken: string[] = [];
    const state = new StateDirectory(
      path.join(folder, 'state'),
      () => true,
      (file) => broken.push(file),
    );
    fc.assert(
      fc.property(text, text, (first, second) => {
        broken.length = 0;
        for (const [name, content] of [
          ['pauses.json', first],
          ['confirmed.json', second],
        ] as const) {
          writeFileSync(path.join(state.path, name), content);
        }
        const limits = new ModeLimits(state, {}, () => now);
        limits.untilNext();
        for (const file of broken) {
          assert.ok(!existsSync(file));
          assert.ok(existsSync(`${file}.broken`));
        }
        // No pause but one that stands there, with its time.
        const caps = limits.cap('host', 'shadow') === 'monitor';
        const told = broken.some((file) => file.endsWith('pauses.json')) ? [] : JSON.parse(first);
        const stands = told.some(
          (each: { group?: string; rule?: string; until: string }) =>
            (each.group ?? 'host') === 'host' &&
            (each.rule ?? 'shadow') === 'shadow' &&
            Date.parse(each.until) > now,
        );
        assert.equal(caps, stands);
        limits.pause({ group: 'host', for_ms: 1000, reason: 'r' });
        JSON.parse(readFileSync(path.join(state.path, 'pauses.json'), 'utf8'));
      }),
      tries(150),
    );
  });
});

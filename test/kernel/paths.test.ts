/** Names as the kernel has them: any bytes, any length, any number of them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { helper, openInChild } from './children.ts';
import { Agent } from './harness.ts';
import { Scratch } from './scratch.ts';

const scratch = new Scratch();
let agent: Agent;

const names: Readonly<Record<string, string>> = {
  spaces: ' a  b ',
  newline: 'two\nlines',
  emoji: 'naïve-🦊',
  'a glob of its own': '[*]{a,b}?',
  'quotes and a backslash': `"'\\n`,
  'a leading dot': '.hidden',
  'a leading dash': '-rf',
  '255 bytes': 'x'.repeat(255),
  '" (deleted)" at its end': 'real (deleted)',
  'control characters': '\u001b[31mred\u0007',
};

/** A folder chain whose files' paths are near PATH_MAX. */
const deep = path.join(scratch.path('deep'), ...Array.from({ length: 15 }, () => 'd'.repeat(250)));
const notUtf8 = Buffer.concat([
  Buffer.from(`${scratch.path('names')}/`),
  Buffer.from([0x66, 0xff, 0xfe]),
]);

before(async () => {
  mkdirSync(scratch.path('names'), { recursive: true });
  for (const name of Object.values(names)) writeFileSync(scratch.path('names', name), 'x');
  writeFileSync(notUtf8, 'x');
  mkdirSync(deep, { recursive: true });
  writeFileSync(path.join(deep, 'file'), 'x');
  mkdirSync(scratch.path('many'));
  for (let i = 0; i < 20_000; i++) writeFileSync(scratch.path('many', String(i)), '');
  mkdirSync(scratch.path('wide'));
  for (let i = 0; i < 10_000; i++)
    mkdirSync(scratch.path('wide', String(i % 100), String(i)), { recursive: true });
  writeFileSync(scratch.path('wide', '99', '9999', 'file'), 'x');
  const rule = (name: string, files: string) => ({
    name,
    path: files,
    behavior: 'block',
    operations: ['read'],
    apps: [],
  });
  agent = await Agent.start(scratch, {
    groups: [
      {
        name: 'host',
        members: { host: true },
        mode: 'protect',
        rules: [
          rule('names', `${scratch.path('names')}/*`),
          rule('deep', `${scratch.path('deep')}/**`),
          rule('many', `${scratch.path('many')}/1*`),
          rule('wide', `${scratch.path('wide')}/**`),
        ],
      },
    ],
  });
});
after(async () => {
  await agent?.stop();
  scratch.remove();
});

describe('a name with', () => {
  for (const [what, name] of Object.entries(names)) {
    it(what, async () => {
      const file = scratch.path('names', name);
      assert.equal(await openInChild(file, 'O_RDONLY'), 'EPERM');
      const { body, attributes } = await agent.record({
        event: 'fileward.file.denied',
        path: file,
      });
      assert.equal(attributes['security_rule.name'], 'names');
      assert.doesNotMatch(body, /\p{Cc}/u);
    });
  }

  it('bytes that are not UTF-8', async () => {
    // Node has no arguments of bytes: a shell makes them.
    const script = `exec "$0" openat O_RDONLY "$(printf '${scratch.path('names')}/f\\377\\376')"`;
    let answer = '';
    try {
      execFileSync('sh', ['-c', script, helper('opener')], { encoding: 'utf8', timeout: 20_000 });
    } catch (error) {
      answer = (error as { stdout: string }).stdout.trim();
    }
    assert.equal(answer, 'EPERM');
    const bytes = notUtf8.toString('base64');
    const record = await agent.record({ attributes: { 'fileward.file.path_bytes': bytes } });
    assert.equal(record.attributes['file.path'], notUtf8.toString('utf8'));
  });

  it('nearly PATH_MAX bytes before it', async () => {
    assert.ok(Buffer.byteLength(deep) > 3700);
    assert.equal(await openInChild(path.join(deep, 'file'), 'O_RDONLY'), 'EPERM');
    await agent.record({ event: 'fileward.file.denied', path: path.join(deep, 'file') });
  });
});

describe('a folder with 20,000 files', () => {
  it('is judged by name', async () => {
    assert.equal(await openInChild(scratch.path('many', '19999'), 'O_RDONLY'), 'EPERM');
    assert.equal(await openInChild(scratch.path('many', '9999'), 'O_RDONLY'), 'ok');
    assert.equal(
      await openInChild(scratch.path('many', '9999'), 'O_RDONLY', { times: 1000 }),
      'ok',
    );
  });
});

describe('10,000 folders under **', () => {
  it('are covered, the last one too', async () => {
    assert.equal(
      await openInChild(scratch.path('wide', '99', '9999', 'file'), 'O_RDONLY'),
      'EPERM',
    );
  });
});

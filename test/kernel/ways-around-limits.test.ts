/** Where there are more files than marks: what is then not guarded is told. */
import assert from 'node:assert/strict';
import { linkSync } from 'node:fs';
import { after, it } from 'node:test';
import { openInChild } from './children.ts';
import { Agent } from './harness.ts';
import { Scratch } from './scratch.ts';

const scratch = new Scratch('ext4');
let agent: Agent | undefined;
after(async () => {
  await agent?.stop();
  scratch.remove();
});

it('a hard link to a file that got no mark of its own goes around, and coverage.degraded says so', async () => {
  const files = Array.from({ length: 100 }, (_, at) => scratch.write(`many/${at}`));
  scratch.directory('elsewhere');
  agent = await Agent.start(scratch, {
    limits: { marks: 120 },
    groups: [
      {
        name: 'host',
        members: { host: true },
        mode: 'protect',
        rules: [
          {
            name: 'many',
            path: `${scratch.path('many')}/**`,
            behavior: 'block',
            operations: ['read', 'write'],
            apps: [],
          },
        ],
      },
    ],
  });
  const { body } = await agent.record({
    event: 'fileward.coverage.degraded',
    attributes: { 'error.type': 'mark_limit', 'security_rule.name': 'many' },
  });
  assert.match(body, /hard links/);
  const links = files.map((file, at) => {
    const link = scratch.path('elsewhere', String(at));
    linkSync(file, link);
    return link;
  });
  const answers = await Promise.all(links.map((link) => openInChild(link, 'O_RDONLY')));
  assert.ok(answers.includes('EPERM'), 'files with a mark of their own are guarded');
  assert.ok(answers.includes('ok'), 'the others are not: what was told is true');
  const own = await Promise.all(files.map((file) => openInChild(file, 'O_RDONLY')));
  assert.deepEqual(new Set(own), new Set(['EPERM']), 'under their own names all are');
});

/** What programs leave behind whose write was denied, and what is told of it. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { run, shell } from './children.ts';
import { Agent } from './harness.ts';
import { copyPerl, rename } from './perl.ts';
import { place } from './place.ts';
import { Scratch } from './scratch.ts';
import { told } from './told.ts';

const scratch = new Scratch();
const rotator = copyPerl(path.join(scratch.base, 'logrotate'));
let agent: Agent;

before(async () => {
  scratch.directory('tree');
  scratch.directory('logs');
  scratch.write('single', 'single\n');
  agent = await Agent.start(scratch, {
    groups: [
      {
        name: 'host',
        members: { host: true },
        mode: 'protect',
        rules: [
          {
            name: 'tree',
            path: `${scratch.path('tree')}/**`,
            behavior: 'block',
            operations: ['write'],
            apps: [],
          },
          {
            name: 'single',
            path: scratch.path('single'),
            behavior: 'block',
            operations: ['write'],
            apps: [],
          },
          {
            name: 'logs',
            path: `${scratch.path('logs')}/**`,
            behavior: 'block',
            operations: ['write'],
            apps: [rotator],
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

/** A file in the tree, with the content `before`. */
async function file(name: string, folder = 'tree'): Promise<string> {
  const inside = place(scratch, `${folder}/${name}`, 'before\n');
  await agent.settle();
  return inside;
}

/** What was told of a file since the move that made it. */
function toldOf(name: string): string[] {
  return told(agent, name).filter((line) => !/^(modified|violated) (rename|create)/.test(line));
}

describe('a denied write', () => {
  it('by `> file` leaves the file as it was', async () => {
    const name = await file('redirect');
    assert.notEqual((await shell(`echo after > ${name}`)).code, 0);
    assert.equal(readFileSync(name, 'utf8'), 'before\n');
    await agent.settle();
    assert.deepEqual(toldOf(name), ['denied write app_not_listed 13']);
  });

  it('by `>> file`, too', async () => {
    const name = await file('append');
    assert.notEqual((await shell(`echo after >> ${name}`)).code, 0);
    assert.equal(readFileSync(name, 'utf8'), 'before\n');
  });

  it('of a new name leaves an empty file, and one record says so', async () => {
    const name = scratch.path('tree', 'new');
    assert.notEqual((await shell(`echo content > ${name}`)).code, 0);
    assert.equal(statSync(name).size, 0);
    // The denial waits for the news of the creation, which comes by another way.
    await agent.record({ path: name });
    await agent.settle();
    assert.deepEqual(told(agent, name), ['denied write empty_file_left 17']);
  });

  it('after a move of the file: the move is a violation, the new name an empty file', async () => {
    const name = await file('moved');
    const away = scratch.path('away');
    assert.notEqual((await shell(`mv ${name} ${away} && echo after > ${name}`)).code, 0);
    assert.equal(readFileSync(away, 'utf8'), 'before\n');
    await agent.settle();
    const move = agent.matching({ path: name, attributes: { 'fileward.file.new_path': away } });
    assert.deepEqual(move.map(({ event }) => event).sort(), [
      'fileward.file.modified',
      'fileward.file.violated',
    ]);
    assert.ok(told(agent, name).includes('denied write empty_file_left 17'));
    assert.notEqual((await shell(`echo after > ${away}`)).code, 0, 'still protected there');
  });

  it('by sed -i in the covered folder leaves the file as it was', async () => {
    const name = await file('sed');
    assert.notEqual((await shell(`sed -i s/before/after/ ${name}`)).code, 0);
    assert.equal(readFileSync(name, 'utf8'), 'before\n');
  });

  it('by install leaves no new content', async () => {
    const name = await file('install');
    const source = scratch.write('install-source', 'after\n');
    assert.notEqual((await run('install', [source, name])).code, 0);
    assert.notEqual(existsSync(name) ? readFileSync(name, 'utf8') : '', 'after\n');
    await agent.settle();
    const lines = told(agent, name);
    // install removes the old file first, which has no gate.
    assert.ok(
      lines.some((line) => /^violated delete \w+ 17$/.test(line)),
      lines.join('\n'),
    );
    assert.ok(lines.includes('denied write empty_file_left 17'), lines.join('\n'));
  });

  it('by cp over it leaves the file as it was', async () => {
    const name = await file('cp');
    const source = scratch.write('cp-source', 'after\n');
    assert.notEqual((await run('cp', [source, name])).code, 0);
    assert.equal(readFileSync(name, 'utf8'), 'before\n');
  });

  it('by truncate(1), which opens, is denied', async () => {
    const name = await file('truncate');
    assert.notEqual((await run('truncate', ['-s', '0', name])).code, 0);
    assert.equal(readFileSync(name, 'utf8'), 'before\n');
  });
});

describe('an atomic replace of a single protected file from an uncovered temporary name', () => {
  it('can only be told: one rename with the covered name, and it stays protected', async () => {
    const name = scratch.path('single');
    await shell(`echo after > ${name}.tmp && mv ${name}.tmp ${name}`);
    await agent.settle();
    const violated = agent.matching({ event: 'fileward.file.violated', path: name });
    assert.equal(violated.length, 1);
    assert.equal(violated[0]?.severity, 17);
    assert.equal(violated[0]?.attributes['fileward.operation'], 'rename');
    assert.equal(violated[0]?.attributes['fileward.file.replaced'], true);
    assert.equal(violated[0]?.attributes['fileward.file.new_path'], `${name}.tmp`);
    assert.notEqual((await shell(`echo again > ${name}`)).code, 0);
  });
});

describe('a rotation by a listed app', () => {
  it('is a modification, the old file is released', async () => {
    const log = await file('app.log', 'logs');
    const rotated = scratch.path('rotated');
    assert.equal((await rename(log, rotated, { program: rotator })).code, 0);
    await agent.settle();
    const lines = agent.matching({ path: log, attributes: { 'fileward.file.new_path': rotated } });
    assert.deepEqual(
      lines.map(({ event }) => event),
      ['fileward.file.modified'],
    );
    assert.equal((await shell(`echo more >> ${rotated}`)).code, 0);
  });
});

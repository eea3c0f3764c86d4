/** Contract section 2: each cell of the mode table, for read, write and exec, and for a change without a gate. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { run } from './children.ts';
import { Agent } from './harness.ts';
import { copyPerl, rename } from './perl.ts';
import { Scratch } from './scratch.ts';
import { told } from './told.ts';

const modes = ['discover', 'monitor', 'protect'] as const;
const behaviors = ['block', 'watch'] as const;
const operations = ['read', 'write', 'exec'] as const;
type Mode = (typeof modes)[number];
type Operation = (typeof operations)[number];

const scratch = new Scratch();
/** Programs of the listed app, outside of what is covered. */
const listed = {
  shell: path.join(scratch.base, 'listed-sh'),
  perl: path.join(scratch.base, 'listed-perl'),
};
let agent: Agent;

before(async () => {
  copyFileSync('/bin/sh', listed.shell);
  copyPerl(listed.perl);
  const groups = modes.map((mode) => ({
    name: mode,
    members: { host: true },
    mode,
    rules: behaviors.flatMap((behavior) =>
      operations.map((operation) => ({
        name: `${behavior}-${operation}`,
        path: `${scratch.path(mode, behavior, operation)}/**`,
        behavior,
        operations: [operation],
        apps: Object.values(listed),
      })),
    ),
  }));
  for (const { mode, behavior, operation, file } of files()) {
    scratch.write(path.join(mode, behavior, operation, file));
    copyFileSync('/bin/sleep', scratch.path(mode, behavior, operation, file));
  }
  agent = await Agent.start(scratch, { groups });
});
after(async () => {
  await agent?.stop();
  scratch.remove();
});

function* files() {
  const names = ['by-listed', 'by-unlisted', 'other-read', 'other-write', 'other-exec'];
  names.push('moved-by-listed', 'moved-by-unlisted');
  for (const mode of modes)
    for (const behavior of behaviors)
      for (const operation of operations)
        for (const file of names) yield { mode, behavior, operation, file };
}

/**
 * Does it as the listed shell or as another one; true when it was let through. The process lives on for a moment before
 * and after: a watch rule tells `process_gone` or `process_changed` of one that doesn't.
 */
async function perform(operation: Operation, file: string, isListed: boolean): Promise<boolean> {
  const act = { read: ': < "$0"', write: 'echo more >> "$0"', exec: '"$0" 0.1' }[operation];
  const script = `sleep 0.1; ${act} && sleep 0.1`;
  const { code } = await run(isListed ? listed.shell : '/bin/sh', ['-c', script, file]);
  return code === 0;
}

/** What is told when an app that isn't listed opens, by the table. */
function expectedOfOpen(mode: Mode, behavior: 'block' | 'watch', operation: Operation): string[] {
  // The write that follows an open which was let through is a change of its own.
  const change = operation === 'write' ? ['modified write'] : [];
  if (behavior === 'watch') {
    if (operation === 'write') return mode === 'discover' ? ['learned write', ...change] : change;
    const accessed = `accessed ${operation} app_not_listed 9`;
    return mode === 'discover' ? [accessed, `learned ${operation}`] : [accessed];
  }
  if (mode === 'protect') return [`denied ${operation} app_not_listed 13`];
  if (mode === 'monitor') return [...change, `violated ${operation} app_not_listed 13`];
  return [`learned ${operation}`, ...change];
}

/** Without what the table doesn't say: the reason and severity of changes and learned rules. */
function inShort(lines: readonly string[]): string[] {
  return lines.map((line) => line.replace(/^(modified|learned) (\w+) .*/, '$1 $2'));
}

for (const mode of modes) {
  for (const behavior of behaviors) {
    describe(`${behavior} in ${mode}`, () => {
      for (const operation of operations) {
        const denies = mode === 'protect' && behavior === 'block';

        it(`${operation} by a listed app is quiet`, async () => {
          const file = scratch.path(mode, behavior, operation, 'by-listed');
          assert.ok(await perform(operation, file, true));
          await agent.settle();
          // A change by a listed app is reported where the rule blocks.
          const change = operation === 'write' && behavior === 'block' ? ['modified write'] : [];
          assert.deepEqual(inShort(told(agent, file)), change);
        });

        it(`${operation} by another app is ${denies ? 'denied' : 'let through and told'}`, async () => {
          const file = scratch.path(mode, behavior, operation, 'by-unlisted');
          assert.equal(await perform(operation, file, false), !denies);
          await agent.settle();
          assert.deepEqual(inShort(told(agent, file)), expectedOfOpen(mode, behavior, operation));
        });

        it(`what is not ${operation} is nobody's business`, async () => {
          for (const other of operations.filter((each) => each !== operation)) {
            const file = scratch.path(mode, behavior, operation, `other-${other}`);
            assert.ok(await perform(other, file, false), other);
            await agent.settle();
            assert.deepEqual(told(agent, file), []);
          }
        });
      }

      it('a rename by an app that is not listed', async () => {
        const file = scratch.path(mode, behavior, 'write', 'moved-by-unlisted');
        await rename(file, `${file}-2`);
        await agent.settle();
        const modified = 'modified rename';
        const expected = {
          discover: ['learned write', modified],
          monitor: [modified, 'violated rename not_enforceable 13'],
          protect: [modified, 'violated rename not_enforceable 17'],
        };
        const watched = mode === 'discover' ? ['learned write', modified] : [modified];
        assert.deepEqual(
          inShort(told(agent, file)),
          behavior === 'block' ? expected[mode] : watched,
        );
        const [record] = agent.matching({
          path: file,
          attributes: { 'fileward.operation': 'rename' },
        });
        assert.equal(record?.attributes['fileward.file.new_path'], `${file}-2`);
        assert.equal(record?.attributes['process.executable.path'], '/usr/bin/perl');
      });

      it('a rename by a listed app', async () => {
        const file = scratch.path(mode, behavior, 'write', 'moved-by-listed');
        await rename(file, `${file}-2`, { program: listed.perl });
        await agent.settle();
        assert.deepEqual(
          inShort(told(agent, file)),
          behavior === 'block' ? ['modified rename'] : [],
        );
      });
    });
  }
}

it('every record carries its mode, verdict, rule and process', async () => {
  const file = scratch.path('protect', 'block', 'read', 'by-unlisted');
  const record = await agent.record({ event: 'fileward.file.denied', path: file });
  const { attributes } = record;
  assert.equal(attributes['fileward.mode'], 'protect');
  assert.equal(attributes['fileward.verdict'], 'deny');
  assert.equal(attributes['security_rule.name'], 'block-read');
  assert.equal(attributes['security_rule.ruleset.name'], 'protect');
  assert.match(String(attributes['process.executable.path']), /\/dash$/);
  assert.equal(attributes['process.user.id'], 0);
  assert.equal(attributes['fileward.count'], 1);
  assert.match(record.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
  assert.ok(record.body.length > 0 && !record.body.includes('\n'));
});

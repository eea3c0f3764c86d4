/** What three nodes learned, as a real Collector's file exporter wrote it, merged into one commented configuration. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { parse } from 'yaml';
import { run } from '../kernel/children.ts';
import { Agent, commandLine } from '../kernel/harness.ts';
import { Scratch } from '../kernel/scratch.ts';
import { missingBackends } from './programs.ts';
import { stopServers, until } from './server-process.ts';
import { type CollectorServer, startCollector } from './servers.ts';

const skip = missingBackends() || (process.getuid?.() !== 0 && 'fanotify needs root');
const nodes = ['node-1', 'node-2', 'node-3'];
const learned = 'fileward.rule.learned';

const scratches: Scratch[] = [];
after(async () => {
  await stopServers();
  for (const scratch of scratches) scratch.remove();
});

/** An agent of its own for each node; the first two see the same, the third another program. */
async function learnOn(node: string, collector: CollectorServer, apps: string): Promise<void> {
  const scratch = new Scratch();
  scratches.push(scratch);
  const file = scratch.write('web/site.conf');
  const rule = { name: 'conf', path: scratch.path('web/**'), behavior: 'block', apps: [] };
  const agent = await Agent.start(
    scratch,
    {
      telemetry: { protocol: 'grpc', endpoint: collector.grpcUrl },
      groups: [
        {
          name: 'web',
          members: { host: true },
          mode: 'discover',
          rules: [{ ...rule, operations: ['read', 'write'] }],
        },
      ],
    },
    { exports: true, env: { OTEL_RESOURCE_ATTRIBUTES: `host.name=${node}` } },
  );
  const program = path.join(apps, node === 'node-3' ? 'head' : 'cat');
  assert.equal((await run(program, [file])).code, 0);
  await agent.record({ event: learned });
  await agent.stop();
}

describe('learned merge', { skip }, () => {
  it('puts together what collectors wrote of three nodes', async () => {
    const collector = await startCollector({ arrivals: true });
    const place = new Scratch();
    scratches.push(place);
    for (const name of ['cat', 'head'])
      copyFileSync(`/usr/bin/${name}`, path.join(place.base, name));
    for (const node of nodes) await learnOn(node, collector, place.base);
    const of = (event: string | undefined) => event === learned;
    await until(
      'the learned rules of three nodes',
      () => collector.arrivals().filter(({ eventName }) => of(eventName)).length >= 3,
    );

    // As the nodes' own collectors would have written it, and one of them was cut off.
    const lines = readFileSync(path.join(collector.directory, 'arrivals.jsonl'), 'utf8').split(
      '\n',
    );
    const files = nodes.map((node) => {
      const own = lines.filter((line) => line.includes(`"${node}"`)).join('\n');
      const file = path.join(place.base, `${node}.jsonl`);
      writeFileSync(
        file,
        node === 'node-2' ? `nonsense\n${own}\n{"resourceLogs":[{"res` : `${own}\n`,
      );
      return file;
    });
    const config = path.join(place.base, 'fileward.config.yaml');
    const text = `# Of all our web servers.
version: 1
groups:
  - name: web    # three of them
    members: { host: true }
    mode: discover
    rules:
      - { name: conf, path: /srv/web/**, behavior: block, operations: [ read, write ] } # served
`;
    writeFileSync(config, text);
    const merge = (...more: string[]) => {
      const [node, args] = commandLine(['learned', 'merge', ...files, '-c', config, ...more]);
      return run(node, args, { env: { NO_COLOR: '1' } });
    };

    const shown = await merge();
    assert.equal(shown.code, 1, shown.stderr);
    assert.match(shown.stdout, /\/cat +read +×2 .*on 2 nodes: node-1, node-2/);
    assert.match(shown.stdout, /\/head +read +×1 .*on 1 node: node-3/);
    assert.match(shown.stdout, /^from 3 nodes, 3 records$/m);
    assert.match(shown.stderr, /node-2\.jsonl:1: not a line of records, skipped/);
    assert.equal(readFileSync(config, 'utf8'), text);

    const written = await merge('--yes');
    assert.equal(written.code, 0, written.stderr);
    const now = readFileSync(config, 'utf8');
    assert.deepEqual(
      parse(now).groups[0].rules[0].apps.map(({ exe }: { exe: string }) => path.basename(exe)),
      ['cat', 'head'],
    );
    assert.equal(now.replace(/, apps: \[ .* \] \}/, ' }'), text);
    assert.match((await merge()).stdout, /nothing to add/);
  });
});

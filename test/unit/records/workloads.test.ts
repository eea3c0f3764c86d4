/** Records of files and processes in containers: whose resource they carry, and who did it as seen from there. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { after, describe, it } from 'node:test';
import type { FilewardRecord } from '../../../src/records/record.ts';
import { configurationOf, containerOf, encode, fact, rule, underTest } from './support.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fileward-workloads-'));
after(() => rmSync(folder, { recursive: true }));

const web = containerOf(3, 'web-1');
const db = containerOf(4, 'db-1');
const inWeb = { workload: 3, actor_workload: 3 };
const passwd = 'root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n';

function about({ attributes, resource }: FilewardRecord | undefined = noRecord): string {
  return [
    resource['container.name'] ?? 'host',
    attributes['fileward.process.origin'] ?? 'same',
    attributes['fileward.process.container.id'] ?? '',
    attributes['process.user.id'] ?? '',
    attributes['process.user.name'] ?? '',
  ].join(' ');
}
const noRecord: FilewardRecord = {
  ...{ time: 0n, event: '', severity: 0, body: '', attributes: {}, resource: {} },
};

/** Until what was asked of containers has come. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await setImmediate();
}

describe('a record of a container', () => {
  it("carries the resource of the file's workload, and the host's of the machine", async () => {
    const { book, accept, records } = underTest();
    book.update([web, db]);
    await settle();
    accept(encode({ fields: inWeb }), encode({ fields: { workload: 4, actor_workload: 4 } }));
    accept(encode({}));
    const resources = records.map(({ resource }) => resource);
    assert.deepEqual(resources, [
      { 'service.name': 'fileward', ...web.resource },
      { 'service.name': 'fileward', ...db.resource },
      { 'service.name': 'fileward' },
    ]);
  });

  it('has one resource object as long as the facts are the same', async () => {
    const { book, accept, records } = underTest();
    book.update([web]);
    await settle();
    accept(encode({ fields: inWeb }));
    book.update([{ ...web, asking: true }]);
    accept(encode({ fields: inWeb, strings: { path: '/b' } }));
    assert.equal(records[0]?.resource, records[1]?.resource);
    book.update([{ ...web, resource: { ...web.resource, 'container.image.name': 'nginx' } }]);
    accept(encode({ fields: inWeb, strings: { path: '/c' } }));
    assert.equal(records[2]?.resource['container.image.name'], 'nginx');
  });

  it('says where a process came from when it is not of that workload', async () => {
    const { book, accept, records } = underTest();
    book.update([web, db]);
    await settle();
    accept(
      encode({ fields: { workload: 3, actor_workload: 0 } }),
      encode({ fields: { workload: 3, actor_workload: 4 } }),
      encode({ fields: { workload: 0, actor_workload: 4 } }),
      encode({ fields: { workload: 3, actor_workload: 0xffff_ffff } }),
    );
    assert.deepEqual(records.map(about), [
      'web-1 host  0 root',
      `web-1 container ${db.containerId} 0 root`,
      `host container ${db.containerId} 0 root`,
      'web-1 same  0 ',
    ]);
  });

  it("has users as the opener's own passwd and user namespace have them", async () => {
    const { book, accept, records, passwd: files } = underTest();
    const mapped = containerOf(5, 'mapped', { pid: 50, uidMap: [[0, 100_000, 65_536]] });
    files.set(50, async () => passwd);
    book.update([mapped]);
    await settle();
    for (const euid of [101_000, 100_000, 7]) {
      accept(encode({ fields: { workload: 5, actor_workload: 5, euid, ruid: 100_001 } }));
    }
    await settle();
    assert.deepEqual(records.map(about), [
      'mapped same  1000 app',
      'mapped same  0 root',
      // Not of its user namespace at all.
      'mapped same  65534 ',
    ]);
    assert.equal(records[0]?.attributes['process.real_user.id'], 1);
  });

  it('waits a moment for a name that was added after passwd was read', async () => {
    const test = underTest();
    let content = 'root:x:0:0::/:/bin/sh\n';
    test.passwd.set(60, async () => content);
    test.book.update([containerOf(6, 'web-2', { pid: 60 })]);
    await settle();
    content = passwd;
    test.clock.ms += 2000;
    test.accept(encode({ fields: { workload: 6, actor_workload: 6, euid: 1000 } }));
    assert.equal(test.records.length, 0);
    assert.equal(test.pipeline.books().waiting, 1);
    await settle();
    assert.deepEqual(test.records.map(about), ['web-2 same  1000 app']);
    assert.equal(test.pipeline.books().waiting, 0);
  });

  it('does not wait for a container that never answers', async () => {
    const test = underTest();
    test.passwd.set(70, () => new Promise(() => undefined));
    test.book.update([containerOf(7, 'hung', { pid: 70 })]);
    test.accept(encode({ fields: { workload: 7, actor_workload: 7, euid: 1000 } }));
    await test.pipeline.flush();
    assert.deepEqual(test.records.map(about), ['hung same  1000 ']);
  });

  it('finds its facts for minutes after the container has gone, and then only the host', async () => {
    const { book, accept, records, clock } = underTest();
    book.update([web]);
    await settle();
    book.update([]);
    clock.ms += 4 * 60_000;
    book.update([]);
    accept(encode({ fields: inWeb }));
    clock.ms += 2 * 60_000;
    book.update([]);
    accept(encode({ fields: inWeb, strings: { path: '/b' } }));
    assert.deepEqual(
      records.map(({ resource }) => resource['container.name']),
      ['web-1', undefined],
    );
  });

  it('leaves out what is said of the container or pod that the agent runs in', async () => {
    const { book } = underTest();
    const host = { 'k8s.pod.name': 'fileward-x', 'container.id': 'own', 'k8s.node.name': 'n1' };
    Object.assign(book.host.resource, host);
    book.update([web]);
    await settle();
    const { resource } = book.of(3) ?? {};
    assert.deepEqual(resource, {
      'service.name': 'fileward',
      'k8s.node.name': 'n1',
      ...web.resource,
    });
  });
});

describe('equal events', () => {
  it('of two containers, or by processes of two, are told apart', async () => {
    const { book, accept, told, pass, records } = underTest();
    book.update([web, db]);
    await settle();
    const each = [
      inWeb,
      { workload: 4, actor_workload: 4 },
      { workload: 3, actor_workload: 0 },
      { workload: 3, actor_workload: 4 },
    ];
    accept(...[...each, ...each, ...each].map((fields) => encode({ fields })));
    assert.equal(told().length, 4);
    pass(11_000);
    assert.deepEqual(
      records
        .slice(4)
        .map((record) => [about(record).split(' ')[0], record.attributes['fileward.count']]),
      [
        ['web-1', 2],
        ['db-1', 2],
        ['web-1', 2],
        ['web-1', 2],
      ],
    );
  });

  it('beyond max_records are counted in each container', async () => {
    const limited = rule('data', { maxRecords: { count: 1, windowMs: 10_000 } });
    const { book, accept, pass, records } = underTest(configurationOf([limited]));
    book.update([web, db]);
    await settle();
    for (const workload of [3, 3, 3, 4, 4]) {
      const path = `/${records.length}${Math.random()}`;
      accept(encode({ fields: { workload, actor_workload: workload }, strings: { path } }));
    }
    pass(11_000);
    const rests = records.filter(({ body }) => body.includes('beyond its max_records'));
    assert.deepEqual(
      rests.map(({ resource, attributes }) => [
        resource['container.name'],
        attributes['fileward.count'],
      ]),
      [
        ['web-1', 2],
        ['db-1', 1],
      ],
    );
  });

  it('lost in a container are its gap', async () => {
    const { book, accept, pass, records } = underTest();
    book.update([web]);
    await settle();
    const lost = { kind: 'lost', outcome: 'not_covered', strings: { path: '/etc' } } as const;
    accept(encode({ ...lost, fields: { workload: 3, detail: 1, count: 4 } }));
    accept(encode({ ...lost, fields: { detail: 1, count: 5 } }));
    pass(2000);
    assert.deepEqual(
      records.map(({ resource, attributes }) => [
        resource['container.name'] ?? 'host',
        attributes['fileward.lost.tree'],
        attributes['fileward.count'],
      ]),
      [
        ['web-1', '/etc', 4],
        ['host', '/etc', 5],
      ],
    );
  });
});

describe('a change in a container', () => {
  it('is hashed by its path there, and never passed on as known of the host', async () => {
    const test = underTest();
    test.book.update([web]);
    await settle();
    const file = path.join(folder, 'changed');
    writeFileSync(file, 'content');
    const { dev, ino, size, mtimeNs, mode } = statSync(file, { bigint: true });
    const fields = { ...inWeb, dev, ino, size, mtime_ns: mtimeNs, file_mode: Number(mode) };
    test.accept(fact('made', { fields, strings: { path: file } }));
    await test.pipeline.flush();
    const modified = test.records.find(({ event }) => event === 'fileward.file.modified');
    const sha256 = createHash('sha256').update('content').digest('hex');
    assert.equal(modified?.attributes['fileward.file.sha256'], sha256);
    assert.deepEqual(test.pipeline.takeHashes(), []);
  });

  it('is told apart from one of the same device and inode in another', async () => {
    const { pipeline, book, accept, told } = underTest();
    book.update([web, db]);
    await settle();
    for (const workload of [3, 4]) {
      const fields = { workload, actor_workload: workload };
      accept(fact('written', { fields }), fact('closed_write', { fields }));
    }
    await pipeline.flush();
    assert.equal(told().filter((each) => each.startsWith('modified write')).length, 2);
  });
});

// The databases of the state directory with bytes changed under them: each is read, or said to be damaged, so that its
// owner sets it aside; never anything else that would come back with each start, and never values of another kind.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import * as learned from '../../../src/learning/learned-store.ts';
import { stateBytes } from '../../../src/native/covered-files.ts';
import * as known from '../../../src/records/known-files-store.ts';
import * as outbox from '../../../src/telemetry/outbox-store.ts';
import { tries } from '../../fuzz/property.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fileward-damaged-'));
after(() => rmSync(folder, { recursive: true }));

/** Bytes of a good file, changed here and there, cut, or quite other ones. */
function damaged(good: Buffer, texts: readonly string[]): fc.Arbitrary<Buffer> {
  const places = texts.map((text) => good.indexOf(text)).filter((at) => at >= 0);
  const at = fc.oneof(
    fc.nat({ max: good.length - 1 }),
    fc.nat({ max: 120 }),
    // In the rows, where SQLite's own checks end.
    fc.tuple(fc.constantFrom(...places), fc.integer({ min: -40, max: 60 })).map(([place, off]) => {
      return Math.min(Math.max(place + off, 0), good.length - 1);
    }),
  );
  const change = fc.record({ at, value: fc.nat({ max: 255 }) });
  const changed = fc.array(change, { minLength: 1, maxLength: 5 }).map((changes) => {
    const copy = Buffer.from(good);
    for (const each of changes) copy[each.at] = each.value;
    return copy;
  });
  return fc.oneof(
    { weight: 8, arbitrary: changed },
    { weight: 1, arbitrary: fc.nat({ max: good.length }).map((end) => good.subarray(0, end)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
  );
}

interface Store {
  readonly name: string;
  readonly texts: readonly string[];
  readonly make: (file: string) => void;
  /** Reads all there is and looks at its kinds. */
  readonly read: (file: string) => void;
  readonly isCorrupt: (error: unknown) => boolean;
}

const basis: known.Basis = {
  policy: { json: '{"format":1}', resolved: { '/var/run': '/run' } },
  mounts: [{ point: '/', type: 'ext4' }],
  bootId: 'a-boot-id',
};

function using<S extends { close(): void }>(store: S, use: (store: S) => void): void {
  try {
    use(store);
  } finally {
    store.close();
  }
}

const stores: readonly Store[] = [
  {
    name: 'outbox.db',
    texts: ['a-body', 'evidence', 'a-resource'],
    make: (file) =>
      using(new outbox.OutboxStore(file), (store) => {
        const chunk = {
          lane: 'evidence' as const,
          aboutLoss: false,
          records: 2,
          fromNs: 1_700_000_000_000_000_000n,
          toNs: 1_700_000_000_000_000_001n,
          resource: Buffer.from('a-resource'),
          body: Buffer.from('a-body of two records'),
        };
        const insert = [1, 2, 3].map((id) => ({ ...chunk, id }));
        store.write({ insert, remove: [], refused: [{ reason: 'r', ...chunk }] });
      }),
    read: (file) =>
      using(new outbox.OutboxStore(file), (store) => {
        const { records, lastId } = store.contents();
        assert.ok(!Number.isNaN(records) && !Number.isNaN(lastId));
        for (const { id, records: count, fromNs, resource, body } of store.read(
          'evidence',
          0,
          1e9,
        )) {
          assert.ok(Number.isSafeInteger(id) && count > 0 && typeof fromNs === 'bigint');
          assert.ok(resource.length >= 0 && body.length >= count);
        }
      }),
    isCorrupt: outbox.isCorrupt,
  },
  {
    name: 'learned.db',
    texts: ['shadow', '/usr/bin/cat', '"kind"', '/etc/example'],
    make: (file) =>
      using(new learned.LearnedStore(file), (store) => {
        const names = { group: 'host', rule: 'shadow' };
        const pair = {
          ...names,
          ...{ id: 1, ruleId: 1, app: '/usr/bin/cat', operation: 'read' as const, user: '' },
          ...{ origin: 'same' as const, kind: 'binary' as const, packageManager: '', count: 3 },
          ...{ firstMs: 1, lastMs: 2, users: ['root'], paths: ['/etc/example'], workloads: [] },
          ...{ policy: 'p', fingerprint: 'f' },
        };
        store.write({
          rules: [
            { ...names, id: 1, fingerprint: 'f', behavior: 'block', operations: ['read', 'write'] },
          ],
          pairs: [pair, { ...pair, id: 2, app: '/usr/bin/dd' }],
          refusals: [{ group: 'host', sinceMs: 5, count: 1 }],
          goneRules: [],
        });
      }),
    read: (file) =>
      using(new learned.LearnedStore(file), (store) => {
        const { pairs, rules } = store.read();
        for (const { app, count, paths } of pairs) {
          assert.ok(typeof app === 'string' && typeof count === 'number' && Array.isArray(paths));
        }
        for (const { operations } of rules) {
          assert.ok(operations.every((each) => ['read', 'write', 'exec'].includes(each)));
        }
      }),
    isCorrupt: learned.isCorrupt,
  },
  {
    name: 'known-files.db',
    texts: ['/etc/shadow', 'a-boot-id', '"policy"', 'SSSS'],
    make: (file) =>
      using(new known.KnownFilesStore(file), (store) => {
        const state = Buffer.alloc(stateBytes, 'S');
        const sha256 = Buffer.alloc(32, 'H');
        const files = ['/etc/shadow', '/etc/passwd'].map((name) => ({
          path: Buffer.from(name),
          state,
          sha256,
        }));
        store.write(files, JSON.stringify(basis));
      }),
    read: (file) =>
      using(new known.KnownFilesStore(file), (store) => {
        assert.ok(Array.isArray(store.basis?.mounts ?? []));
        for (const { path: name, state, sha256 } of store.files()) {
          assert.ok(name.length >= 0 && state.length === stateBytes);
          assert.ok(sha256 === undefined || sha256.length === 32);
        }
      }),
    isCorrupt: known.isCorrupt,
  },
];

describe('a damaged database', () => {
  for (const { name, texts, make, read, isCorrupt } of stores) {
    it(`${name} is read, or said to be damaged`, () => {
      const file = path.join(folder, name);
      make(file);
      const good = readFileSync(file);
      read(file);
      let refused = 0;
      fc.assert(
        fc.property(damaged(good, texts), (bytes) => {
          for (const more of ['', '-wal', '-shm']) rmSync(file + more, { force: true });
          writeFileSync(file, bytes);
          try {
            read(file);
          } catch (error) {
            if (error instanceof assert.AssertionError) throw error;
            assert.ok(isCorrupt(error), String(error));
            refused += 1;
          }
        }),
        tries(250),
      );
      assert.ok(refused > 0);
    });
  }
});

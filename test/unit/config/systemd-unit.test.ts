/** config/systemd/fileward.service: what it promises in docs/hardening.md, and what would break the agent. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';

const root = path.resolve(import.meta.dirname, '../../..');
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const unit = read('config/systemd/fileward.service');
const directives = new Map(
  [...unit.matchAll(/^(\w+)=(.*)$/gm)].map(([, key = '', value = '']) => [key, value]),
);
const analyze = spawnSync('systemd-analyze', ['--version']).error === undefined;

describe('config/systemd/fileward.service', () => {
  it('is one that systemd takes', { skip: analyze ? false : 'no systemd-analyze' }, () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'fileward-unit-'));
    const file = path.join(folder, 'fileward.service');
    // The program is not installed here.
    writeFileSync(file, unit.replace('/usr/local/bin/fileward', process.execPath));
    const said = execFileSync('systemd-analyze', ['verify', file], { stdio: 'pipe' });
    assert.equal(String(said), '');
    rmSync(folder, { recursive: true });
  });

  it('makes no mount namespace and never slows the agent down', () => {
    const forbidden =
      /^(Private\w+|Protect\w+|ReadOnlyPaths|InaccessiblePaths|\w*BindPaths|Root\w+|TemporaryFileSystem|DynamicUser|RestrictNamespaces|MemoryHigh|CPUQuota|SystemCallFilter)$/;
    assert.deepEqual(
      [...directives.keys()].filter((key) => forbidden.test(key)),
      [],
    );
  });

  it('has the capabilities that the agent needs', () => {
    const has = directives.get('CapabilityBoundingSet')?.split(' ') ?? [];
    const needed = [...read('native/kernel/features.cc').matchAll(/Needed\{(CAP_\w+),/g)];
    assert.ok(needed.length > 3);
    for (const [, capability = ''] of needed) assert.ok(has.includes(capability), capability);
    for (const capability of has)
      assert.ok(read('docs/hardening.md').includes(capability), capability);
  });

  it('leaves room beside the heap, as Kubernetes does', () => {
    const manifest = read('config/kubernetes.yaml');
    const heapOf = (text: string) => Number(/--max-old-space-size=(\d+)/.exec(text)?.[1]);
    const limits: readonly [heap: number, limit: number][] = [
      [heapOf(unit), Number.parseInt(directives.get('MemoryMax') ?? '', 10)],
      [
        heapOf(manifest),
        Number(
          /limits: \{ memory: (\d+)Mi \}\n *volumeMounts:\n *- \{ name: config/.exec(manifest)?.[1],
        ),
      ],
    ];
    for (const [heap, limit] of limits) assert.ok(heap + 512 <= limit, `${heap} of ${limit}`);
    assert.equal(directives.get('MemorySwapMax'), '0');
  });

  it('has the figures of the documentation', () => {
    const text = read('docs/hardening.md').replaceAll(/\s+/g, ' ');
    for (const key of ['MemoryMax', 'LimitNOFILE', 'TasksMax', 'OOMScoreAdjust']) {
      assert.ok(text.includes(`\`${key}=${directives.get(key)}\``), key);
    }
  });
});

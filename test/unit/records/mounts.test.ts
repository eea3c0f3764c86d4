import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mountFinder, readMounts } from '../../../src/records/mounts.ts';

describe('mounts', () => {
  it('are those of this process', () => {
    const mounts = readMounts();
    assert.ok(mounts.some(({ point }) => point === '/'));
    assert.ok(mounts.some(({ point, type }) => point === '/proc' && type === 'proc'));
  });

  it('hold a path by the longest mount point above it', () => {
    const find = mountFinder([
      { point: '/', type: 'ext4' },
      { point: '/srv', type: 'xfs' },
      { point: '/srv/data', type: 'tmpfs' },
    ]);
    const at = (file: string) => find(Buffer.from(file))?.point;
    assert.equal(at('/etc/passwd'), '/');
    assert.equal(at('/srv'), '/srv');
    assert.equal(at('/srvx/data/file'), '/');
    assert.equal(at('/srv/data2/file'), '/srv');
    assert.equal(at('/srv/data/file'), '/srv/data');
  });
});

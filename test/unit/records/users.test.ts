import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { HostUsers } from '../../../src/records/users.ts';
import { FakeClock } from './support.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fileward-users-'));
after(() => rmSync(folder, { recursive: true }));

describe('user names', () => {
  it('are those of the first line with an id, as for getpwuid', () => {
    const names = new HostUsers(`${import.meta.dirname}/passwd`, new FakeClock());
    assert.equal(names.nameOf(0), 'root');
    assert.equal(names.nameOf(33), 'www-data');
    assert.equal(names.nameOf(1), undefined);
  });

  it('follow the file, and its absence', () => {
    const file = path.join(folder, 'passwd');
    const clock = new FakeClock();
    const names = new HostUsers(file, clock);
    assert.equal(names.nameOf(1000), undefined);
    writeFileSync(file, 'eve:x:1000:1000::/:/bin/sh\n');
    clock.ms += 2000;
    assert.equal(names.nameOf(1000), 'eve');
    writeFileSync(file, 'mallory:x:1000:1000::/:/bin/sh\n');
    clock.ms += 2000;
    assert.equal(names.nameOf(1000), 'mallory');
    rmSync(file);
    clock.ms += 2000;
    assert.equal(names.nameOf(1000), undefined);
  });
});

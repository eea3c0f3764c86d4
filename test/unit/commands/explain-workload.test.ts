/** Which workload `explain --workload` means, of those that an agent tells; the agent is played here. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { explainCommand } from '../../../src/commands/explain.ts';
import { Failure } from '../../../src/control/failure.ts';
import { ControlServer } from '../../../src/control/server.ts';
import { loadNative } from '../../../src/native/load.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fileward-explain-'));
const workloads = [
  { kind: 'host', groups: ['host'], why: {} },
  { kind: 'container', groups: ['web'], why: {}, container: { id: 'abc123', name: 'web-1' } },
  { kind: 'container', groups: ['web'], why: {}, container: { id: 'abd123', name: '' } },
];
const server = new ControlServer({
  path: path.join(folder, 'fileward.sock'),
  handle: async () => ({ config: path.join(folder, 'none.yaml'), workloads }),
  toNdjson: () => '',
  peerCredentials: loadNative().peerCredentials,
});

before(async () => {
  await server.listen();
  process.env['FILEWARD_SOCKET'] = path.join(folder, 'fileward.sock');
});
after(() => {
  delete process.env['FILEWARD_SOCKET'];
  server.close();
  rmSync(folder, { recursive: true });
});

describe('explain --workload', () => {
  const cases: readonly [workload: string, why: RegExp][] = [
    ['', /name or id of a container, or host/],
    ['container', /no workload is 'container'; there is host, abc123 web-1, abd123$/],
    ['ab', /several workloads are 'ab'/],
    ['web-2', /no workload is 'web-2'/],
    // Found: what is missing is the configuration.
    ['host', /none\.yaml/],
    ['web-1', /none\.yaml/],
    ['abd', /none\.yaml/],
  ];
  for (const [workload, why] of cases) {
    it(`'${workload}'`, async () => {
      await assert.rejects(explainCommand('/etc/shadow', { workload }), (error: unknown) => {
        assert.ok(error instanceof Failure);
        assert.equal(error.status, 2);
        assert.match(error.message, why);
        return true;
      });
    });
  }
});

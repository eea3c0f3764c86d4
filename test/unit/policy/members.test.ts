import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MemberCriteria } from '../../../src/policy/document.ts';
import { host, isMember, type Workload } from '../../../src/policy/members.ts';

const container = (image: string, name = 'web-1'): Workload => ({
  kind: 'container',
  container: { keys: { image, name }, labels: { app: 'web' } },
  kubernetes: { keys: { namespace: 'shop' }, labels: { tier: 'front' } },
});
const criteria = (
  keys: Record<string, string | string[]>,
  labels: Record<string, string> = {},
): MemberCriteria => ({
  container: {
    keys: Object.fromEntries(
      Object.entries(keys).map(([key, value]) => [key, { any: [value].flat() }]),
    ),
    labels: Object.fromEntries(
      Object.entries(labels).map(([key, value]) => [key, { any: [value] }]),
    ),
  },
});

describe('members', () => {
  it('hold the host or containers, never both', () => {
    assert.equal(isMember([{ host: true }], host), true);
    assert.equal(isMember([{ host: true }], container('nginx')), false);
    assert.equal(isMember([criteria({})], host), false);
    assert.equal(isMember([criteria({})], container('nginx')), true);
    assert.equal(isMember([{ host: true }, criteria({})], host), true);
    assert.equal(isMember([{ not: { host: true } }], container('nginx')), true);
    assert.equal(isMember([], host), false);
  });

  it('compare images in full', () => {
    const cases: readonly [string, string, boolean][] = [
      ['docker.io/library/nginx:*', 'nginx:1.27', true],
      ['nginx', 'docker.io/library/nginx:1.27', true],
      ['nginx', 'nginx@sha256:abc', true],
      ['nginx:1.27', 'nginx:1.28', false],
      ['nginx', 'bitnami/nginx:1', false],
      ['bitnami/*', 'docker.io/bitnami/nginx:1', true],
      ['ghcr.io/acme/*', 'ghcr.io/acme/a/b:1', true],
      ['localhost:5000/nginx', 'localhost:5000/nginx:2', true],
      ['*', 'nginx', true],
    ];
    for (const [pattern, image, expected] of cases) {
      assert.equal(
        isMember([criteria({ image: pattern })], container(image)),
        expected,
        `${pattern} ${image}`,
      );
    }
  });

  it('want all keys and labels, any value of a list', () => {
    const workload = container('nginx', 'web-2');
    assert.equal(isMember([criteria({ name: ['db-*', 'web-?'] })], workload), true);
    assert.equal(isMember([criteria({ name: 'web-2', id: 'x' })], workload), false);
    assert.equal(isMember([criteria({}, { app: 'web' })], workload), true);
    assert.equal(isMember([criteria({}, { app: 'web', tier: 'x' })], workload), false);
    const both = {
      ...criteria({}),
      kubernetes: { keys: { namespace: { any: ['shop'] } }, labels: {} },
    };
    assert.equal(isMember([both], workload), true);
    const other = { ...both, kubernetes: { keys: { namespace: { none: ['shop'] } }, labels: {} } };
    assert.equal(isMember([other], workload), false);
  });

  it('count what a partial description leaves out as told', () => {
    const partial: Workload = { kind: 'container', container: { keys: {}, labels: {} } };
    assert.equal(isMember([criteria({ name: 'x' })], partial), false);
    assert.equal(isMember([criteria({ name: 'x' })], partial, true), true);
    const not: MemberCriteria = {
      container: { keys: {}, labels: {}, not: { keys: { name: { any: ['x'] } }, labels: {} } },
    };
    assert.equal(isMember([not], partial), true);
    assert.equal(isMember([not], partial, true), true);
  });
});

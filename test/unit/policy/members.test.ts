import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MemberCriteria } from '../../../src/policy/document.ts';
import { host, isMember, membership, type Workload } from '../../../src/policy/members.ts';

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
      ['nginx:1.27', 'nginx:1.27@sha256:abc', true],
      ['docker.io/library/nginx:1.2?', 'nginx:1.27@sha256:abc', true],
      ['nginx:1.27', 'nginx:1.28@sha256:abc', false],
      ['nginx:latest', 'nginx@sha256:abc', false],
      ['nginx:1.27@sha256:abc', 'nginx:1.27@sha256:abc', true],
      ['nginx:1.27@sha256:abc', 'nginx:1.27@sha256:def', false],
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
    assert.equal(isMember([not], partial), false);
    assert.equal(isMember([not], partial, true), true);
  });

  it('say which criteria hold', () => {
    const why = (...members: MemberCriteria[]) => membership({ members }, container('nginx')).why;
    assert.equal(why({ host: true }), '');
    assert.equal(why({ host: true }, criteria({})), 'any container');
    assert.equal(
      why({
        ...criteria({ name: ['db-*', 'web-?'] }, { app: 'web' }),
        kubernetes: { keys: { namespace: { none: ['kube-*', 'x'] } }, labels: {} },
      }),
      'container.name web-1, container.labels.app web, kubernetes.namespace is not kube-* or x',
    );
    assert.equal(membership({ members: [{ host: true }] }, host).why, 'host');
    // What a container is called could be meant for a terminal.
    const coloured = container('nginx', 'web\u001b[31m');
    assert.equal(
      membership({ members: [criteria({ name: 'w*' })] }, coloured).why,
      'container.name fits w*',
    );
  });

  it('tell what is not known wherever knowing it could make a member, and nowhere else', () => {
    const partial: Workload = {
      kind: 'container',
      container: { keys: { id: 'c1', runtime: 'podman' } },
    };
    const unknown = (...members: MemberCriteria[]) => {
      const told = membership({ members }, partial);
      assert.equal(told.member, false);
      return told.unknown;
    };
    assert.deepEqual(unknown(criteria({ name: 'x' }, { app: 'web' })), [
      'container.name',
      'container.labels.app',
    ]);
    assert.deepEqual(unknown(criteria({ name: 'x', runtime: 'docker' })), []);
    assert.deepEqual(unknown({ not: criteria({ image: 'x' }) }), ['container.image']);
    assert.deepEqual(unknown({ ...criteria({ id: 'c1' }), not: criteria({ name: 'x' }) }), [
      'container.name',
    ]);
    assert.deepEqual(unknown({ not: criteria({ id: 'c1', name: 'x' }) }), ['container.name']);
    const pod = { keys: { namespace: { any: ['shop'] } }, labels: {} };
    assert.deepEqual(unknown({ kubernetes: pod }), []);
    const inPod: Workload = { ...partial, kubernetes: { keys: {} } };
    assert.deepEqual(membership({ members: [{ kubernetes: pod }] }, inPod).unknown, [
      'kubernetes.namespace',
    ]);
    // Another alternative holds, whatever the first one lacks.
    const either = [criteria({ name: 'x' }), criteria({ id: 'c1' })];
    assert.deepEqual(membership({ members: either }, partial), {
      member: true,
      why: 'container.id c1',
      unknown: [],
    });
  });

  it('leave open what asks for any pod where nobody has told whether it is one', () => {
    const any: MemberCriteria = { kubernetes: { keys: {}, labels: {} } };
    const open: Workload = {
      kind: 'container',
      container: { keys: { id: 'c1' } },
      kubernetes: { keys: { namespace: undefined } },
    };
    for (const members of [[any], [{ not: any }]]) {
      assert.deepEqual(membership({ members }, open), {
        member: false,
        why: '',
        unknown: ['kubernetes'],
      });
    }
    assert.equal(isMember([any], container('nginx')), true);
    assert.equal(isMember([{ not: any }], container('nginx')), false);
    const { kubernetes: _, ...answered } = container('nginx') as Workload & { kubernetes: unknown };
    assert.deepEqual(membership({ members: [any] }, answered).unknown, []);
    assert.equal(isMember([{ not: any }], answered), true);
  });

  it('match globs in names that were made to be slow', () => {
    const slow = container('nginx', 'a'.repeat(4000));
    assert.equal(isMember([criteria({ name: '*a*a*a*a*a*a*a*a*b' })], slow), false);
    assert.equal(isMember([criteria({ name: '*a?*a*' })], slow), true);
    assert.equal(isMember([criteria({ name: 'a.*' })], container('nginx', 'ab')), false);
  });

  it('keep a label named like a method apart from what every object has', () => {
    assert.equal(isMember([criteria({}, { constructor: '*' })], container('nginx')), false);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isMember } from '../../../src/policy/members.ts';
import type { Operation } from '../../../src/policy/ruleset.ts';
import { loadText } from './load-text.ts';

/** A pod's rules that use every set of the pack, in protect, after the pack's own. */
const withSets = () =>
  loadText(`version: 1
import: [ pack:linux-base, pack:kubernetes ]
groups:
  - name: shop
    members: { kubernetes: { namespace: shop } }
    mode: protect
    rules:
      - { name: secret, path: /etc/shop/**, behavior: block, operations: [read, write], apps: [ /app/server, set:kubelet, set:csi-drivers ] }
      - { name: logs, path: /var/log/shop/**, behavior: block, operations: [read, write], apps: [ /app/server, set:log-collectors, set:node-agents ] }
`);

/** Where each distribution has its kubelet. */
const kubelets = [
  '/usr/bin/kubelet',
  '/usr/local/bin/kubelet',
  '/opt/bin/kubelet',
  '/home/kubernetes/bin/kubelet',
  '/var/lib/minikube/binaries/v1.34.0/kubelet',
  '/var/lib/rancher/k3s/data/0f1e2d/bin/k3s',
  '/var/lib/rancher/rke2/bin/kubelet',
  '/var/lib/rancher/rke2/data/v1.34.1-rke2r1-abc/bin/kubelet',
  '/snap/microk8s/8511/kubelite',
  '/var/lib/k0s/bin/kubelet',
];

const collectors = [
  '/opt/fluent-bit/bin/fluent-bit',
  '/usr/bin/vector',
  '/usr/local/bin/promtail',
  '/usr/share/filebeat/bin/filebeat',
  '/usr/bin/otelcol-contrib',
  '/usr/local/bin/otelcol',
  '/usr/bin/alloy',
  '/opt/Elastic/Agent/data/elastic-agent-9.2.0-abc/components/filebeat',
  '/home/kubernetes/bin/node-problem-detector',
];

describe('pack kubernetes', () => {
  it('loads without a warning', async () => {
    const { warnings } = await withSets();
    assert.deepEqual(warnings, []);
  });

  it('says of every rule what it is for, and tags it', async () => {
    const { policy } = await withSets();
    for (const { rule, group, description, tags } of policy.rules) {
      if (!group.startsWith('kubernetes-')) continue;
      assert.ok(description, rule);
      assert.match(tags.mitre ?? '', /^T\d{4}(\.\d{3})?$/, rule);
    }
  });

  it('means programs of the node, whatever the image of a pod has', async () => {
    const { policy } = await withSets();
    const secret = policy.rules.find(({ group, rule }) => `${group}/${rule}` === 'shop/secret');
    const fromSets = (secret?.apps ?? []).filter(({ exe }) => exe !== '/app/server');
    assert.ok(fromSets.length > 10);
    assert.deepEqual([...new Set(fromSets.map(({ workload }) => workload))], ['host']);
  });

  it('lists the kubelet of each distribution for Secrets, for reading and writing', async () => {
    const { explain } = await withSets();
    for (const app of kubelets) {
      for (const operation of ['read', 'write'] as const) {
        const [answer] = explain({
          path: '/etc/shop/password',
          app,
          operation,
          group: 'shop',
          origin: 'host',
        });
        assert.equal(answer?.verdict, 'allow', `${app} ${operation}`);
      }
    }
  });

  it('lists log collectors for reading logs, and for nothing else', async () => {
    const { explain } = await withSets();
    const verdict = (path: string, app: string, operation: Operation) =>
      explain({ path, app, operation, group: 'shop', origin: 'host' })[0]?.verdict;
    for (const app of collectors) {
      assert.equal(verdict('/var/log/shop/access.log', app, 'read'), 'allow', app);
      assert.equal(verdict('/var/log/shop/access.log', app, 'write'), 'deny', app);
      assert.equal(verdict('/etc/shop/password', app, 'read'), 'deny', app);
    }
  });

  it('denies a Secret to everybody else of the node', async () => {
    const { explain } = await withSets();
    for (const app of ['/usr/bin/cat', '/tmp/kubelet', '/usr/bin/kubectl']) {
      const query = {
        path: '/etc/shop/password',
        app,
        operation: 'read',
        group: 'shop',
        origin: 'host',
      } as const;
      assert.equal(explain(query)[0]?.verdict, 'deny', app);
    }
  });

  it('is quiet about readers and about the node itself, and tells who else writes', async () => {
    const { explain } = await withSets();
    const uid = '1c3a27a5-6d5c-4a0e-9f1e-1d6f0c0a7f11';
    const places = [
      ['kubernetes-pods', '/var/run/secrets/kubernetes.io/serviceaccount/token'],
      ['kubernetes-pods', '/var/run/secrets/eks.amazonaws.com/serviceaccount/token'],
      [
        'kubernetes-node',
        `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~secret/shop/password`,
      ],
      [
        'kubernetes-node',
        `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~configmap/shop/nginx.conf`,
      ],
      ['kubernetes-node', '/var/lib/kubelet/pki/kubelet-client-current.pem'],
    ] as const;
    for (const [group, path] of places) {
      const outcome = (app: string, operation: Operation, origin: 'same' | 'host') =>
        explain({ path, app, operation, group, origin })[0]?.outcome;
      assert.match(outcome('/app/server', 'read', 'same') ?? '', /^(not_covered|quiet)$/, path);
      assert.equal(outcome('/usr/bin/kubelet', 'write', 'host'), 'quiet', path);
      assert.match(outcome('/usr/bin/tee', 'write', 'same') ?? '', /^(modified|violated)$/, path);
      assert.match(outcome('/usr/bin/tee', 'write', 'host') ?? '', /^(modified|violated)$/, path);
    }
  });

  it('holds in every pod, and in no other container', async () => {
    const { configuration } = await withSets();
    const pods = configuration.document.groups.find(({ name }) => name === 'kubernetes-pods');
    const container = { keys: { name: 'c' } };
    const pod = { keys: { namespace: 'shop', pod: 'web-0' } };
    assert.ok(pods);
    assert.ok(isMember(pods.members, { kind: 'container', container, kubernetes: pod }));
    assert.ok(!isMember(pods.members, { kind: 'container', container }));
    assert.ok(!isMember(pods.members, { kind: 'host' }));
  });
});

// Holds config/kubernetes.yaml to a strict schema, to what fileward needs and to itself. There is no cluster here: its two
// containers were run once with Podman, under the same capabilities.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { root } from '../../backends/shipped.ts';
import { run } from '../../kernel/children.ts';
import { commandLine } from '../../kernel/harness.ts';

const name = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
const labels = z.record(z.string(), z.string());
const quantity = z.string().regex(/^\d+(m|Mi)$/);
const capabilities = z.strictObject({
  drop: z.tuple([z.literal('ALL')]),
  add: z.array(z.string()).optional(),
});
const container = z.strictObject({
  name,
  image: z.string().regex(/^[a-z0-9./-]+:[\w.-]+$/),
  command: z.array(z.string()),
  env: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[A-Z][A-Z0-9_]*$/),
        value: z.string().optional(),
        valueFrom: z
          .strictObject({
            fieldRef: z.strictObject({
              fieldPath: z.enum(['metadata.uid', 'spec.nodeName', 'status.hostIP']),
            }),
          })
          .optional(),
      }),
    )
    .optional(),
  securityContext: z.strictObject({
    // The API server refuses it beside CAP_SYS_ADMIN.
    allowPrivilegeEscalation: z.literal(false).optional(),
    privileged: z.literal(false).optional(),
    capabilities,
    readOnlyRootFilesystem: z.literal(true),
    runAsUser: z.literal(0),
    seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
    appArmorProfile: z.strictObject({ type: z.literal('Unconfined') }).optional(),
  }),
  resources: z.strictObject({
    requests: z.strictObject({ cpu: quantity, memory: quantity }),
    limits: z.strictObject({ memory: quantity }),
  }),
  volumeMounts: z.array(
    z.strictObject({
      name,
      mountPath: z.string().startsWith('/'),
      readOnly: z.literal(true).optional(),
    }),
  ),
});
const volume = z.union([
  z.strictObject({
    name,
    hostPath: z.strictObject({
      path: z.string().startsWith('/'),
      type: z.literal('DirectoryOrCreate'),
    }),
  }),
  z.strictObject({ name, configMap: z.strictObject({ name }) }),
  z.strictObject({ name, emptyDir: z.strictObject({}) }),
]);
const pod = z.strictObject({
  serviceAccountName: name,
  automountServiceAccountToken: z.literal(false),
  enableServiceLinks: z.literal(false),
  nodeSelector: labels,
  tolerations: z.tuple([z.strictObject({ operator: z.literal('Exists') })]),
  priorityClassName: z.literal('system-node-critical'),
  hostPID: z.literal(true),
  hostNetwork: z.literal(true),
  terminationGracePeriodSeconds: z.int().min(6),
  initContainers: z.tuple([container]),
  containers: z.tuple([container]),
  volumes: z.array(volume),
});
const namespaced = z.strictObject({ name, namespace: name, labels: labels.optional() });
const documents = z.tuple([
  z.strictObject({
    apiVersion: z.literal('v1'),
    kind: z.literal('Namespace'),
    metadata: z.strictObject({ name, labels }),
  }),
  z.strictObject({
    apiVersion: z.literal('v1'),
    kind: z.literal('ServiceAccount'),
    metadata: namespaced,
    automountServiceAccountToken: z.literal(false),
  }),
  z.strictObject({
    apiVersion: z.literal('v1'),
    kind: z.literal('ConfigMap'),
    metadata: namespaced,
    data: z.strictObject({ 'fileward.config.yaml': z.string() }),
  }),
  z.strictObject({
    apiVersion: z.literal('apps/v1'),
    kind: z.literal('DaemonSet'),
    metadata: namespaced,
    spec: z.strictObject({
      selector: z.strictObject({ matchLabels: labels }),
      updateStrategy: z.strictObject({
        type: z.literal('RollingUpdate'),
        // Two agents on one node would be refused: the state directory is locked.
        rollingUpdate: z.strictObject({ maxUnavailable: z.literal(1), maxSurge: z.literal(0) }),
      }),
      template: z.strictObject({ metadata: z.strictObject({ labels }), spec: pod }),
    }),
  }),
]);

const text = readFileSync(path.join(root, 'config/kubernetes.yaml'), 'utf8');
const [namespace, account, configMap, daemonSet] = documents.parse(
  parseAllDocuments(text).map((document) => document.toJS()),
);
const { template, selector } = daemonSet.spec;
const { initContainers, containers, volumes } = template.spec;
const [install] = initContainers;
const [agent] = containers;

describe('config/kubernetes.yaml', () => {
  it('is in one namespace, and its parts name each other', () => {
    for (const { metadata } of [account, configMap, daemonSet]) {
      assert.equal(metadata.namespace, namespace.metadata.name);
    }
    assert.equal(template.spec.serviceAccountName, account.metadata.name);
    assert.deepEqual(selector.matchLabels, template.metadata.labels);
    const declared = volumes.map((each) => each.name).sort();
    const mounted = [...install.volumeMounts, ...agent.volumeMounts].map((each) => each.name);
    assert.deepEqual([...new Set(mounted)].sort(), declared);
    assert.equal(install.image, agent.image);
  });

  it('may do nothing in the cluster: no role, no token', () => {
    assert.doesNotMatch(text, /kind: (Cluster)?Role/);
    assert.equal(account.automountServiceAccountToken, false);
  });

  it('has the capabilities that fileward and nsenter need, and no more', () => {
    const features = readFileSync(path.join(root, 'native/kernel/features.cc'), 'utf8');
    const needed = [...features.matchAll(/Needed\{CAP_(\w+),/g)].map((match) => match[1] ?? '');
    assert.ok(needed.length > 3);
    // setns(2) into a mount name space takes it.
    needed.push('SYS_CHROOT');
    assert.deepEqual(agent.securityContext.capabilities.add?.toSorted(), needed.sort());
    assert.equal(install.securityContext.capabilities.add, undefined);
  });

  it('runs what its first container leaves on the node, with the configuration as the node has it', () => {
    const script = install.command[2] ?? '';
    const program = volumes.find((each) => each.name === 'program');
    assert.ok(program && 'hostPath' in program);
    assert.ok(script.includes(`here=${program.hostPath.path}/current`));
    assert.ok(agent.command.includes(`${program.hostPath.path}/current/fileward`));
    const config = volumes.find((each) => 'configMap' in each);
    const file = Object.keys(configMap.data)[0];
    const place = `/var/lib/kubelet/pods/$(POD_UID)/volumes/kubernetes.io~configmap/${config?.name}/${file}`;
    assert.ok(agent.command.includes(`--config=${place}`));
    const variables = agent.env?.map((each) => each.name) ?? [];
    const used = [...JSON.stringify(agent).matchAll(/\$\((\w+)\)/g)].map((match) => match[1] ?? '');
    for (const variable of used) assert.ok(variables.includes(variable), variable);
  });

  it('has a configuration that is valid', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'fileward-kubernetes-'));
    after(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'fileward.config.yaml');
    writeFileSync(file, configMap.data['fileward.config.yaml']);
    const [node, args] = commandLine(['check', '--offline', '-c', file]);
    const { code, stdout, stderr } = await run(node, args);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /0 warnings/);
  });
});

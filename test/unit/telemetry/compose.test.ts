// Holds config/compose.yaml to a strict schema, to the files that it mounts and to the addresses that these name. There is
// no Docker here: it was loaded once with the library that Docker Compose itself uses (compose-go 2.16.2), never started.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { z } from 'zod';
import { dashboardProvidersFile, datasources, root } from '../../backends/shipped.ts';
import { run } from '../../kernel/children.ts';
import { commandLine } from '../../kernel/harness.ts';

const file = 'config/compose.yaml';
const seconds = z.string().regex(/^\d+s$/);
const condition = z.strictObject({
  condition: z.enum(['service_started', 'service_healthy', 'service_completed_successfully']),
});
const mount = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('bind'),
    source: z.string(),
    target: z.string().startsWith('/'),
    read_only: z.literal(true),
    bind: z
      .strictObject({
        create_host_path: z.literal(false),
        propagation: z.literal('rslave').optional(),
      })
      .optional(),
  }),
  z.strictObject({
    type: z.literal('volume'),
    source: z.string(),
    target: z.string().startsWith('/'),
  }),
]);
const service = z.strictObject({
  image: z.string().regex(/^[a-z0-9./-]+:[\w.-]+$/),
  build: z.strictObject({ context: z.string(), dockerfile_inline: z.string() }).optional(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string().regex(/^[A-Z_]+$/), z.string()).optional(),
  restart: z.enum(['unless-stopped', 'no']),
  read_only: z.literal(true),
  tmpfs: z.array(z.string().startsWith('/')).optional(),
  pid: z.literal('host').optional(),
  network_mode: z.enum(['host', 'none']).optional(),
  cap_drop: z.tuple([z.literal('ALL')]),
  cap_add: z.array(z.string()).optional(),
  security_opt: z.array(z.string()),
  logging: z.strictObject({
    driver: z.literal('json-file'),
    options: z.strictObject({ 'max-size': z.string(), 'max-file': z.string() }),
  }),
  volumes: z.array(mount),
  networks: z.array(z.string()).optional(),
  ports: z.array(z.string().regex(/^127\.0\.0\.1:\d+:\d+$/)).optional(),
  healthcheck: z
    .strictObject({
      test: z.tuple([z.literal('CMD')]).rest(z.string()),
      interval: seconds,
      timeout: seconds,
      start_period: seconds,
    })
    .optional(),
  depends_on: z.record(z.string(), condition).optional(),
});
const composeSchema = z.strictObject({
  name: z.literal('fileward'),
  'x-plain': z.looseObject({}),
  services: z.record(z.string(), service),
  networks: z.record(z.string(), z.strictObject({ internal: z.boolean().optional() })),
  volumes: z.record(z.string(), z.strictObject({})),
});

const text = readFileSync(path.join(root, file), 'utf8');
const compose = composeSchema.parse(parse(text, { merge: true }));
const services = Object.entries(compose.services);

function serviceNamed(name: string): z.infer<typeof service> {
  const found = compose.services[name];
  assert.ok(found, `no service ${name}`);
  return found;
}

/** Where each server listens inside its container, besides what fileward is told. */
const listens = new Map([
  ['loki', 3100],
  ['prometheus', 9090],
  ['alertmanager', 9093],
  ['otel-collector', 8888],
]);

function shipped(name: string): string {
  return readFileSync(path.join(root, name), 'utf8');
}

describe('config/compose.yaml', () => {
  it('pins every image and starts all that there is', () => {
    assert.deepEqual(Object.keys(compose.services).sort(), [
      'alertmanager',
      'fileward',
      'grafana',
      'loki',
      'otel-collector',
      'otel-collector-state',
      'prometheus',
    ]);
    for (const [name, { image }] of services) assert.doesNotMatch(image, /:latest$/, name);
  });

  it('gives privilege to fileward alone', () => {
    for (const [
      name,
      { cap_add: capabilities, pid, network_mode: network, security_opt },
    ] of services) {
      assert.ok(security_opt.includes('no-new-privileges:true'), name);
      if (name === 'fileward') continue;
      assert.equal(pid, undefined, name);
      assert.notEqual(network, 'host', name);
      assert.deepEqual(security_opt, ['no-new-privileges:true'], name);
      assert.deepEqual(capabilities, name === 'otel-collector-state' ? ['CHOWN'] : undefined, name);
    }
    const needed = [...shipped('native/kernel/features.cc').matchAll(/Needed\{CAP_(\w+),/g)];
    assert.deepEqual(
      serviceNamed('fileward').cap_add?.toSorted(),
      needed.map((match) => match[1] ?? '').sort(),
    );
  });

  it('mounts what is there, and writes only to volumes that it declares', () => {
    const used = new Set<string>();
    for (const [name, { volumes }] of services) {
      for (const each of volumes) {
        if (each.type === 'volume') used.add(each.source);
        else if (each.source.startsWith('.')) {
          const source = path.resolve(root, 'config', each.source);
          assert.ok(existsSync(source), `${name} mounts ${each.source}`);
        }
      }
    }
    assert.deepEqual([...used].sort(), Object.keys(compose.volumes).sort());
  });

  it('refers to networks and services that there are, and waits for nothing without a health check', () => {
    for (const [name, { networks = [], depends_on: dependencies = {} }] of services) {
      for (const network of networks) assert.ok(network in compose.networks, `${name}: ${network}`);
      for (const [on, { condition }] of Object.entries(dependencies)) {
        const { healthcheck } = serviceNamed(on);
        assert.ok(condition !== 'service_healthy' || healthcheck !== undefined, `${name}: ${on}`);
      }
    }
  });

  it('sets only variables that the mounted configurations read', () => {
    const reads = [
      ['otel-collector', 'otel-collector.yaml', /\$\{env:(\w+)/g, ['GOMEMLIMIT']],
      ['loki', 'config/loki/loki.yaml', /\$\{(\w+)/g, []],
    ] as const;
    for (const [name, configuration, pattern, own] of reads) {
      const known = new Set<string>(
        [...shipped(configuration).matchAll(pattern)]
          .map(([, variable = '']) => variable)
          .concat(own),
      );
      for (const variable of Object.keys(serviceNamed(name).environment ?? {})) {
        assert.ok(known.has(variable), `${configuration} doesn't read ${variable}`);
      }
    }
  });

  it('names addresses at which somebody listens, on a network of both', () => {
    const { environment = {} } = serviceNamed('otel-collector');
    const inPrometheus =
      shipped('config/prometheus/prometheus.yml').match(/(?<=")[a-z-]+:\d+(?=")/g) ?? [];
    assert.equal(inPrometheus.length, 3);
    assert.equal(environment['METRICS_HOST'], '0.0.0.0');
    const calls: [string, string][] = [
      ...datasources().map(({ url }): [string, string] => ['grafana', url]),
      ['otel-collector', environment['LOKI_ENDPOINT'] ?? ''],
      ['otel-collector', environment['PROMETHEUS_ENDPOINT'] ?? ''],
      ...inPrometheus.map((target): [string, string] => ['prometheus', `http://${target}`]),
    ];
    for (const [from, url] of calls) {
      const { port, hostname: named } = new URL(url);
      const hostname = named === 'localhost' ? from : named;
      assert.equal(Number(port), listens.get(hostname), url);
      const ours = new Set(serviceNamed(from).networks);
      assert.ok(
        serviceNamed(hostname).networks?.some((network) => ours.has(network)),
        url,
      );
    }
  });

  it('lets fileward reach the collector through the port that it publishes on loopback', () => {
    const { telemetry } = parse(shipped('config/compose/fileward.config.yaml'));
    const { environment = {}, ports = [] } = serviceNamed('otel-collector');
    const { hostname, port } = new URL(telemetry.endpoint);
    assert.equal(serviceNamed('fileward').network_mode, 'host');
    assert.ok(ports.includes(`${hostname}:${port}:${port}`));
    assert.equal(environment['OTLP_GRPC_ENDPOINT'], `0.0.0.0:${port}`);
  });

  it('mounts dashboards where their provider looks for them', () => {
    const provider = parse(shipped(dashboardProvidersFile));
    const targets = serviceNamed('grafana').volumes.map(({ target }) => target);
    assert.ok(targets.includes(provider.providers[0].options.path));
  });

  it('has a configuration for fileward that is valid', async () => {
    const config = path.join(root, 'config/compose/fileward.config.yaml');
    const [node, args] = commandLine(['check', '--offline', '-c', config]);
    const { code, stdout, stderr } = await run(node, args);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /0 warnings/);
  });
});

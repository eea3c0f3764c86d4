/** The host as a workload: what its records say about it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** For `service.instance.id`, of the OpenTelemetry semantic conventions. */
const INSTANCE_NAMESPACE = '4d63009a-8d0f-11ee-aad7-4c796ed8e320';

/** Keys of /etc/os-release; empty where there is none. */
export function osRelease(file = '/etc/os-release'): Readonly<Record<string, string>> {
  const values: Record<string, string> = {};
  for (const line of readText(file).split('\n')) {
    const match = /^([A-Z_]+)=(?:"(.*)"|'(.*)'|(.*))$/.exec(line.trim());
    const key = match?.[1];
    if (key) values[key] = (match[2] ?? match[3] ?? match[4] ?? '').replace(/\\(.)/g, '$1');
  }
  return values;
}

/**
 * Resource attributes of the host. `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` win over what is found.
 * @param version - of this package
 */
export function hostResource(
  version: string,
  env: NodeJS.ProcessEnv = process.env,
): Readonly<Record<string, string>> {
  const os = osRelease();
  const hostId = machineId();
  const found: Record<string, string> = {
    'service.name': 'fileward',
    'service.version': version,
    'service.instance.id': uuidV5(INSTANCE_NAMESPACE, hostId),
    'host.name': hostname(),
    'host.id': hostId,
    'os.type': 'linux',
    'os.name': os['NAME'] ?? 'Linux',
    'os.version': os['VERSION_ID'] ?? '',
    'os.description': os['PRETTY_NAME'] ?? '',
    'k8s.node.name': env['K8S_NODE_NAME'] ?? '',
    'k8s.cluster.name': env['K8S_CLUSTER_NAME'] ?? '',
    ...resourceAttributes(env['OTEL_RESOURCE_ATTRIBUTES'] ?? ''),
  };
  if (env['OTEL_SERVICE_NAME']) found['service.name'] = env['OTEL_SERVICE_NAME'];
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== ''));
}

/** `key=value,key=value`, percent-encoded; as the specification asks, one bad pair discards all. */
function resourceAttributes(text: string): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const pair of text.split(',')) {
    if (pair.trim() === '') continue;
    const equals = pair.indexOf('=');
    if (equals < 1) return {};
    try {
      const key = decodeURIComponent(pair.slice(0, equals).trim());
      attributes[key] = decodeURIComponent(pair.slice(equals + 1).trim());
    } catch {
      return {};
    }
  }
  return attributes;
}

/** The machine's id, or the boot's where the image has none. */
function machineId(): string {
  const files = ['/etc/machine-id', '/var/lib/dbus/machine-id', '/proc/sys/kernel/random/boot_id'];
  for (const file of files) {
    const id = readText(file).trim();
    if (id !== '' && id !== 'uninitialized') return id;
  }
  return hostname();
}

/** RFC 9562, section 5.5. */
export function uuidV5(namespace: string, name: string): string {
  const hash = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest();
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString('hex', 0, 16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

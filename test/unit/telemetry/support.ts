import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TelemetryConfiguration } from '../../../src/policy/document.ts';
import type { Loss } from '../../../src/records/loss.ts';
import type { Attributes, FilewardRecord } from '../../../src/records/record.ts';
import { createTelemetry, type Telemetry } from '../../../src/telemetry/exporter.ts';
import { attributesOf, type LogRecord } from '../../otlp/collector.ts';

/** Of this process, gone with it. */
export const folder = mkdtempSync(path.join(tmpdir(), 'fileward-otlp-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

/** Why a test that needs certificates can't run, or false. */
export const withoutOpenssl = (() => {
  try {
    openssl('version');
    return false;
  } catch {
    return 'openssl, which makes the certificates, is not installed';
  }
})();

export function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
}

/** For localhost, signed by itself. @returns its files */
export function makeCertificate(
  name: string,
  type: readonly string[] = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
): { cert: string; key: string } {
  const [cert, key] = [path.join(folder, `${name}.crt`), path.join(folder, `${name}.key`)];
  openssl(
    ...['req', '-x509', '-newkey', ...type, '-nodes', '-days', '2', '-keyout', key, '-out', cert],
    ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
  );
  return { cert, key };
}

export const hostResource: Attributes = { 'service.name': 'fileward', 'host.id': 'h1' };

export function telemetryConfiguration(
  given: Partial<TelemetryConfiguration> = {},
): TelemetryConfiguration {
  return {
    protocol: 'grpc',
    endpoint: 'http://localhost:4317',
    headers: {},
    timeoutMs: 5000,
    compression: 'none',
    tls: { insecure: false },
    outbox: { maxSizeBytes: 1 << 28 },
    metrics: { perRule: true, intervalMs: 60_000 },
    ...given,
  };
}

export interface Sending {
  readonly telemetry: Telemetry;
  readonly losses: Loss[];
  /** Problems with reaching the collector as they were told, '' for back again. */
  readonly reachable: string[];
  /** The same of the disk. */
  readonly disk: string[];
  readonly state: string;
}

/** @param state - folder of the outbox; absent: a new one */
export function sending(
  configuration: TelemetryConfiguration,
  env: NodeJS.ProcessEnv = {},
  resource: Attributes = hostResource,
  state = mkdtempSync(path.join(folder, 'state-')),
): Sending {
  const losses: Loss[] = [];
  const reachable: string[] = [];
  const disk: string[] = [];
  const telemetry = createTelemetry({
    configuration,
    env,
    resource,
    version: '1.2.3',
    state,
    onLost: (loss) => losses.push(loss),
    onReachable: (problem) => reachable.push(problem ?? ''),
    onDisk: (problem) => disk.push(problem ?? ''),
  });
  return { telemetry, losses, reachable, disk, state };
}

let records = 0;
export function recordOf(given: Partial<FilewardRecord> = {}): FilewardRecord {
  records += 1;
  return {
    time: 1_790_000_000_123_456_789n,
    event: 'fileward.file.denied',
    severity: 13,
    body: 'cat (pid 1) was denied read access to /etc/shadow',
    attributes: { 'log.record.uid': `uid-${records}`, 'file.path': '/etc/shadow' },
    resource: hostResource,
    ...given,
  };
}

/** Every record that came is acknowledged, waits, or is lost by name. */
export function assertBalanced({ telemetry }: Pick<Sending, 'telemetry'>): void {
  const stats = telemetry.stats();
  const lost = Object.values(stats.lost).reduce((sum, each) => sum + each, 0);
  assert.equal(
    stats.in + stats.recovered,
    stats.exported + stats.waiting + lost,
    JSON.stringify(stats),
  );
}

/** Polls. @throws Error when it isn't so after half a minute */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 30_000; !isSo(); ) {
    if (Date.now() > deadline) throw new Error(`not within half a minute: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function uidOf({ attributes }: FilewardRecord): string {
  return String(attributes['log.record.uid']);
}

export function uidsOf(records: readonly LogRecord[]): string[] {
  return records.map(({ attributes }) => {
    const uid = attributesOf(attributes)['log.record.uid'];
    return uid && 'stringValue' in uid ? uid.stringValue : '';
  });
}

/** As a collector counts them. */
export function reasonsOf(losses: readonly Loss[]): Record<string, number> {
  const reasons: Record<string, number> = {};
  for (const { reason, count = 0 } of losses) reasons[reason] = (reasons[reason] ?? 0) + count;
  return reasons;
}

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TelemetryConfiguration } from '../../../src/policy/document.ts';
import type { Loss } from '../../../src/records/loss.ts';
import type { Attributes, FilewardRecord } from '../../../src/records/record.ts';
import { createTelemetry, type Telemetry } from '../../../src/telemetry/exporter.ts';

export const folder = mkdtempSync(path.join(tmpdir(), 'fileward-otlp-'));

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
}

export function sending(
  configuration: TelemetryConfiguration,
  env: NodeJS.ProcessEnv = {},
): Sending {
  const losses: Loss[] = [];
  const reachable: string[] = [];
  const telemetry = createTelemetry({
    configuration,
    env,
    resource: hostResource,
    version: '1.2.3',
    onLost: (loss) => losses.push(loss),
    onReachable: (problem) => reachable.push(problem ?? ''),
  });
  return { telemetry, losses, reachable };
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

/** Where and how to export: the configuration, and the standard OTEL_* variables over it. */
import type { TelemetryConfiguration } from '../policy/document.ts';
import { checkHeaders, readTls } from './export-checks.ts';

export type Signal = 'logs' | 'metrics';

export interface ExportSettings {
  readonly protocol: 'grpc' | 'http/protobuf';
  /** gRPC: the endpoint; HTTP: the whole URL of the signal. `unix:` for a socket. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly compression: 'none' | 'gzip';
  /** Absent: plain text. */
  readonly tls?: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
}

/** Beyond it Node's timers end at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const DEFAULT_ENDPOINT = {
  grpc: 'http://localhost:4317',
  'http/protobuf': 'http://localhost:4318',
} as const;

/**
 * Undefined when the variables turn the signal off.
 * @throws Error when a variable, a certificate file, its key or a header can't be used; its message names it.
 */
export function exportSettings(
  signal: Signal,
  configuration: TelemetryConfiguration,
  env: NodeJS.ProcessEnv,
): ExportSettings | undefined {
  const name = signal.toUpperCase();
  if (env['OTEL_SDK_DISABLED']?.trim().toLowerCase() === 'true') return undefined;
  if (env[`OTEL_${name}_EXPORTER`]?.trim() === 'none') return undefined;

  const variable = (suffix: string): string | undefined =>
    env[`OTEL_EXPORTER_OTLP_${name}_${suffix}`]?.trim() ||
    env[`OTEL_EXPORTER_OTLP_${suffix}`]?.trim() ||
    undefined;
  const protocol = protocolOf(variable('PROTOCOL')) ?? configuration.protocol;
  const ownEndpoint = env[`OTEL_EXPORTER_OTLP_${name}_ENDPOINT`]?.trim();
  const endpoint = ownEndpoint || env['OTEL_EXPORTER_OTLP_ENDPOINT']?.trim();
  const insecure = variable('INSECURE')?.toLowerCase();
  const url = urlOf(
    endpoint || configuredEndpoint(configuration, protocol),
    protocol,
    insecure === undefined ? configuration.tls.insecure : insecure === 'true',
  );
  const headers = {
    ...configuration.headers,
    ...pairs(env['OTEL_EXPORTER_OTLP_HEADERS']),
    ...pairs(env[`OTEL_EXPORTER_OTLP_${name}_HEADERS`]),
  };
  checkHeaders({ headers, protocol });
  const tls = tlsOf(url, configuration, variable);
  return {
    protocol,
    // As the specification has it: an endpoint of one signal is taken as it is.
    url: protocol === 'grpc' || ownEndpoint ? url : withPath(url, `v1/${signal}`),
    headers,
    timeoutMs:
      positive(variable('TIMEOUT'), 'OTEL_EXPORTER_OTLP_TIMEOUT') ??
      Math.min(configuration.timeoutMs, LONGEST_TIMER_MS),
    compression: compressionOf(variable('COMPRESSION')) ?? configuration.compression,
    ...(tls && { tls }),
  };
}

/** OTEL_METRIC_EXPORT_INTERVAL over the configuration. */
export function metricIntervalMs(
  configuration: TelemetryConfiguration,
  env: NodeJS.ProcessEnv,
): number {
  const name = 'OTEL_METRIC_EXPORT_INTERVAL';
  return positive(env[name]?.trim() || undefined, name) ?? configuration.metrics.intervalMs;
}

function protocolOf(value: string | undefined): ExportSettings['protocol'] | undefined {
  if (value === undefined || value === 'grpc' || value === 'http/protobuf') return value;
  throw new Error(`OTEL_EXPORTER_OTLP_PROTOCOL must be grpc or http/protobuf, not '${value}'`);
}

function compressionOf(value: string | undefined): ExportSettings['compression'] | undefined {
  if (value === undefined || value === 'none' || value === 'gzip') return value;
  throw new Error(`OTEL_EXPORTER_OTLP_COMPRESSION must be none or gzip, not '${value}'`);
}

/** The default endpoint follows the protocol when only that was changed by a variable. */
function configuredEndpoint(
  { endpoint, protocol: configured }: TelemetryConfiguration,
  protocol: ExportSettings['protocol'],
): string {
  const isDefault = endpoint === DEFAULT_ENDPOINT[configured];
  return isDefault ? DEFAULT_ENDPOINT[protocol] : endpoint;
}

function urlOf(endpoint: string, protocol: ExportSettings['protocol'], insecure: boolean): string {
  if (endpoint.startsWith('unix:')) return endpoint;
  // `host:port` is what gRPC users write; the specification means TLS by it unless told otherwise.
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(endpoint);
  const url = URL.parse(hasScheme ? endpoint : `${insecure ? 'http' : 'https'}://${endpoint}`);
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.hostname === '') {
    throw new Error(`OTLP endpoint '${endpoint}' is no http, https or unix URL`);
  }
  return protocol === 'grpc' ? `${url.protocol}//${url.host}` : url.href;
}

function withPath(base: string, path: string): string {
  return base.startsWith('unix:') ? base : `${base.replace(/\/+$/, '')}/${path}`;
}

function tlsOf(
  url: string,
  { tls }: TelemetryConfiguration,
  variable: (suffix: string) => string | undefined,
): ExportSettings['tls'] {
  if (!url.startsWith('https:')) return undefined;
  return readTls({
    ca: variable('CERTIFICATE') ?? tls.ca,
    cert: variable('CLIENT_CERTIFICATE') ?? tls.cert,
    key: variable('CLIENT_KEY') ?? tls.key,
  });
}

/** `key=value,key=value`, values percent-encoded. Header names are lower case in HTTP/2. */
function pairs(text: string | undefined): Record<string, string> {
  const found: Record<string, string> = {};
  for (const pair of text?.split(',') ?? []) {
    const equals = pair.indexOf('=');
    if (equals < 1) continue;
    const value = pair.slice(equals + 1).trim();
    found[pair.slice(0, equals).trim().toLowerCase()] = decoded(value);
  }
  return found;
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

function positive(value: string | undefined, name: string): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (Number.isInteger(number) && number > 0 && number <= LONGEST_TIMER_MS) return number;
  throw new Error(`${name} must be a whole number of milliseconds above 0, not '${value}'`);
}

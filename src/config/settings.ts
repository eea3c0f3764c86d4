/** The parts of the main file that are not policy: what is wrong with them, and their defaults. */
import type { Configuration, TelemetryConfiguration } from '../policy/document.ts';
import type { ConfigurationSource } from '../policy/schema.ts';
import type { ProblemList } from './problem.ts';
import type { SourceFile } from './source-file.ts';
import { parseDuration, parseSize } from './values.ts';

type Settings = Omit<Configuration, 'file' | 'document'>;

const hour = 3_600_000;
const mebibyte = 1024 * 1024;

export function normaliseSettings(main: SourceFile, problems: ProblemList): Settings {
  const value = main.value as ConfigurationSource;
  const check = new ValueCheck(main, problems);
  const { records, limits, verdict, learning, policy_version: policyVersion } = value;
  return {
    ...(policyVersion !== undefined && { policyVersion }),
    telemetry: normaliseTelemetry(value.telemetry ?? {}, check),
    records: {
      windowMs: check.duration(records, 'window', 10_000, { least: 100, most: hour }),
      commandArgs: records?.command_args ?? false,
      hash: {
        enabled: records?.hash?.enabled ?? true,
        maxSizeBytes: check.size(records?.hash, 'max_size', 10 * mebibyte),
      },
    },
    limits: { marks: limits?.marks ?? 200_000, depth: limits?.depth ?? 32 },
    verdict: {
      deadlineMs: check.duration(verdict, 'deadline', 100, { least: 1, most: 60_000 }),
      onDeadline: verdict?.on_deadline ?? 'allow',
    },
    learning: { user: learning?.user ?? false },
    state: check.folder(value, 'state', '/var/lib/fileward'),
  };
}

function normaliseTelemetry(
  source: NonNullable<ConfigurationSource['telemetry']>,
  check: ValueCheck,
): TelemetryConfiguration {
  const protocol = source.protocol ?? 'grpc';
  const { tls } = source;
  if (tls && (tls.cert === undefined) !== (tls.key === undefined)) {
    check.error(tls, tls.cert === undefined ? 'key' : 'cert', "'cert' and 'key' go together");
  }
  return {
    protocol,
    endpoint: check.endpoint(source, protocol),
    headers: { ...source.headers },
    timeoutMs: check.duration(source, 'timeout', 10_000, { least: 1, most: hour }),
    compression: source.compression ?? 'none',
    tls: {
      insecure: tls?.insecure ?? false,
      ...(tls?.ca !== undefined && { ca: tls.ca }),
      ...(tls?.cert !== undefined && { cert: tls.cert }),
      ...(tls?.key !== undefined && { key: tls.key }),
    },
    outbox: { maxSizeBytes: check.size(source.outbox, 'max_size', 256 * mebibyte) },
    metrics: {
      perRule: source.metrics?.per_rule ?? true,
      intervalMs: check.duration(source.metrics, 'interval', 60_000, { least: 100, most: hour }),
    },
  };
}

const defaultEndpoints = {
  grpc: 'http://localhost:4317',
  'http/protobuf': 'http://localhost:4318',
} as const;

class ValueCheck {
  readonly #source: SourceFile;
  readonly #problems: ProblemList;

  constructor(source: SourceFile, problems: ProblemList) {
    this.#source = source;
    this.#problems = problems;
  }

  error(container: object, key: string, message: string): void {
    this.#problems.error(this.#source.valueAt(container, key), message);
  }

  duration<K extends string>(
    container: { readonly [P in K]?: string | undefined } | undefined,
    key: K,
    otherwise: number,
    { least, most }: { least: number; most: number },
  ): number {
    const text = container?.[key];
    if (container === undefined || text === undefined) return otherwise;
    const value = parseDuration(text);
    if (value === undefined || (value >= least && value <= most)) return value ?? otherwise;
    this.error(
      container,
      key,
      `'${key}' must be from ${shown(least)} to ${shown(most)}, not ${text}`,
    );
    return otherwise;
  }

  size<K extends string>(
    container: { readonly [P in K]?: string | undefined } | undefined,
    key: K,
    otherwise: number,
  ): number {
    const text = container?.[key];
    if (container === undefined || text === undefined) return otherwise;
    const value = parseSize(text) ?? 0;
    if (value === 0) this.error(container, key, `'${key}' must be more than 0`);
    return value;
  }

  folder(container: ConfigurationSource, key: 'state', otherwise: string): string {
    const path = container[key];
    if (path !== undefined && !path.startsWith('/')) {
      this.error(container, key, `'${path}' is not an absolute path`);
    }
    return path ?? otherwise;
  }

  endpoint(
    source: { readonly endpoint?: string | undefined },
    protocol: TelemetryConfiguration['protocol'],
  ): string {
    const text = source.endpoint;
    if (text === undefined) return defaultEndpoints[protocol];
    const known = /^(https?:\/\/[^/]|unix:.)/.test(text);
    if (!known || (text.startsWith('http') && !URL.canParse(text))) {
      const guess = /^[\w.-]+:\d+$/.test(text) ? `; did you mean 'http://${text}'?` : '';
      const message = `'endpoint' must begin with http://, https:// or unix:, not '${text}'${guess}`;
      this.error(source, 'endpoint', message);
    } else if (protocol === 'grpc' && /^https?:\/\/[^/]*:4318(\/|$)/.test(text)) {
      const message =
        'port 4318 is that of OTLP over HTTP; set protocol: http/protobuf, or port 4317';
      this.#problems.warn(this.#source.valueAt(source, 'endpoint'), message);
    }
    return text;
  }
}

function shown(ms: number): string {
  if (ms % hour === 0) return `${ms / hour}h`;
  if (ms % 60_000 === 0) return `${ms / 60_000}m`;
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}

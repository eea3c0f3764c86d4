/**
 * The real servers behind fileward, on free ports of loopback, each with its data in a temporary directory:
 *   const loki = await startLoki();
 *   const collector = await startCollector({ env: { LOKI_ENDPOINT: `${loki.url}/otlp` } });
 *   … telemetry: { endpoint: collector.grpcUrl } …
 *   await collector.kill(); await collector.start();
 *   after(stopServers);
 * They run the shipped configurations unchanged; addresses and directories go in through the environment.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { program, repository } from './programs.ts';
import { freePorts, ServerProcess, serverDirectory } from './server-process.ts';

export interface CollectorOptions {
  /** Configuration files of the repository, merged in this order; `otel-collector.yaml` if not given. */
  readonly config?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Merged last. */
  readonly overrides?: object;
  /** Logs go to a file, written before they are acknowledged, instead of to Loki's queues. */
  readonly arrivals?: boolean;
}

/** One record of the Collector's OTLP/JSON lines. */
export interface Arrival {
  readonly eventName?: string;
  readonly severityNumber?: number;
  readonly timeUnixNano?: string;
  readonly attributes: readonly {
    readonly key: string;
    readonly value: Readonly<Record<string, unknown>>;
  }[];
}

interface LogsLine {
  readonly resourceLogs: readonly {
    readonly scopeLogs: readonly { readonly logRecords: readonly Arrival[] }[];
  }[];
}

export class CollectorServer extends ServerProcess {
  readonly grpcUrl: string;
  readonly httpUrl: string;
  /** Where `config/collector/fragment.yaml` listens. */
  readonly fragmentUrl: string;
  /** Listened on with `config/collector/socket.yaml`. */
  readonly socket: string;

  private constructor(directory: string, ports: readonly number[], options: CollectorOptions) {
    const [grpc, http, health, fragment] = ports.map((port) => `127.0.0.1:${port}`);
    const socket = path.join(directory, 'otlp.sock');
    const { config = ['otel-collector.yaml'], env = {}, overrides, arrivals } = options;
    const files = config.map((file) => path.resolve(repository, file));
    const extra = (name: string, content: object): void => {
      const file = path.join(directory, name);
      writeFileSync(file, JSON.stringify(content)); // JSON is YAML
      files.push(file);
    };
    if (arrivals === true) extra('arrivals.yaml', arrivalsOverride(directory));
    if (overrides !== undefined) extra('overrides.yaml', overrides);
    super(directory, {
      name: 'collector',
      program: program('otelcol'),
      args: files.flatMap((file) => ['--config', file]),
      env: {
        COLLECTOR_STATE: directory,
        OTLP_GRPC_ENDPOINT: grpc ?? '',
        OTLP_HTTP_ENDPOINT: http ?? '',
        HEALTH_ENDPOINT: health ?? '',
        FILEWARD_OTLP_ENDPOINT: fragment ?? '',
        OTLP_SOCKET: socket,
        METRICS_PORT: String(ports[4]),
        ...env,
      },
      readyUrl: `http://${health}/`,
      // As systemd's RuntimeDirectory= does: a killed Collector leaves its socket, and can't listen on it again.
      prepare: () => rmSync(socket, { force: true }),
    });
    this.grpcUrl = `http://${grpc}`;
    this.httpUrl = `http://${http}`;
    this.fragmentUrl = `http://${fragment}`;
    this.socket = socket;
  }

  static async start(options: CollectorOptions): Promise<CollectorServer> {
    const server = new CollectorServer(serverDirectory('collector'), await freePorts(5), options);
    await server.start();
    return server;
  }

  /** With `arrivals`: the records that have come until now; a line cut short by a kill is left out. */
  arrivals(): Arrival[] {
    const file = arrivalsFile(this.directory);
    if (!existsSync(file)) return [];
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line.endsWith('}'))
      .flatMap((line) => {
        const { resourceLogs }: LogsLine = JSON.parse(line);
        return resourceLogs.flatMap(({ scopeLogs }) =>
          scopeLogs.flatMap(({ logRecords }) => logRecords),
        );
      });
  }
}

export function startCollector(options: CollectorOptions = {}): Promise<CollectorServer> {
  return CollectorServer.start(options);
}

function arrivalsFile(directory: string): string {
  return path.join(directory, 'arrivals.jsonl');
}

function arrivalsOverride(directory: string): object {
  // Only with rotation does the exporter write without a buffer.
  const exporter = { path: arrivalsFile(directory), rotation: { max_megabytes: 100_000 } };
  const exporters = ['file/arrivals'];
  return {
    exporters: { 'file/arrivals': exporter },
    service: { pipelines: { 'logs/alert': { exporters }, 'logs/bulk': { exporters } } },
  };
}

/** A server of Prometheus' kind: asked over HTTP, answers JSON. */
class HttpServerProcess extends ServerProcess {
  readonly url: string;

  constructor(
    directory: string,
    port: number,
    readyPath: string,
    command: { name: string; program: string; args: string[]; env?: Record<string, string> },
  ) {
    super(directory, {
      env: {},
      ...command,
      readyUrl: `http://127.0.0.1:${port}${readyPath}`,
    });
    this.url = `http://127.0.0.1:${port}`;
  }

  /** @throws Error with the server's own words when it doesn't answer 200. */
  async get<Answer>(target: string, parameters: Record<string, string> = {}): Promise<Answer> {
    const query = new URLSearchParams(parameters).toString();
    const response = await fetch(`${this.url}${target}?${query}`);
    const text = await response.text();
    if (!response.ok) throw new Error(`${target} ${query}: ${response.status} ${text}`);
    return JSON.parse(text) as Answer;
  }
}

export interface LogStream {
  /** Labels, and with them the structured metadata of the lines. */
  readonly stream: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [string, string])[];
}

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value?: readonly [number, string];
  readonly values?: readonly (readonly [number, string])[];
}

interface QueryAnswer<Result> {
  readonly data: { readonly result: Result[] };
}

export class LokiServer extends HttpServerProcess {
  /** Runs a LogQL expression over a span of time, by default the last hour. */
  async query<Result = LogStream>(
    expression: string,
    span: { from?: Date; to?: Date } = {},
  ): Promise<Result[]> {
    const { from = new Date(Date.now() - 3_600_000), to = new Date(Date.now() + 60_000) } = span;
    const { data } = await this.get<QueryAnswer<Result>>('/loki/api/v1/query_range', {
      query: expression,
      start: String(from.getTime() * 1_000_000),
      end: String(to.getTime() * 1_000_000),
      limit: '5000',
      step: String(Math.max(15, Math.ceil((to.getTime() - from.getTime()) / 1_000_000))), // at most 1,000 points
    });
    return data.result;
  }

  /** The labels of every stream, without the structured metadata. */
  async series(selector: string): Promise<Readonly<Record<string, string>>[]> {
    const { data } = await this.get<{ data: Record<string, string>[] }>('/loki/api/v1/series', {
      'match[]': selector,
      start: String((Date.now() - 86_400_000) * 1_000_000),
    });
    return data;
  }
}

/** Loki with the shipped `config/loki/loki.yaml`. */
export async function startLoki(): Promise<LokiServer> {
  const directory = serverDirectory('loki');
  const [port = 0, grpcPort = 0] = await freePorts(2);
  const server = new LokiServer(directory, port, '/ready', {
    name: 'loki',
    program: program('loki'),
    args: [
      `-config.file=${path.join(repository, 'config/loki/loki.yaml')}`,
      '-config.expand-env=true',
      '-ingester.min-ready-duration=0s', // else it says for 15 s that it isn't ready
    ],
    env: { LOKI_PORT: String(port), LOKI_GRPC_PORT: String(grpcPort), LOKI_DATA: directory },
  });
  await server.start();
  return server;
}

export class PrometheusServer extends HttpServerProcess {
  get remoteWriteUrl(): string {
    return `${this.url}/api/v1/write`;
  }

  /** Runs a PromQL expression now. */
  async query(expression: string): Promise<Series[]> {
    const { data } = await this.get<QueryAnswer<Series>>('/api/v1/query', { query: expression });
    return data.result;
  }
}

export interface PrometheusOptions {
  /** Rule files, as they are. */
  readonly rules?: readonly string[];
  /** Where alerts go: the address of an Alertmanager. */
  readonly alertmanager?: string;
  /** `host:port` of what it scrapes. */
  readonly scrape?: readonly string[];
}

/** Prometheus that takes remote writes and evaluates its rules each second. */
export async function startPrometheus(options: PrometheusOptions = {}): Promise<PrometheusServer> {
  const directory = serverDirectory('prometheus');
  const [port = 0] = await freePorts(1);
  const { rules = [], alertmanager, scrape = [] } = options;
  const targets = alertmanager === undefined ? [] : [new URL(alertmanager).host];
  const config = path.join(directory, 'prometheus.yaml');
  const document = {
    global: { evaluation_interval: '1s', scrape_interval: '1s' },
    rule_files: rules.map((file) => path.resolve(repository, file)),
    alerting: { alertmanagers: [{ static_configs: [{ targets }] }] },
    scrape_configs: [{ job_name: 'collector', static_configs: [{ targets: scrape }] }],
    storage: { tsdb: { out_of_order_time_window: '30m' } },
  };
  writeFileSync(config, JSON.stringify(document));
  const server = new PrometheusServer(directory, port, '/-/ready', {
    name: 'prometheus',
    program: program('prometheus'),
    args: [
      `--config.file=${config}`,
      `--storage.tsdb.path=${path.join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--web.enable-remote-write-receiver',
      '--rules.alert.resend-delay=1s',
    ],
  });
  await server.start();
  return server;
}

/** Alertmanager that passes every alert on to one webhook at once. */
export async function startAlertmanager(options: {
  readonly webhook: string;
}): Promise<HttpServerProcess> {
  const directory = serverDirectory('alertmanager');
  const [port = 0] = await freePorts(1);
  const config = path.join(directory, 'alertmanager.yaml');
  const receiver = { name: 'webhook', webhook_configs: [{ url: options.webhook }] };
  const route = { receiver: 'webhook', group_by: ['...'], group_wait: '0s', group_interval: '1s' };
  writeFileSync(config, JSON.stringify({ route, receivers: [receiver] }));
  mkdirSync(path.join(directory, 'data'));
  const server = new HttpServerProcess(directory, port, '/-/ready', {
    name: 'alertmanager',
    program: program('alertmanager'),
    args: [
      `--config.file=${config}`,
      `--storage.path=${path.join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--cluster.listen-address=',
    ],
  });
  await server.start();
  return server;
}

export interface Notification {
  readonly alerts: readonly {
    readonly status: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  }[];
}

/** Takes and keeps what Alertmanager sends. */
export class Webhook {
  readonly received: Notification[] = [];
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }

  static async start(): Promise<Webhook> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const webhook = new Webhook(server);
    server.on('request', async (request, response) => {
      let text = '';
      for await (const part of request.setEncoding('utf8')) text += part;
      webhook.received.push(JSON.parse(text));
      response.end();
    });
    return webhook;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** What the shipped configuration speaks of: a Collector that feeds Loki and Prometheus, which scrapes it besides. */
export async function startBackends(options: Omit<PrometheusOptions, 'scrape'>): Promise<{
  loki: LokiServer;
  prometheus: PrometheusServer;
  collector: CollectorServer;
}> {
  const loki = await startLoki();
  const [port = 0] = await freePorts(1);
  const prometheus = await startPrometheus({ ...options, scrape: [`127.0.0.1:${port}`] });
  const collector = await startCollector({
    env: {
      LOKI_ENDPOINT: `${loki.url}/otlp`,
      PROMETHEUS_ENDPOINT: prometheus.remoteWriteUrl,
      METRICS_PORT: String(port),
    },
  });
  return { loki, prometheus, collector };
}

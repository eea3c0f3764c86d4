/** A collector that only takes and keeps, over gRPC or HTTP; decodes with the protocol's own definition. */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import protobuf from 'protobufjs';

const root = new protobuf.Root();
root.resolvePath = (_, target) => path.join(import.meta.dirname, target);
root.loadSync(
  ['logs', 'metrics'].map(
    (each) => `opentelemetry/proto/collector/${each}/v1/${each}_service.proto`,
  ),
);

export type Value =
  | { stringValue: string }
  | { intValue: string }
  | { boolValue: boolean }
  | { doubleValue: number }
  | { arrayValue: { values: Value[] } };
export interface KeyValue {
  key: string;
  value: Value;
}
export interface LogRecord {
  timeUnixNano: string;
  observedTimeUnixNano: string;
  severityNumber: string;
  severityText: string;
  eventName: string;
  body: Value;
  attributes: KeyValue[];
}
export interface Scope {
  name: string;
  version: string;
}
export interface LogsRequest {
  resourceLogs: {
    resource: { attributes: KeyValue[] };
    schemaUrl: string;
    scopeLogs: { scope: Scope; schemaUrl: string; logRecords: LogRecord[] }[];
  }[];
}
export interface NumberPoint {
  attributes?: KeyValue[];
  startTimeUnixNano: string;
  timeUnixNano: string;
  asInt?: string;
  asDouble?: number;
}
export interface HistogramPoint {
  attributes: KeyValue[];
  count: string;
  sum: number;
  bucketCounts: string[];
  explicitBounds: number[];
}
export interface Metric {
  name: string;
  unit: string;
  description: string;
  sum?: { dataPoints: NumberPoint[]; aggregationTemporality: string; isMonotonic?: boolean };
  gauge?: { dataPoints: NumberPoint[] };
  histogram?: { dataPoints: HistogramPoint[]; aggregationTemporality: string };
}
export interface MetricsRequest {
  resourceMetrics: {
    resource: { attributes: KeyValue[] };
    schemaUrl: string;
    scopeMetrics: { scope: Scope; schemaUrl: string; metrics: Metric[] }[];
  }[];
}

export interface Refusal {
  readonly grpc: number;
  readonly http: number;
  readonly retryAfterMs?: number;
  /** Taken all the same: its answer was lost, or the collector is wrong about itself. */
  readonly taken?: boolean;
}

/** How a log request is answered: not taken, taken in part, or taken and answered late. */
export type Answer = Refusal | { readonly rejected: number } | { readonly delayMs: number };

/** How a collector listens. */
export interface Listening {
  readonly protocol: 'grpc' | 'http/protobuf';
  /** A path: a unix socket. */
  readonly socket?: string;
  readonly tls?: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };
  readonly port?: number;
}

export class Collector {
  readonly logs: LogsRequest[] = [];
  readonly metrics: MetricsRequest[] = [];
  /** Of each request of a signal that came, taken or not. */
  readonly headers: Record<string, string | string[] | undefined>[] = [];
  readonly sizes: number[] = [];
  /** Answers of the next log requests; then `answer` says, and without it all are taken. */
  readonly answers: Answer[] = [];
  answer: ((request: LogsRequest) => Answer | undefined) | undefined;
  /** The bytes of each log request that came, taken or not. */
  readonly attempts: Buffer[] = [];
  url = '';
  port = 0;
  #close: () => Promise<void> = async () => {};

  static async start(listening: Listening): Promise<Collector> {
    const collector = new Collector();
    if (listening.protocol === 'grpc') await collector.#startGrpc(listening);
    else await collector.#startHttp(listening);
    return collector;
  }

  close(): Promise<void> {
    return this.#close();
  }

  records(): LogRecord[] {
    return this.logs.flatMap(({ resourceLogs }) =>
      resourceLogs.flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords)),
    );
  }

  /** Resolves when so many records have come. */
  async received(count: number): Promise<LogRecord[]> {
    const deadline = Date.now() + 20_000;
    while (this.records().length < count) {
      if (Date.now() > deadline) {
        throw new Error(`${this.records().length} records came, not ${count}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return this.records();
  }

  /** The last data of a metric, all requests of one collection together. */
  metric(name: string): Metric | undefined {
    return this.metrics
      .flatMap(({ resourceMetrics }) =>
        resourceMetrics.flatMap(({ scopeMetrics }) =>
          scopeMetrics.flatMap(({ metrics }) => metrics),
        ),
      )
      .findLast((metric) => metric.name === name);
  }

  async #startGrpc({ socket, tls, port = 0 }: Listening): Promise<void> {
    const server = new Server({ 'grpc.max_receive_message_length': 4 * 1024 * 1024 });
    for (const signal of ['logs', 'metrics'] as const) {
      const name = signal === 'logs' ? 'LogsService' : 'MetricsService';
      const definition = {
        Export: {
          path: `/opentelemetry.proto.collector.${signal}.v1.${name}/Export`,
          requestStream: false,
          responseStream: false,
          requestSerialize: (bytes: Buffer) => bytes,
          requestDeserialize: (bytes: Buffer) => bytes,
          responseSerialize: (bytes: Buffer) => bytes,
          responseDeserialize: (bytes: Buffer) => bytes,
        },
      } satisfies ServiceDefinition;
      server.addService(definition, {
        Export: (
          call: { request: Buffer; metadata: Metadata },
          done: (error: Partial<ServiceError> | null, response?: Buffer) => void,
        ) => {
          this.headers.push(call.metadata.getMap() as Record<string, string>);
          const answer = this.#take(signal, call.request);
          if ('response' in answer) {
            return later(answer.delayMs, () => done(null, answer.response));
          }
          done({
            code: answer.grpc,
            details: 'as told',
            metadata: statusDetails(answer.retryAfterMs),
          });
        },
      });
    }
    const credentials = tls
      ? ServerCredentials.createSsl(tls.ca, [{ private_key: tls.key, cert_chain: tls.cert }], true)
      : ServerCredentials.createInsecure();
    const bound = await new Promise<number>((resolve, reject) => {
      const address = socket === undefined ? `127.0.0.1:${port}` : `unix:${socket}`;
      server.bindAsync(address, credentials, (error, found) =>
        error ? reject(error) : resolve(found),
      );
    });
    this.port = bound;
    this.url =
      socket === undefined ? `${tls ? 'https' : 'http'}://localhost:${bound}` : `unix://${socket}`;
    this.#close = async () => server.forceShutdown();
  }

  async #startHttp({ socket, tls, port = 0 }: Listening): Promise<void> {
    const handle = (request: IncomingMessage, response: ServerResponse) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        this.headers.push(request.headers as IncomingHttpHeaders & { [name: string]: string });
        this.#answerHttp(request.url ?? '', Buffer.concat(parts), request.headers, response);
      });
    };
    const server = tls
      ? createSecureServer({ ...tls, requestCert: true, rejectUnauthorized: true }, handle)
      : createServer(handle);
    await new Promise<void>((resolve) => {
      if (socket === undefined) server.listen(port, '127.0.0.1', resolve);
      else server.listen(socket, resolve);
    });
    this.port = socket === undefined ? (server.address() as AddressInfo).port : 0;
    const scheme = tls ? 'https://localhost' : 'http://127.0.0.1';
    this.url = socket === undefined ? `${scheme}:${this.port}` : `unix://${socket}`;
    this.#close = async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    };
  }

  #answerHttp(
    url: string,
    body: Buffer,
    headers: IncomingHttpHeaders,
    response: ServerResponse,
  ): void {
    const [, signal] = /^\/v1\/(logs|metrics)$/.exec(url) ?? [];
    if (signal === undefined || headers['content-type'] !== 'application/x-protobuf') {
      response.writeHead(404).end();
      return;
    }
    const plain = headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
    const answer = this.#take(signal as 'logs' | 'metrics', plain);
    if ('response' in answer) {
      response.writeHead(200, { 'content-type': 'application/x-protobuf' });
      later(answer.delayMs, () => response.end(answer.response));
      return;
    }
    const { http, retryAfterMs } = answer;
    const after = retryAfterMs === undefined ? {} : { 'retry-after': String(retryAfterMs / 1000) };
    response.writeHead(http, after).end();
  }

  #take(
    signal: 'logs' | 'metrics',
    bytes: Buffer,
  ): { response: Buffer; delayMs: number } | Refusal {
    const service = `opentelemetry.proto.collector.${signal}.v1.Export${signal === 'logs' ? 'Logs' : 'Metrics'}Service`;
    const type = root.lookupType(`${service}Request`);
    const request = type.toObject(type.decode(bytes), {
      longs: String,
      enums: String,
      arrays: true,
    });
    if (signal === 'logs') this.attempts.push(bytes);
    const answer =
      signal === 'logs'
        ? (this.answers.shift() ?? this.answer?.(request as LogsRequest))
        : undefined;
    const refusal = answer && 'grpc' in answer ? answer : undefined;
    if (refusal !== undefined && refusal.taken !== true) return refusal;
    this.sizes.push(bytes.length);
    if (signal === 'logs') this.logs.push(request as LogsRequest);
    else this.metrics.push(request as MetricsRequest);
    if (refusal !== undefined) return refusal;
    const responseType = root.lookupType(`${service}Response`);
    const rejected = answer && 'rejected' in answer ? answer.rejected : 0;
    const delayMs = answer && 'delayMs' in answer ? answer.delayMs : 0;
    const partial = rejected > 0 && { partialSuccess: { rejectedLogRecords: rejected } };
    return {
      delayMs,
      response: Buffer.from(responseType.encode(responseType.fromObject(partial || {})).finish()),
    };
  }
}

function later(ms: number, answer: () => void): void {
  if (ms === 0) answer();
  else setTimeout(answer, ms);
}

/** google.rpc.Status with a RetryInfo, as a server's library makes it. */
function statusDetails(retryAfterMs: number | undefined): Metadata {
  const metadata = new Metadata();
  if (retryAfterMs === undefined) return metadata;
  const types = protobuf.parse(
    `syntax = "proto3"; package google.rpc;
     message Duration { int64 seconds = 1; int32 nanos = 2; }
     message RetryInfo { Duration retry_delay = 1; }
     message Any { string type_url = 1; bytes value = 2; }
     message Status { int32 code = 1; string message = 2; repeated Any details = 3; }`,
    { keepCase: true },
  ).root;
  const encode = (name: string, value: object) => {
    const type = types.lookupType(`google.rpc.${name}`);
    return type.encode(type.fromObject(value)).finish();
  };
  const value = encode('RetryInfo', {
    retry_delay: {
      seconds: Math.floor(retryAfterMs / 1000),
      nanos: Math.round((retryAfterMs % 1000) * 1e6),
    },
  });
  const details = [{ type_url: 'type.googleapis.com/google.rpc.RetryInfo', value }];
  metadata.set(
    'grpc-status-details-bin',
    Buffer.from(encode('Status', { code: 8, message: 'busy', details })),
  );
  return metadata;
}

/** Attributes as one object, each value under the name of its wire type. */
export function attributesOf(list: readonly KeyValue[] = []): Record<string, Value> {
  return Object.fromEntries(list.map(({ key, value }) => [key, value]));
}

/** Attributes of a metric point as plain text. */
export function labelsOf(point: { attributes?: KeyValue[] }): Record<string, string> {
  return Object.fromEntries(
    (point.attributes ?? []).map(({ key, value }) => [
      key,
      'stringValue' in value ? value.stringValue : '?',
    ]),
  );
}

import {
  type Client,
  type ClientUnaryCall,
  credentials,
  makeGenericClientConstructor,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import type { ExportSettings, Signal } from './export-settings.ts';
import { retryDelayMs } from './retry-info.ts';
import type { SendResult, Transport } from './transport.ts';

const SERVICE: Readonly<Record<Signal, string>> = {
  logs: 'opentelemetry.proto.collector.logs.v1.LogsService',
  metrics: 'opentelemetry.proto.collector.metrics.v1.MetricsService',
};
/** OTLP specification: retryable whatever comes with them. RESOURCE_EXHAUSTED is only with a RetryInfo. */
const RETRYABLE: ReadonlySet<number> = new Set([
  status.CANCELLED,
  status.DEADLINE_EXCEEDED,
  status.ABORTED,
  status.OUT_OF_RANGE,
  status.UNAVAILABLE,
  status.DATA_LOSS,
]);
/** Somebody answers who isn't the collector, or isn't to hear us: no fault of the records. */
const MISCONFIGURED: ReadonlySet<number> = new Set([
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
  status.UNIMPLEMENTED,
  status.NOT_FOUND,
]);
/** grpc-js makes such an INTERNAL itself when a stream ends before there was an answer. */
const CUT_OFF = /^Received RST_STREAM /;
const GRPC_GZIP = 2;
/** After so many deadlines in a row the connection is taken for dead, which grpc-js itself may not notice. */
const DEADLINES_BEFORE_RECONNECT = 5;

interface LogsOrMetricsClient extends Client {
  export(
    request: Buffer,
    metadata: Metadata,
    options: { deadline: number },
    callback: (error: ServiceError | null, response?: Buffer) => void,
  ): ClientUnaryCall;
}

const asIs = (bytes: Buffer): Buffer => bytes;

export class GrpcTransport implements Transport {
  readonly #settings: ExportSettings;
  readonly #signal: Signal;
  readonly #metadata = new Metadata();
  #client: LogsOrMetricsClient | undefined;
  readonly #calls = new Set<ClientUnaryCall>();
  #deadlines = 0;

  constructor(signal: Signal, settings: ExportSettings) {
    this.#signal = signal;
    this.#settings = settings;
  }

  async send(request: Uint8Array): Promise<SendResult> {
    try {
      this.#client ??= this.#connect();
      return await this.#export(this.#client, request);
    } catch (error) {
      // What gRPC throws is about the settings, which were checked: no fault of the records.
      return { kind: 'misconfigured', reason: `grpc: ${(error as Error).message}` };
    }
  }

  /** Cuts off what is in flight. */
  close(): void {
    for (const call of this.#calls) call.cancel();
    this.#client?.close();
    this.#client = undefined;
  }

  #export(client: LogsOrMetricsClient, request: Uint8Array): Promise<SendResult> {
    const body = Buffer.from(request.buffer, request.byteOffset, request.byteLength);
    const deadline = Date.now() + this.#settings.timeoutMs;
    return new Promise((resolve) => {
      const call = client.export(body, this.#metadata, { deadline }, (error, response) => {
        this.#calls.delete(call);
        if (error === null) {
          this.#deadlines = 0;
          resolve({ kind: 'success', response: response ?? Buffer.alloc(0) });
          return;
        }
        if (error.code === status.DEADLINE_EXCEEDED) this.#noteDeadline();
        resolve(resultOf(error));
      });
      this.#calls.add(call);
    });
  }

  #noteDeadline(): void {
    this.#deadlines += 1;
    if (this.#deadlines < DEADLINES_BEFORE_RECONNECT) return;
    this.#deadlines = 0;
    this.close();
  }

  #connect(): LogsOrMetricsClient {
    const { url, tls, compression, headers } = this.#settings;
    for (const [name, value] of Object.entries(headers)) this.#metadata.set(name, value);
    const Service = makeGenericClientConstructor(
      {
        export: {
          path: `/${SERVICE[this.#signal]}/Export`,
          requestStream: false,
          responseStream: false,
          requestSerialize: asIs,
          requestDeserialize: asIs,
          responseSerialize: asIs,
          responseDeserialize: asIs,
        },
      },
      'Export',
    );
    const channel = tls
      ? credentials.createSsl(tls.ca ?? null, tls.key ?? null, tls.cert ?? null)
      : credentials.createInsecure();
    const client = new Service(targetOf(url), channel, {
      'grpc.default_compression_algorithm': compression === 'gzip' ? GRPC_GZIP : 0,
      'grpc.primary_user_agent': 'fileward',
      // A collector that was away is found again within seconds, not minutes.
      'grpc.max_reconnect_backoff_ms': 5000,
      // A connection of its own: what fills the window of one lane holds up no other.
      'grpc.use_local_subchannel_pool': 1,
    });
    return client as unknown as LogsOrMetricsClient;
  }
}

function targetOf(url: string): string {
  if (url.startsWith('unix:')) return url;
  const { protocol, hostname, port } = new URL(url);
  return `${hostname}:${port || (protocol === 'https:' ? '443' : '80')}`;
}

function resultOf(error: ServiceError): SendResult {
  const { code, details, metadata } = error;
  const reason = `grpc ${status[code] ?? code}: ${details}`;
  const afterMs = retryDelayMs(metadata?.get('grpc-status-details-bin')[0]);
  const retryable =
    RETRYABLE.has(code) ||
    (code === status.RESOURCE_EXHAUSTED && afterMs !== undefined) ||
    (code === status.INTERNAL && CUT_OFF.test(details));
  if (retryable) return { kind: 'later', reason, ...(afterMs !== undefined && { afterMs }) };
  if (MISCONFIGURED.has(code)) return { kind: 'misconfigured', reason };
  if (code === status.RESOURCE_EXHAUSTED) return { kind: 'too_large', reason, certain: false };
  return { kind: 'refused', reason };
}

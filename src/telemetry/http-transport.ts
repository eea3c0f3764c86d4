import {
  Agent,
  type IncomingHttpHeaders,
  request as httpRequest,
  type RequestOptions,
} from 'node:http';
import { Agent as SecureAgent, request as httpsRequest } from 'node:https';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { ExportSettings, Signal } from './export-settings.ts';
import type { SendResult, Transport } from './transport.ts';

/** OTLP specification. */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** Not the collector, or not for us: no fault of the records. A redirect is not followed. */
const MISCONFIGURED: ReadonlySet<number> = new Set([301, 302, 307, 308, 401, 403, 404, 405, 407]);
const PAYLOAD_TOO_LARGE = 413;
const MOST_RESPONSE_BYTES = 4 * 1024 * 1024;
const compress = promisify(gzip);

export class HttpTransport implements Transport {
  readonly #settings: ExportSettings;
  readonly #options: RequestOptions;
  readonly #agent: Agent;

  constructor(signal: Signal, settings: ExportSettings) {
    this.#settings = settings;
    const { url, tls } = settings;
    this.#agent = tls
      ? new SecureAgent({ keepAlive: true, ...tls })
      : new Agent({ keepAlive: true });
    this.#options = {
      method: 'POST',
      agent: this.#agent,
      ...addressOf(url, signal),
      headers: {
        ...settings.headers,
        'content-type': 'application/x-protobuf',
        'user-agent': 'fileward',
        ...(settings.compression === 'gzip' && { 'content-encoding': 'gzip' }),
      },
    };
  }

  async send(request: Uint8Array): Promise<SendResult> {
    try {
      const body = this.#settings.compression === 'gzip' ? await compress(request) : request;
      return await this.#post(body);
    } catch (error) {
      // Not reached, or cut off on the way: the collector may or may not have it; ids tell duplicates.
      return { kind: 'later', reason: messageOf(error) };
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #post(body: Uint8Array): Promise<SendResult> {
    const start = this.#settings.tls ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(this.#settings.timeoutMs);
      const outgoing = start({ ...this.#options, signal }, (incoming) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        incoming.on('data', (part: Buffer) => {
          bytes += part.length;
          if (bytes <= MOST_RESPONSE_BYTES) parts.push(part);
        });
        incoming.on('error', reject);
        incoming.on('end', () => {
          resolve(resultOf(incoming.statusCode ?? 0, incoming.headers, Buffer.concat(parts)));
        });
      });
      outgoing.on('error', reject);
      outgoing.setHeader('content-length', body.length);
      outgoing.end(body);
    });
  }
}

function addressOf(url: string, signal: Signal): RequestOptions {
  if (url.startsWith('unix:')) {
    return { socketPath: url.replace(/^unix:(\/\/)?/, ''), path: `/v1/${signal}` };
  }
  const { hostname, port, pathname, search } = new URL(url);
  return {
    // An IPv6 address without its brackets.
    hostname: hostname.replace(/^\[|\]$/g, ''),
    ...(port !== '' && { port }),
    path: pathname + search,
  };
}

function resultOf(code: number, headers: IncomingHttpHeaders, body: Buffer): SendResult {
  if (code >= 200 && code < 300) return { kind: 'success', response: body };
  const reason = `http ${code}`;
  if (RETRYABLE.has(code)) {
    const afterMs = retryAfterMs(headers['retry-after']);
    return { kind: 'later', reason, ...(afterMs !== undefined && { afterMs }) };
  }
  if (MISCONFIGURED.has(code)) return { kind: 'misconfigured', reason };
  if (code === PAYLOAD_TOO_LARGE) return { kind: 'too_large', reason, certain: true };
  return { kind: 'refused', reason };
}

/** Of several addresses tried in vain, the message is empty and the code says why. */
function messageOf(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return message || String(code);
}

/** Seconds or a date. */
function retryAfterMs(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const seconds = Number(value);
  const wait = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(wait) ? Math.max(wait, 0) : undefined;
}

/**
 * Owns the listening unix socket and every client connection; all on the JavaScript thread.
 * Requests are handed to the agent's handlers, records come in through `publish` and go to the clients that tail.
 * Nothing is buffered without bound: a request line is at most 64 KiB, there are at most 64 clients, and a tail client
 * that doesn't read loses records, which it is told by number. It must never hold up the agent, so nothing here waits
 * for a client.
 */
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { FilewardRecord } from '../records/record.ts';
import { codeOf, Failure, messageOf } from './failure.ts';
import {
  MAX_REQUEST_BYTES,
  RECORD_LINE_PREFIX,
  type Request,
  type Response,
  requestSchema,
  type TailFilter,
} from './protocol.ts';

const MAX_CLIENTS = 64;
const MAX_UNREAD_BYTES = 1024 * 1024;
/** sun_path of a unix address, less its final NUL. */
const MAX_SOCKET_PATH_BYTES = 107;

export type ControlHandler = (request: Exclude<Request, { command: 'tail' }>) => Promise<unknown>;

interface TailClient {
  readonly socket: Socket;
  readonly filter: TailFilter;
  dropped: number;
}

export interface ControlServerOptions {
  readonly path: string;
  readonly handle: ControlHandler;
  readonly toNdjson: (record: FilewardRecord) => string;
}

export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  readonly #tails = new Set<TailClient>();

  constructor(options: ControlServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Binds with mode 0600. The caller holds the state directory's lock, so a socket that is there is a dead one. */
  async listen(): Promise<void> {
    const { path } = this.#options;
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
      throw new Failure(
        2,
        `the control socket's path ${path} is longer than ${MAX_SOCKET_PATH_BYTES} bytes; ` +
          'set FILEWARD_SOCKET to a shorter one',
      );
    }
    rmSync(path, { force: true });
    const umask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(path, resolve);
      });
    } catch (error) {
      throw new Failure(3, `cannot listen on ${path}: ${codeOf(error) ?? messageOf(error)}`);
    } finally {
      process.umask(umask);
    }
  }

  /** Hands a record to every client that tails it. */
  publish(record: FilewardRecord): void {
    if (this.#tails.size === 0) return;
    let line: string | undefined;
    for (const client of this.#tails) {
      if (!matches(client.filter, record)) continue;
      if (client.socket.writableLength > MAX_UNREAD_BYTES) {
        client.dropped++;
        continue;
      }
      line ??= `${RECORD_LINE_PREFIX}${this.#options.toNdjson(record)}}\n`;
      tellDropped(client);
      client.socket.write(line);
    }
  }

  close(): void {
    this.#server.close();
    for (const client of this.#tails) tellDropped(client);
    for (const socket of this.#clients) socket.destroySoon();
  }

  #accept(socket: Socket): void {
    if (this.#clients.size >= MAX_CLIENTS) {
      socket.end(`${JSON.stringify({ ok: false, status: 3, error: 'too many clients' })}\n`);
      return;
    }
    this.#clients.add(socket);
    let input = '';
    socket.setEncoding('utf8');
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#clients.delete(socket));
    socket.on('data', (chunk: string) => {
      input += chunk;
      let end = input.indexOf('\n');
      while (end >= 0) {
        void this.#answer(socket, input.slice(0, end));
        input = input.slice(end + 1);
        end = input.indexOf('\n');
      }
      if (input.length > MAX_REQUEST_BYTES) {
        input = '';
        reply(socket, { ok: false, status: 2, error: 'the request is too long' });
        socket.destroySoon();
      }
    });
  }

  async #answer(socket: Socket, line: string): Promise<void> {
    let request: Request;
    try {
      request = requestSchema.parse(JSON.parse(line));
    } catch (error) {
      reply(socket, { ok: false, status: 2, error: `not a request: ${messageOf(error)}` });
      return;
    }
    if (request.command === 'tail') {
      const { command: _, ...filter } = request;
      reply(socket, { ok: true, result: null });
      this.#tail(socket, filter);
      return;
    }
    try {
      reply(socket, { ok: true, result: (await this.#options.handle(request)) ?? null });
    } catch (error) {
      const status = error instanceof Failure ? error.status : 3;
      reply(socket, { ok: false, status, error: messageOf(error) });
    }
  }

  #tail(socket: Socket, filter: TailFilter): void {
    const client: TailClient = { socket, filter, dropped: 0 };
    this.#tails.add(client);
    socket.on('close', () => this.#tails.delete(client));
    socket.on('drain', () => tellDropped(client));
  }
}

function reply(socket: Socket, response: Response): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify(response)}\n`);
}

function tellDropped(client: TailClient): void {
  if (client.dropped === 0 || client.socket.destroyed) return;
  client.socket.write(`${JSON.stringify({ dropped: client.dropped })}\n`);
  client.dropped = 0;
}

function matches(filter: TailFilter, record: FilewardRecord): boolean {
  const { attributes, event } = record;
  return (
    (filter.group === undefined || attributes['security_rule.ruleset.name'] === filter.group) &&
    (filter.rule === undefined || attributes['security_rule.name'] === filter.rule) &&
    (filter.event === undefined ||
      event === filter.event ||
      event === `fileward.${filter.event}` ||
      event === `fileward.file.${filter.event}`)
  );
}

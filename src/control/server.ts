/**
 * Owns the listening unix socket and every client connection; all on the JavaScript thread.
 * Requests are handed to the agent's handlers, records come in through `publish` and go to the clients that tail.
 * Only root and the agent's own user are answered, whatever the mode of the socket and whoever passed them a descriptor.
 * Nothing is buffered without bound: a request line is at most 64 KiB, there are at most 64 clients, requests of one are
 * answered in turn and no further than it reads the answers, and a tail client that doesn't read loses records, which it
 * is told by number. It must never hold up the agent, so nothing here waits for a client but that client's own requests.
 */
import { once } from 'node:events';
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { Native } from '../native/addon.ts';
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
import { descriptorOf } from './socket-descriptor.ts';

const MAX_CLIENTS = 64;
const MAX_UNREAD_BYTES = 1024 * 1024;
/** sun_path of a unix address, less its final NUL. */
const MAX_SOCKET_PATH_BYTES = 107;

export type ControlHandler = (request: Exclude<Request, { command: 'tail' }>) => Promise<unknown>;

export type Peer = ReturnType<Native['peerCredentials']>;

interface TailClient {
  readonly socket: Socket;
  readonly filter: TailFilter;
  dropped: number;
}

export interface ControlServerOptions {
  readonly path: string;
  readonly handle: ControlHandler;
  readonly toNdjson: (record: FilewardRecord) => string;
  readonly peerCredentials: Native['peerCredentials'];
  /** Told of each connection that was turned away for who made it. */
  readonly onRefused?: (peer: Peer) => void;
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
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(path, resolve);
      });
      // Not by the umask: that is the whole process's, and other threads make files meanwhile.
      chmodSync(path, 0o600);
    } catch (error) {
      throw new Failure(3, `cannot listen on ${path}: ${codeOf(error) ?? messageOf(error)}`);
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
    socket.on('error', () => socket.destroy());
    const refusal = this.#refusal(socket);
    if (refusal !== undefined) {
      reply(socket, { ok: false, status: 3, error: refusal });
      // Whether it reads that or not.
      socket.destroySoon();
      return;
    }
    this.#clients.add(socket);
    socket.on('close', () => this.#clients.delete(socket));
    socket.setEncoding('utf8');
    let input = '';
    let answering = false;
    const answerAll = async (): Promise<void> => {
      answering = true;
      for (let end = input.indexOf('\n'); end >= 0; end = input.indexOf('\n')) {
        const line = input.slice(0, end);
        input = input.slice(end + 1);
        await this.#answer(socket, line);
        if (socket.writableLength > MAX_UNREAD_BYTES) await readBy(socket);
      }
      answering = false;
      socket.resume();
    };
    socket.on('data', (chunk: string) => {
      input += chunk;
      if (!answering) void answerAll();
      if (input.length <= MAX_REQUEST_BYTES) return;
      // What comes behind a request that is still being answered waits in the kernel.
      if (answering) {
        socket.pause();
        return;
      }
      input = '';
      reply(socket, { ok: false, status: 2, error: 'the request is too long' });
      socket.destroySoon();
    });
  }

  #refusal(socket: Socket): string | undefined {
    const peer = this.#peerOf(socket);
    if (peer === undefined || (peer.uid !== 0 && peer.uid !== process.geteuid?.())) {
      this.#options.onRefused?.(peer ?? { pid: 0, uid: -1, gid: -1 });
      return 'only root may ask the agent; try sudo';
    }
    return this.#clients.size < MAX_CLIENTS ? undefined : 'too many clients';
  }

  /** Undefined when the kernel doesn't say. */
  #peerOf(socket: Socket): Peer | undefined {
    try {
      return this.#options.peerCredentials(descriptorOf(socket) ?? -1);
    } catch {
      return undefined;
    }
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

/** Resolves when the client has read what it was answered, or has gone. */
async function readBy(socket: Socket): Promise<void> {
  const gone = new AbortController();
  socket.once('close', () => gone.abort());
  await once(socket, 'drain', { signal: gone.signal }).catch(() => undefined);
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

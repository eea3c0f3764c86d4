/** A TCP proxy of ours between an agent and a collector: the network that a test can take away. */
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';

export class Network {
  readonly port: number;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #server: Server;
  #cutAfter = Number.POSITIVE_INFINITY;
  /** Connections that were cut in the middle of what the agent sent. */
  cuts = 0;

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
    this.port = (server.address() as AddressInfo).port;
    this.#serve(server);
  }

  static async start(target: number): Promise<Network> {
    return new Network(await listen(0), target);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** From now on nobody listens here, and every connection is broken. */
  async refuse(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Listens again. */
  async accept(): Promise<void> {
    this.#server = await listen(this.port);
    this.#serve(this.#server);
  }

  /** Breaks each connection when the agent has sent so many bytes through it; without a number, none. */
  cutAfter(bytes = Number.POSITIVE_INFINITY): void {
    this.#cutAfter = bytes;
  }

  #serve(server: Server): void {
    server.on('connection', (near) => {
      const far = connect(this.#target, '127.0.0.1');
      let sent = 0;
      near.on('data', (bytes: Buffer) => {
        sent += bytes.length;
        if (sent <= this.#cutAfter) return;
        this.cuts += 1;
        near.destroy();
      });
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.once('close', () => {
          this.#sockets.delete(socket);
          (socket === near ? far : near).destroy();
        });
      }
      near.pipe(far);
      far.pipe(near);
    });
  }
}

async function listen(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}

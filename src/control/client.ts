/** A command's side of the control socket: one connection, one request, then its answer or its stream of lines. */
import { createConnection, type Socket } from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import { codeOf, Failure } from './failure.ts';
import type { Request, Response, Results } from './protocol.ts';
import { type AgentChoice, findAgent } from './registry.ts';

export class AgentConnection implements Disposable {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#reader = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** @throws Failure 3 when no agent answers, 2 when it isn't clear which one is meant. */
  static async open(
    choice: AgentChoice = {},
    env: NodeJS.ProcessEnv = process.env,
  ): Promise<AgentConnection> {
    const path = findAgent(choice, env);
    const socket = createConnection(path);
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
      });
    } catch (error) {
      throw new Failure(3, whyNot(path, codeOf(error)));
    }
    socket.on('error', () => socket.destroy());
    return new AgentConnection(socket);
  }

  /** @throws Failure with the status and the words of the agent's refusal. */
  async request<C extends Request['command']>(
    request: Extract<Request, { command: C }>,
  ): Promise<Results[C]> {
    this.#socket.write(`${JSON.stringify(request)}\n`);
    const line = await this.nextLine();
    if (line === null) throw new Failure(3, 'the agent left before it answered');
    const response: Response = JSON.parse(line);
    if (!response.ok) throw new Failure(response.status, response.error);
    // Both ends are the same version of this program; what comes back is trusted.
    return response.result as Results[C];
  }

  /** The next line of a stream; null at its end. */
  async nextLine(): Promise<string | null> {
    const { value, done } = await this.#lines.next();
    return done ? null : value;
  }

  [Symbol.dispose](): void {
    this.#reader.close();
    this.#socket.destroy();
  }
}

function whyNot(path: string, code: string | undefined): string {
  if (code === 'EACCES') return `only root may ask the agent (${path}); try sudo`;
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    return `no agent is listening on ${path}; start one with: fileward run`;
  }
  return `cannot reach the agent on ${path}: ${code}`;
}

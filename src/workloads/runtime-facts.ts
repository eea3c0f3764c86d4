/**
 * What all runtimes on the machine say of containers. Owns one connection for each socket; users' own sockets are looked for
 * now and then. Decides whose word counts for which container: a user's runtime for that user's cgroups only, nobody's for
 * what runs inside another container, where the names of cgroups are that container's choice.
 */
import { existsSync } from 'node:fs';
import type { Logger } from 'pino';
import type { ContainerCgroup } from './cgroup-path.ts';
import type { ContainerFacts } from './runtime-client.ts';
import { RuntimeConnection } from './runtime-connection.ts';
import { type RuntimeSocket, userSockets } from './runtime-sockets.ts';

export interface Told {
  readonly facts?: ContainerFacts;
  /** A runtime has been asked and hasn't answered yet. */
  readonly asking: boolean;
  /** Why there are no facts, for people; '' when there are. */
  readonly why: string;
}

export interface RuntimeFactsOptions {
  readonly log: Logger;
  readonly sockets: readonly RuntimeSocket[];
  /** Also the sockets of users, as they come. */
  readonly users: boolean;
  /** This container's facts may have changed; undefined: anybody's. */
  readonly onFacts: (containerId?: string) => void;
  readonly wanted: (containerId: string) => boolean;
}

export class RuntimeFacts {
  readonly #options: RuntimeFactsOptions;
  readonly #connections: RuntimeConnection[] = [];

  constructor(options: RuntimeFactsOptions) {
    this.#options = options;
  }

  /** Returns when each socket that is there was tried once. */
  async start(): Promise<void> {
    await Promise.all([...this.#options.sockets.map((socket) => this.#add(socket)), this.look()]);
  }

  /** Looks for sockets of users who have come since. */
  async look(): Promise<void> {
    const found = this.#options.users ? userSockets() : [];
    const known = new Set(this.#connections.map(({ socket }) => socket.path));
    const wanted = found.filter(({ path }) => !known.has(path) && existsSync(path));
    await Promise.all(wanted.map((socket) => this.#add(socket)));
  }

  close(): void {
    for (const each of this.#connections) each.close();
  }

  /** Has those asked that could know it; they may not know a new one yet. */
  ask(place: ContainerCgroup, isNew: boolean): void {
    for (const each of this.#for(place)) void each.ask(place.containerId, isNew);
  }

  tell(place: ContainerCgroup): Told {
    const { containerId, outer } = place;
    if (outer !== undefined) {
      const why = 'it runs inside another container, and no runtime there is asked';
      return { asking: false, why };
    }
    const connections = this.#for(place);
    const known = connections.flatMap((each) => each.factsOf(containerId) ?? []);
    const facts = known.find((each) => each.kubernetes) ?? known[0];
    if (facts) return { facts, asking: false, why: '' };
    const asking = connections.some((each) => each.isAsking(containerId));
    return { asking, why: whyNot(connections, containerId) };
  }

  #for({ runtime, user, outer }: ContainerCgroup): readonly RuntimeConnection[] {
    if (outer !== undefined) return [];
    return this.#connections.filter(({ socket, runtime: answering }) => {
      const expected = answering || socket.runtime;
      return socket.user === user && (!runtime || !expected || runtime === expected);
    });
  }

  async #add(socket: RuntimeSocket): Promise<void> {
    const connection = new RuntimeConnection(socket, {
      onFacts: this.#options.onFacts,
      wanted: this.#options.wanted,
      onState: ({ runtime, trouble }) => {
        const { log } = this.#options;
        const where = { socket: socket.path, runtime };
        if (trouble === '') log.info(where, 'container runtime found');
        else log.warn({ ...where, reason: trouble }, 'container runtime does not answer');
      },
    });
    this.#connections.push(connection);
    await connection.start();
  }
}

function whyNot(connections: readonly RuntimeConnection[], containerId: string): string {
  const there = connections.filter(({ socket }) => existsSync(socket.path));
  if (there.length > 0) {
    return there.map((each) => `${each.socket.path}: ${each.whyNot(containerId)}`).join('; ');
  }
  const paths = connections.map(({ socket }) => socket.path);
  return paths.length === 0
    ? 'no runtime that has such containers can be asked'
    : `no container runtime listens at ${paths.join(', ')}`;
}

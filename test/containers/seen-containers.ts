/** What `Containers` tells, kept for a test to look at and wait for. */
import pino from 'pino';
import type { ContainerWorkload } from '../../src/workloads/container-workload.ts';
import { Containers } from '../../src/workloads/containers.ts';
import type { RuntimeSocket } from '../../src/workloads/runtime-sockets.ts';

const limitMs = 20_000;

export class SeenContainers {
  /** As each was handed over first, by workload id. */
  readonly first = new Map<number, ContainerWorkload>();
  readonly #containers: Containers;
  readonly #looks = new Set<() => void>();

  private constructor(
    sockets: readonly RuntimeSocket[],
    onFirst: (container: ContainerWorkload) => void,
  ) {
    this.#containers = new Containers({
      log: pino({ level: 'silent' }),
      sockets,
      onChange: (containers) => {
        for (const each of containers) {
          if (this.first.has(each.id)) continue;
          this.first.set(each.id, each);
          onFirst(each);
        }
        for (const look of this.#looks) look();
      },
    });
  }

  static async start(
    sockets: readonly RuntimeSocket[] = [],
    onFirst: (container: ContainerWorkload) => void = () => {},
  ): Promise<SeenContainers> {
    const seen = new SeenContainers(sockets, onFirst);
    await seen.#containers.start();
    return seen;
  }

  /** The one of that container id now. Others' containers run on the same machine. */
  of(containerId: string): ContainerWorkload | undefined {
    return this.#containers.list().find((each) => each.containerId === containerId);
  }

  /** Waits until it is there and fits. */
  async until(
    containerId: string,
    fits: (container: ContainerWorkload) => boolean = () => true,
  ): Promise<ContainerWorkload> {
    const look = () => {
      const found = this.of(containerId);
      return found && fits(found) ? found : undefined;
    };
    return await this.#until(look, () => JSON.stringify(this.of(containerId)));
  }

  async untilGone(containerId: string): Promise<void> {
    await this.#until(
      () => this.of(containerId) === undefined || undefined,
      () => 'still there',
    );
  }

  close(): void {
    this.#containers.close();
  }

  #until<Value>(look: () => Value | undefined, state: () => string): Promise<Value> {
    const { promise, resolve, reject } = Promise.withResolvers<Value>();
    const timer = setTimeout(() => reject(new Error(`waited for in vain: ${state()}`)), limitMs);
    const again = () => {
      const value = look();
      if (value !== undefined) resolve(value);
    };
    this.#looks.add(again);
    again();
    return promise.finally(() => {
      clearTimeout(timer);
      this.#looks.delete(again);
    });
  }
}

/**
 * What one runtime's socket says, kept current.
 * Owns one client while there is a connection and the timer until the next try; never more than one try at a time. On each
 * new connection it follows the changes first and then takes the list, so nothing falls between. Facts are kept while the
 * connection is away: a container's don't change for that.
 */
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { CriApi } from './cri-api.ts';
import { DockerApi } from './docker-api.ts';
import type { ContainerFacts, RuntimeClient } from './runtime-client.ts';
import type { RuntimeSocket } from './runtime-sockets.ts';

export interface ConnectionHooks {
  /** This container's facts came or changed; undefined: anybody's may have, or the connection came or went. */
  readonly onFacts: (containerId?: string) => void;
  /** It answers, or does so no more (`trouble`), or for the first time doesn't though its socket is there. */
  readonly onState: (connection: RuntimeConnection) => void;
  /** The containers to keep facts of, besides those that run. */
  readonly wanted: (containerId: string) => boolean;
}

/** `silent`: somebody may listen there and doesn't answer as a runtime does. */
type State = 'absent' | 'silent' | 'answering';

const firstRetryMs = 100;
const longestRetryMs = 5000;
/** A socket that hangs is noticed so soon, when nothing else is asked. */
const checkMs = 10_000;
/** A runtime may start a container's first process before it tells of the container. */
const findAgainMs: readonly number[] = [20, 50, 100, 200, 400];
const longestAskMs = 1000;
const mostFacts = 4096;

export class RuntimeConnection {
  readonly socket: RuntimeSocket;
  readonly #hooks: ConnectionHooks;
  readonly #facts = new Map<string, ContainerFacts>();
  readonly #asked = new Set<string>();
  /** Of the last answer about a container, while that was none. */
  readonly #errors = new Map<string, string>();
  #client: RuntimeClient | undefined;
  #runtime = '';
  #trouble = 'not asked yet';
  #state: State = 'absent';
  #retryMs = firstRetryMs;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(socket: RuntimeSocket, hooks: ConnectionHooks) {
    this.socket = socket;
    this.#hooks = hooks;
  }

  /** `container.runtime.name` of who answered last; '' before. */
  get runtime(): string {
    return this.#runtime;
  }

  /** Why it doesn't answer now; '' while it does. */
  get trouble(): string {
    return this.#trouble;
  }

  /** Why it says nothing of this container, for people. */
  whyNot(containerId: string): string {
    return this.#trouble || this.#errors.get(containerId) || 'it knows no such container';
  }

  factsOf(containerId: string): ContainerFacts | undefined {
    return this.#facts.get(containerId);
  }

  isAsking(containerId: string): boolean {
    return this.#asked.has(containerId);
  }

  /** Returns when the first try has ended, well or not. */
  async start(): Promise<void> {
    const first = Promise.withResolvers<void>();
    void this.#stayConnected(first.resolve);
    await first.promise;
  }

  close(): void {
    this.#closed = true;
    this.#client?.close();
    this.#wake?.();
  }

  /** Asks for one container; while it is `new`, also again and again for a second. Has a lost connection tried at once. */
  async ask(containerId: string, isNew: boolean): Promise<void> {
    if (this.#asked.has(containerId)) return;
    this.#wake?.();
    this.#asked.add(containerId);
    const began = performance.now();
    for (const pauseMs of isNew ? [...findAgainMs, 0] : [0]) {
      if (this.#closed || !this.#hooks.wanted(containerId)) break;
      if (performance.now() - began > longestAskMs) break;
      if (await this.#find(containerId)) break;
      if (pauseMs > 0) await pause(pauseMs, undefined, { ref: false });
    }
    this.#asked.delete(containerId);
    if (!this.#hooks.wanted(containerId)) this.#errors.delete(containerId);
    if (!this.#closed) this.#hooks.onFacts(containerId);
  }

  /** True: nothing more to ask for now. */
  async #find(containerId: string): Promise<boolean> {
    const client = this.#client;
    if (client === undefined || this.#trouble !== '') return !existsSync(this.socket.path);
    try {
      const facts = await client.find(containerId);
      this.#errors.delete(containerId);
      if (facts) this.#keep(containerId, facts);
      return facts !== undefined;
    } catch (error) {
      this.#errors.set(containerId, messageOf(error));
      // One bad answer is no reason to part; one that never came may be.
      client.identify().catch(() => client.close());
      return false;
    }
  }

  #keep(containerId: string, facts: ContainerFacts): void {
    this.#facts.set(containerId, facts);
    if (this.#facts.size <= mostFacts) return;
    const first = this.#facts.keys().find((each) => !this.#hooks.wanted(each));
    if (first !== undefined) this.#facts.delete(first);
  }

  async #stayConnected(onTried: () => void): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#connection(onTried);
      } catch (error) {
        this.#trouble = messageOf(error);
      }
      this.#client?.close();
      this.#client = undefined;
      onTried();
      if (this.#closed) return;
      this.#tellState(existsSync(this.socket.path) ? 'silent' : 'absent');
      await this.#pauseBeforeRetry();
    }
  }

  /** One connection, from the first question to its end, which is an error. */
  async #connection(onUp: () => void): Promise<never> {
    if (!existsSync(this.socket.path)) throw new Error('there is no such socket');
    const { api, path } = this.socket;
    const client = api === 'docker' ? new DockerApi(path) : new CriApi(path);
    this.#client = client;
    this.#runtime = await client.identify();
    const ready = Promise.withResolvers<void>();
    const following = client.follow({
      onReady: ready.resolve,
      onStir: (containerId, created) => {
        if (created && !this.#facts.has(containerId)) this.#keep(containerId, created);
        const kept = this.#facts.has(containerId) || this.#hooks.wanted(containerId);
        if (kept) void this.#askAgain(containerId);
      },
      onRemoved: (containerId) => this.#facts.delete(containerId),
    });
    following.catch(() => {});
    await Promise.race([ready.promise, following]);
    await this.#resync(client);
    this.#trouble = '';
    this.#retryMs = firstRetryMs;
    this.#tellState('answering');
    onUp();
    const checks = setInterval(() => {
      client.identify().catch(() => client.close());
    }, checkMs);
    checks.unref();
    try {
      return await following;
    } finally {
      clearInterval(checks);
    }
  }

  /** What has never been there is not worth a word. */
  #tellState(state: State): void {
    const before = this.#state;
    this.#state = state;
    if (before === state) return;
    const isNews = state !== 'absent' || before === 'answering';
    if (isNews) this.#hooks.onState(this);
    this.#hooks.onFacts();
  }

  /** A list that can't be had or believed leaves each container to be asked for by itself. */
  async #resync(client: RuntimeClient): Promise<void> {
    const listed = await client.list().catch(() => undefined);
    if (listed === undefined) return;
    for (const containerId of this.#facts.keys()) {
      if (!listed.has(containerId) && !this.#hooks.wanted(containerId)) {
        this.#facts.delete(containerId);
      }
    }
    for (const [containerId, facts] of listed) this.#keep(containerId, facts);
  }

  /** An answer under way may be older than what it was told of now. */
  async #askAgain(containerId: string): Promise<void> {
    if (await this.#find(containerId)) this.#hooks.onFacts(containerId);
  }

  async #pauseBeforeRetry(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, this.#retryMs);
    timer.unref();
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
    this.#retryMs = Math.min(this.#retryMs * 2, longestRetryMs);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

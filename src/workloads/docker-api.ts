/**
 * The Docker Engine API on a unix socket, as Docker and Podman serve it.
 * Owns its connections: a few kept open for questions, one for the stream of events. Not dockerode: that reads an answer of
 * any length into memory and waits for one without an end, and what serves such a socket is not believed that far.
 */
import { Agent, type ClientRequest, type IncomingMessage, get } from 'node:http';
import { z } from 'zod';
import {
  answerTimeoutMs,
  boundedLabels,
  boundedName,
  type ContainerFacts,
  type FollowHooks,
  kubernetesOfLabels,
  maxAnswerBytes,
  type RuntimeClient,
} from './runtime-client.ts';

const listedContainer = z.object({
  Id: z.string(),
  Names: z.array(z.string()).nullish(),
  Image: z.string().nullish(),
  Labels: z.unknown(),
});
type ListedContainer = z.infer<typeof listedContainer>;

const inspectedContainer = z.object({ Config: z.object({ Image: z.string() }) });
const containerEvent = z.object({
  Type: z.literal('container'),
  Action: z.string(),
  Actor: z.object({ ID: z.string(), Attributes: z.record(z.string(), z.string()).catch({}) }),
});
type ContainerEvent = z.infer<typeof containerEvent>;

const maxEventLength = 1024 * 1024;
const connections = 8;
const removals: ReadonlySet<string> = new Set(['destroy', 'remove']);
/** All others (exec, health, attach, …) change nothing that is kept here. */
const stirs: ReadonlySet<string> = new Set(['create', 'init', 'start', 'rename', 'update']);

export class DockerApi implements RuntimeClient {
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: connections });
  #runtime = '';
  #events: ClientRequest | undefined;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async identify(): Promise<string> {
    const { response } = await this.#ask('/_ping');
    this.#runtime = response.headers['libpod-api-version'] === undefined ? 'docker' : 'podman';
    return this.#runtime;
  }

  async list(): Promise<ReadonlyMap<string, ContainerFacts>> {
    const facts = new Map<string, ContainerFacts>();
    for (const each of await this.#containers('')) facts.set(each.Id, await this.#factsOf(each));
    return facts;
  }

  async find(containerId: string): Promise<ContainerFacts | undefined> {
    const listed = await this.#listed(containerId);
    return listed && (await this.#factsOf(listed));
  }

  follow(hooks: FollowHooks): Promise<never> {
    const { promise, reject } = Promise.withResolvers<never>();
    const filters = encodeURIComponent(JSON.stringify({ type: ['container'] }));
    const path = `/events?filters=${filters}`;
    const request = get({ socketPath: this.#socketPath, path, agent: false }, (response) => {
      request.setTimeout(0);
      if (response.statusCode !== 200) {
        request.destroy(new Error(`HTTP ${response.statusCode}`));
        return;
      }
      hooks.onReady();
      readLines(response, (line) => this.#tell(line, hooks));
      response.on('error', reject);
      response.on('end', () => reject(new Error('the stream of events ended')));
    });
    request.setTimeout(answerTimeoutMs, () => request.destroy(new Error('no answer in time')));
    request.on('error', reject);
    this.#events = request;
    return promise;
  }

  close(): void {
    this.#events?.destroy(new Error('closed'));
    this.#agent.destroy();
  }

  #tell(line: string, hooks: FollowHooks): void {
    const event = containerEvent.safeParse(parsed(line)).data;
    if (event === undefined) return;
    const { Action: action, Actor } = event;
    // Podman answers no question about a container before it has started it.
    const isNew = action === 'create' && this.#runtime === 'podman';
    if (removals.has(action)) hooks.onRemoved(Actor.ID);
    else if (stirs.has(action)) hooks.onStir(Actor.ID, isNew ? createdByPodman(event) : undefined);
  }

  /** From the list, which never waits for a container that is being started, as looking at one does. */
  async #listed(containerId: string): Promise<ListedContainer | undefined> {
    const filters = encodeURIComponent(JSON.stringify({ id: [containerId] }));
    const listed = await this.#containers(`?all=1&filters=${filters}`);
    return listed.find((each) => each.Id === containerId);
  }

  async #containers(query: string): Promise<readonly ListedContainer[]> {
    const { body } = await this.#ask(`/containers/json${query}`);
    const found: unknown = JSON.parse(body);
    if (!Array.isArray(found)) throw new Error('the answer is no list');
    return found.flatMap((each) => listedContainer.safeParse(each).data ?? []);
  }

  async #factsOf(listed: ListedContainer): Promise<ContainerFacts> {
    // Names of links from other containers have more than one slash.
    const names = (listed.Names ?? []).map((name) => name.replace(/^\//, ''));
    const name = boundedName(names.find((each) => !each.includes('/')));
    const image = boundedName(await this.#imageOf(listed));
    const labels = boundedLabels(listed.Labels);
    const kubernetes = labels && (await this.#kubernetesOf(labels));
    return {
      runtime: this.#runtime,
      ...(name !== undefined && { name }),
      ...(image !== undefined && { image }),
      ...(labels && { labels }),
      ...(kubernetes && { kubernetes }),
    };
  }

  /** Docker lists an id where the name now means another image; the container's own settings keep what was asked for. */
  async #imageOf(listed: ListedContainer): Promise<string | undefined> {
    const image = listed.Image ?? undefined;
    if (image === undefined || !/^(?:sha256:)?[0-9a-f]{12,64}$/.test(image)) return image;
    const { body } = await this.#ask(`/containers/${encodeURIComponent(listed.Id)}/json`);
    return inspectedContainer.safeParse(JSON.parse(body)).data?.Config.Image ?? image;
  }

  /** Docker run by kubelet: the pod's own labels are those of its sandbox container. */
  async #kubernetesOf(labels: Readonly<Record<string, string>>) {
    const kubernetes = kubernetesOfLabels(labels);
    if (kubernetes === undefined) return undefined;
    const sandboxId = labels['io.kubernetes.sandbox.id'];
    const sandbox = sandboxId === undefined ? undefined : await this.#listed(sandboxId);
    const podLabels = sandboxId === undefined ? labels : sandbox && boundedLabels(sandbox.Labels);
    return { ...kubernetes, ...(podLabels && { labels: podLabels }) };
  }

  #ask(path: string): Promise<{ response: IncomingMessage; body: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<{
      response: IncomingMessage;
      body: string;
    }>();
    const signal = AbortSignal.timeout(answerTimeoutMs);
    const options = { socketPath: this.#socketPath, path, agent: this.#agent, signal };
    const request = get(options, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        chunks.push(chunk);
        if (bytes > maxAnswerBytes) request.destroy(new Error('the answer is too long'));
      });
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode !== 200) reject(new Error(`HTTP ${response.statusCode}`));
        else resolve({ response, body: Buffer.concat(chunks).toString('utf8') });
      });
    });
    request.on('error', (error) => {
      reject(signal.aborted ? new Error('no answer in time') : error);
    });
    return promise;
  }
}

/** Its labels are told among what every such event has. */
function createdByPodman({ Actor }: ContainerEvent): ContainerFacts | undefined {
  const { image, name, podId, containerExitCode, ...labels } = Actor.Attributes;
  const known = boundedLabels(labels);
  if (!boundedName(image) || !boundedName(name) || !known) return undefined;
  const kubernetes = kubernetesOfLabels(known);
  return {
    runtime: 'podman',
    name: name ?? '',
    image: image ?? '',
    labels: known,
    ...(kubernetes && { kubernetes: { ...kubernetes, labels: known } }),
  };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function readLines(response: IncomingMessage, onLine: (line: string) => void): void {
  let rest = '';
  response.setEncoding('utf8');
  response.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > maxEventLength) response.destroy(new Error('an event is too long'));
    for (const line of lines) if (line !== '') onLine(line);
  });
}

/** What most container tests start from: Podman with its API, one image, a place on the host, an agent that sees all. */
import { copyHelper, helper } from '../kernel/children.ts';
import { Agent, type AgentOptions, type RecordLine } from '../kernel/harness.ts';
import { Scratch } from '../kernel/scratch.ts';
import { short } from '../kernel/told.ts';
import type { ChrootContainer } from './chroot.ts';
import type { Container } from './container.ts';
import { busyboxRoot, Podman } from './podman.ts';

/** Busybox with these programs in /bin: `opener` and `listed` open files, `change` changes them; `outsider`. */
export const image = 'localhost/site:1';

export class Site {
  readonly podman: Podman;
  readonly scratch = new Scratch();
  /** What the image was made of. */
  readonly root: string;
  #agent: Agent | undefined;

  private constructor(podman: Podman, root: string) {
    this.podman = podman;
    this.root = root;
  }

  static async make(name: string): Promise<Site> {
    const podman = new Podman(name);
    const programs = ['opener', 'change', 'outsider'].map(helper);
    const root = busyboxRoot(podman, programs);
    copyHelper('opener', `${root}/bin/listed`);
    const site = new Site(podman, root);
    await podman.image(image, root);
    await podman.service();
    return site;
  }

  get agent(): Agent {
    if (this.#agent === undefined) throw new Error('no agent was started');
    return this.#agent;
  }

  /** `more`: what else the configuration holds, such as `import`. */
  async startAgent(
    groups: readonly unknown[],
    options: AgentOptions = {},
    more: Readonly<Record<string, unknown>> = {},
  ): Promise<Agent> {
    const env = { CONTAINER_HOST: `unix://${this.podman.socket}`, ...options.env };
    // On a busy machine an opener may get no CPU for longer than the usual deadline; it would be let through.
    const configuration = { verdict: { deadline: '10s' }, ...more, groups };
    this.#agent = await Agent.start(this.scratch, configuration, { ...options, env });
    return this.#agent;
  }

  /** A container of the image. */
  start(
    name: string,
    args: readonly string[] = [],
    command?: readonly string[],
  ): Promise<Container> {
    return this.podman.start(name, { image, args, ...(command && { command }) });
  }

  /** The same; returns when its rules are in place. */
  async startCovered(name: string, args?: readonly string[]): Promise<Container> {
    const container = await this.start(name, args);
    await this.covered(container);
    return container;
  }

  /** Waits until the rules of a container's groups are in place. */
  covered(container: Container | ChrootContainer): Promise<RecordLine> {
    return this.agent.record({
      event: 'fileward.workload.started',
      resource: { 'container.id': container.id },
    });
  }

  /** The same, of a container that was started so many times. */
  async started(container: Container, count: number): Promise<void> {
    const query = {
      event: 'fileward.workload.started',
      resource: { 'container.id': container.id },
    };
    await waitUntil(`${count} starts`, () => this.agent.matching(query).length >= count);
  }

  /** What was told of a path in a container, short and sorted; call `agent.settle()` before. */
  told(container: Container | ChrootContainer, file: string): string[] {
    return this.agent
      .matching({ path: file, resource: { 'container.id': container.id } })
      .map(short)
      .sort();
  }

  async remove(): Promise<void> {
    await this.#agent?.stop();
    await this.podman.remove();
    this.scratch.remove();
  }
}

/** Looks until it is so. @throws Error when it isn't within 20 s. */
export async function waitUntil(
  what: string,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`no ${what} within 20 s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Opens a file in a container. @returns `ok`, or the name of the error: `EPERM` when fileward denied it. */
export async function opens(
  container: Container | ChrootContainer,
  file: string,
  flags = 'O_RDONLY',
  app = '/bin/opener',
): Promise<string> {
  const write = flags.includes('RDONLY') ? '' : ' --write more';
  const { output } = await container.shell(`${app} openat '${flags}' '${file}'${write}`);
  return output.trim();
}

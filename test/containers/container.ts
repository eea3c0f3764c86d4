/** One running container of podman.ts. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { ChildOptions, ChildResult } from '../kernel/children.ts';
import type { Podman } from './podman.ts';
import type { Output, WaitingShell } from './waiting-shell.ts';

export class Container {
  readonly name: string;
  readonly id: string;
  /** Of its init, as the host numbers it. */
  readonly pid: number;
  readonly #podman: Podman;
  readonly #shell: WaitingShell | undefined;

  private constructor(
    podman: Podman,
    name: string,
    id: string,
    pid: number,
    shell: WaitingShell | undefined,
  ) {
    this.#podman = podman;
    this.name = name;
    this.id = id;
    this.pid = pid;
    this.#shell = shell;
  }

  /** The running container of that name; `shell` is its init, where that waits for scripts. */
  static async find(podman: Podman, name: string, shell?: WaitingShell): Promise<Container> {
    const format = '{{.Id}} {{.State.Pid}}';
    const text = await podman.ok('container', 'inspect', '--format', format, name);
    const [id = '', pid = ''] = text.split(' ');
    return new Container(podman, name, id, Number(pid), shell);
  }

  /** A path inside as the host reaches it through its init. */
  path(inside: string): string {
    return path.join(`/proc/${this.pid}/root`, inside);
  }

  /** The directory of the host's namespace that the runtime mounted its overlay on. */
  merged(): Promise<string> {
    const format = '{{.GraphDriver.Data.MergedDir}}';
    return this.#podman.ok('container', 'inspect', '--format', format, this.name);
  }

  /** Path of its cgroup in the hierarchy of systemd, or in the unified one where that is not there. */
  get cgroup(): string {
    const lines = readFileSync(`/proc/${this.pid}/cgroup`, 'utf8').trimEnd().split('\n');
    const line = lines.find((text) => text.includes(':name=systemd:')) ?? lines.at(-1) ?? '';
    return line.split(':').slice(2).join(':');
  }

  /** Runs a script in a child of its init: no `podman exec`. For a container that was started without a command. */
  shell(script: string, timeoutMs?: number): Promise<Output> {
    if (this.#shell === undefined) throw new Error(`${this.name} runs a command of its own`);
    return this.#shell.run(script, timeoutMs);
  }

  /** `podman exec`; `args` go before the container's name: `--user`, … */
  exec(
    command: readonly string[],
    options: ChildOptions & { readonly args?: readonly string[] } = {},
  ): Promise<ChildResult> {
    const { args = [], ...rest } = options;
    return this.#podman.run(['exec', ...args, this.name, ...command], rest);
  }

  /** Stops it at once; the name stays taken until `remove`. */
  async stop(): Promise<void> {
    await this.#podman.ok('stop', '--time', '0', this.name);
    await this.#shell?.ended;
  }

  async remove(): Promise<void> {
    await this.#podman.ok('rm', '--force', '--time', '0', '--volumes', this.name);
    await this.#shell?.ended;
  }
}

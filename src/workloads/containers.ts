/**
 * Finds the containers on this machine and says what they are.
 * Owns the watches on cgroups (CgroupTree), the runtimes' sockets (RuntimeFacts) and the timers: one that looks for the init of
 * containers being created, every few milliseconds; one a second that sees an init gone; one for what watches miss. A container
 * is handed over as soon as its init has its root, which runc has it before its program is exec'ed; what a runtime tells of
 * it follows as a change. All of it runs on the main thread; `onChange` is called from there, never from within a call.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { cgroupMount } from './cgroup-mount.ts';
import { type ContainerCgroup, cgroupOfText } from './cgroup-path.ts';
import { CgroupTree } from './cgroup-tree.ts';
import { cgroupTextOf, hasOwnMounts, initAmong, isAlive, uidMapOf } from './container-process.ts';
import type { ContainerWorkload } from './container-workload.ts';
import { describeContainer } from './describe-container.ts';
import { podmanNotes } from './podman-notes.ts';
import { containerOfProcess, scanProcesses } from './process-scan.ts';
import type { ContainerFacts } from './runtime-client.ts';
import { RuntimeFacts } from './runtime-facts.ts';
import { type RuntimeSocket, runtimeSockets } from './runtime-sockets.ts';

export interface ContainersOptions {
  readonly log: Logger;
  /** All containers there are, whenever one came, went or changed; in no order. */
  readonly onChange: (containers: readonly ContainerWorkload[]) => void;
  /** Default: the usual places, users' own, and what DOCKER_HOST and its like name. */
  readonly sockets?: readonly RuntimeSocket[];
}

interface Tracked {
  readonly place: ContainerCgroup;
  /** When its init began to be looked for, of performance.now(). */
  since: number;
  nextLook: number;
  /** Until then an answer that hasn't come is no gap. */
  readonly askedUntil: number;
  /** Processes seen in /proc, where the tree doesn't show the cgroup. */
  pids: readonly number[];
  /** What the runtime noted on disk, until it tells more. */
  notes: ContainerFacts | undefined;
  workload: ContainerWorkload | undefined;
}

const aliveMs = 1000;
const rescanMs = 10_000;
/** Where only /proc shows containers. */
const scanMs = 2000;
const askMs = 1000;
const firstAnswersMs = 2000;

/** How often the init of a container is looked for that has been coming for so long; inside others anybody may name some. */
function lookAgainMs(ageMs: number, { outer }: ContainerCgroup): number {
  if (ageMs > 60_000) return Number.POSITIVE_INFINITY;
  if (outer !== undefined) return 100;
  if (ageMs < 500) return 2;
  return ageMs < 5000 ? 20 : 250;
}

export class Containers {
  readonly #options: ContainersOptions;
  readonly #facts: RuntimeFacts;
  readonly #tree: CgroupTree | undefined;
  readonly #tracked = new Map<string, Tracked>();
  readonly #wanted = new Map<string, number>();
  readonly #timers: NodeJS.Timeout[] = [];
  #lookTimer: NodeJS.Timeout | undefined;
  /** The cgroup of the container that the agent runs in: that is no workload, and what is in it is in none. */
  readonly #own = containerOfProcess(process.pid)?.cgroup;
  #blind: boolean;
  #lastId = 0;
  #changed = false;
  #closed = false;

  constructor(options: ContainersOptions) {
    this.#options = options;
    const mount = cgroupMount();
    // A part of the tree only, as in a cgroup name space of our own: /proc names the others.
    this.#blind = mount?.root !== '' || cgroupOfText(cgroupTextOf(1)).startsWith('/..');
    this.#tree =
      mount &&
      new CgroupTree(mount, {
        onContainer: (place) => this.#track(place),
        onGone: (cgroup) => this.#forget(cgroup),
        onStir: (cgroup) => this.#stir(cgroup),
        onBlind: (error) => {
          this.#blind = true;
          options.log.warn(
            { reason: error.message },
            'containers are found late: no inotify watch',
          );
        },
      });
    this.#facts = new RuntimeFacts({
      log: options.log,
      sockets: options.sockets ?? runtimeSockets(),
      users: options.sockets === undefined,
      onFacts: (containerId) => this.#describeAll(containerId),
      wanted: (containerId) => this.#wanted.has(containerId),
    });
  }

  /** Resolves when the first look is complete: the containers that run, and what runtimes say of them within 2 s. */
  async start(): Promise<void> {
    const answered = this.#facts.start();
    this.#tree?.look();
    await this.#scan();
    this.#lookAtAll();
    this.#timers.push(
      setInterval(() => this.#checkAlive(), aliveMs),
      setInterval(() => void this.#rescan(), this.#blind ? scanMs : rescanMs),
    );
    for (const each of this.#timers) each.unref();
    await Promise.race([answered, pause(firstAnswersMs, undefined, { ref: false })]);
  }

  list(): readonly ContainerWorkload[] {
    return [...this.#tracked.values()].flatMap((each) => each.workload ?? []);
  }

  close(): void {
    this.#closed = true;
    for (const each of this.#timers) clearInterval(each);
    clearTimeout(this.#lookTimer);
    this.#tree?.close();
    this.#facts.close();
  }

  #track(found: ContainerCgroup): void {
    const { cgroup, containerId } = found;
    if (this.#closed || this.#tracked.has(cgroup) || cgroup === this.#own) return;
    const { outer, ...atTop } = found;
    const place = outer === this.#own ? atTop : found;
    const now = performance.now();
    const askedUntil = now + askMs;
    this.#tracked.set(cgroup, {
      place,
      since: now,
      nextLook: now,
      askedUntil,
      pids: [],
      notes: undefined,
      workload: undefined,
    });
    this.#wanted.set(containerId, (this.#wanted.get(containerId) ?? 0) + 1);
    this.#facts.ask(place, true);
    setTimeout(() => this.#describeAll(containerId), askMs).unref();
    this.#lookSoon(0);
  }

  #forget(cgroup: string): void {
    const tracked = this.#tracked.get(cgroup);
    if (tracked === undefined) return;
    const { containerId } = tracked.place;
    this.#tracked.delete(cgroup);
    const others = (this.#wanted.get(containerId) ?? 1) - 1;
    if (others > 0) this.#wanted.set(containerId, others);
    else this.#wanted.delete(containerId);
    if (tracked.workload) this.#noteChange();
  }

  #stir(cgroup: string): void {
    const tracked = this.#tracked.get(cgroup);
    if (tracked === undefined) return;
    if (tracked.workload) this.#check(tracked);
    else this.#await(tracked);
  }

  #await(tracked: Tracked): void {
    tracked.since = performance.now();
    tracked.nextLook = tracked.since;
    this.#lookSoon(0);
  }

  #checkAlive(): void {
    for (const each of this.#tracked.values()) this.#check(each);
  }

  /** The init gone, the container is too; whoever takes over in its cgroup is another workload. */
  #check(tracked: Tracked): void {
    if (tracked.workload === undefined || isAlive(tracked.workload)) return;
    tracked.workload = undefined;
    this.#noteChange();
    this.#await(tracked);
  }

  #lookSoon(delayMs: number): void {
    clearTimeout(this.#lookTimer);
    this.#lookTimer = setTimeout(() => this.#lookAtDue(), delayMs);
    this.#lookTimer.unref();
  }

  #lookAtDue(): void {
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const each of this.#tracked.values()) {
      if (each.workload) continue;
      if (each.nextLook <= now && !this.#lookForInit(each)) {
        each.nextLook = now + lookAgainMs(now - each.since, each.place);
      }
      if (!each.workload) next = Math.min(next, each.nextLook);
    }
    if (Number.isFinite(next)) this.#lookSoon(Math.max(1, next - now));
  }

  #lookAtAll(): void {
    for (const each of this.#tracked.values()) if (!each.workload) this.#lookForInit(each);
  }

  #lookForInit(tracked: Tracked): boolean {
    const { cgroup, containerId, outer, runtime } = tracked.place;
    const own = this.#tree?.processesOf(cgroup, false) ?? [];
    const all = own.length > 0 ? own : (this.#tree?.processesOf(cgroup, true) ?? []);
    const init = initAmong(all.length > 0 ? all : tracked.pids);
    const at = init && containerOfProcess(init.pid);
    // It may have gone since it was seen, and its pid be another's.
    if (init === undefined || at?.containerId !== containerId) return false;
    const outerPid = outer === undefined ? undefined : this.#tracked.get(outer)?.workload?.pid;
    if (outer !== undefined && !hasOwnMounts(init.pid, outerPid)) return false;
    const isOurs = runtime === 'podman' && outer === undefined;
    if (isOurs) tracked.notes ??= podmanNotes(containerId, init.pid);
    tracked.workload = {
      id: ++this.#lastId,
      containerId,
      ...init,
      // As the native code reads it for each process, whatever the folder is called here.
      cgroup: at.cgroup,
      uidMap: uidMapOf(init.pid),
      ...this.#described(tracked),
    };
    this.#noteChange();
    return true;
  }

  #described(tracked: Tracked): ReturnType<typeof describeContainer> {
    const told = this.#facts.tell(tracked.place);
    const asking = told.asking && performance.now() < tracked.askedUntil;
    const facts = told.facts ?? tracked.notes;
    return describeContainer(tracked.place, { ...told, ...(facts && { facts }), asking });
  }

  #describeAll(containerId?: string): void {
    if (this.#closed) return;
    for (const each of this.#tracked.values()) {
      if (containerId !== undefined && each.place.containerId !== containerId) continue;
      if (each.workload === undefined) continue;
      const now = { ...each.workload, ...this.#described(each) };
      if (isDeepStrictEqual(now, each.workload)) continue;
      const { resource } = each.workload;
      // The same object as long as it says the same: the outbox knows resources by that.
      each.workload = isDeepStrictEqual(now.resource, resource) ? { ...now, resource } : now;
      this.#noteChange();
    }
  }

  async #rescan(): Promise<void> {
    this.#tree?.look();
    void this.#facts.look();
    if (this.#blind) await this.#scan();
    if (this.#closed) return;
    this.#lookAtAll();
    for (const { place, workload } of this.#tracked.values()) {
      if (workload?.unknown.includes('labels')) this.#facts.ask(place, false);
    }
  }

  async #scan(): Promise<void> {
    const found = await scanProcesses();
    for (const { place, pids } of found.values()) {
      this.#track(place);
      const tracked = this.#tracked.get(place.cgroup);
      if (tracked) tracked.pids = pids;
    }
    this.#forgetUnseen(found);
  }

  /** The tree tells of those that it shows. */
  #forgetUnseen(found: ReadonlyMap<string, unknown>): void {
    for (const [cgroup, { pids }] of this.#tracked) {
      const isShown = pids.length === 0 || (this.#tree?.shows(cgroup) ?? false);
      if (!isShown && !found.has(cgroup)) this.#forget(cgroup);
    }
  }

  #noteChange(): void {
    if (this.#changed) return;
    this.#changed = true;
    queueMicrotask(() => {
      this.#changed = false;
      if (!this.#closed) this.#options.onChange(this.list());
    });
  }
}

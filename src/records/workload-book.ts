/**
 * What records say of each workload, by the number that native events have. Keeps containers that have gone for a
 * while: their last events may still be on their way.
 */
import { closeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import type { Native } from '../native/addon.ts';
import { hostWorkload } from '../native/event-layout.ts';
import type { ContainerWorkload } from '../workloads/container-workload.ts';
import type { Clock } from './clock.ts';
import type { Attributes } from './record.ts';
import { ContainerUsers, HostUsers, type UserNames } from './users.ts';

export interface RecordWorkload {
  /** The same object as long as it says the same. */
  readonly resource: Attributes;
  /** Absent: the host. */
  readonly containerId?: string;
  readonly users: UserNames;
  /** A uid of the host as this workload numbers it. */
  userId(uid: number): number;
}

export interface WorkloadBookOptions {
  /** Of the host. */
  readonly resource: Attributes;
  readonly passwd?: string;
  readonly clock: Clock;
  readonly native: Pick<Native, 'openFileOf' | 'readFileOf'>;
}

const PASSWD = '/etc/passwd';
const MOST_PASSWD_BYTES = 1024 * 1024;
const KEEP_GONE_MS = 5 * 60_000;
const MOST_GONE = 1000;
/** What user namespaces show of a user that they have no number for. */
const OVERFLOW_UID = 65534;

interface Entry {
  readonly container: ContainerWorkload;
  readonly workload: RecordWorkload;
  goneMs: number | undefined;
}

export class WorkloadBook {
  readonly host: RecordWorkload;
  readonly #options: WorkloadBookOptions;
  readonly #entries = new Map<number, Entry>();

  constructor(options: WorkloadBookOptions) {
    const { resource, passwd = PASSWD, clock } = options;
    this.#options = options;
    this.host = { resource, users: new HostUsers(passwd, clock), userId: (uid) => uid };
  }

  /** Undefined when it is not known, or not any more. */
  of(id: number): RecordWorkload | undefined {
    return id === hostWorkload ? this.host : this.#entries.get(id)?.workload;
  }

  /** @param containers - all that there are now */
  update(containers: readonly ContainerWorkload[]): void {
    const now = this.#options.clock.nowMs();
    const present = new Set<number>();
    for (const container of containers) {
      present.add(container.id);
      const known = this.#entries.get(container.id);
      if (known?.container === container) continue;
      this.#entries.set(container.id, {
        container,
        workload: this.#workloadOf(container, known),
        goneMs: undefined,
      });
    }
    let gone = 0;
    // The oldest come first.
    for (const [id, entry] of [...this.#entries].reverse()) {
      if (present.has(id)) continue;
      entry.goneMs ??= now;
      gone += 1;
      if (gone > MOST_GONE || now - entry.goneMs >= KEEP_GONE_MS) this.#entries.delete(id);
    }
  }

  /**
   * A file of a workload, by its path there, never one outside of it; the caller closes it.
   * @throws Error when it can't be opened.
   */
  async openFile(id: number, path: Buffer, flags: number): Promise<FileHandle> {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.goneMs !== undefined) throw new Error('the workload has gone');
    const { pid, startTicks } = entry.container;
    const fd = await this.#options.native.openFileOf(pid, startTicks, path);
    if (fd === null) throw new Error('it is not there');
    try {
      return await open(`/proc/self/fd/${fd}`, flags);
    } finally {
      closeSync(fd);
    }
  }

  #workloadOf(container: ContainerWorkload, known: Entry | undefined): RecordWorkload {
    const { containerId, pid, startTicks, uidMap, resource } = container;
    const isSame = known?.container.pid === pid && known.container.startTicks === startTicks;
    return {
      containerId,
      resource:
        known?.container.resource === resource
          ? known.workload.resource
          : { ...ofMachine(this.host.resource), ...resource },
      users: isSame ? known.workload.users : this.#usersOf(container),
      userId: (uid) => insideOf(uid, uidMap),
    };
  }

  #usersOf({ pid, startTicks }: ContainerWorkload): UserNames {
    const { native, clock } = this.#options;
    const read = () => native.readFileOf(pid, startTicks, PASSWD, MOST_PASSWD_BYTES);
    return new ContainerUsers(read, clock);
  }
}

/** Without what is said of the container or pod that the agent itself may run in. */
function ofMachine(resource: Attributes): Attributes {
  const own = /^(container|k8s)\.(?!node\.|cluster\.)/;
  return Object.fromEntries(Object.entries(resource).filter(([name]) => !own.test(name)));
}

/** An empty map can't be of a namespace that runs anything: it could not be read. */
function insideOf(uid: number, map: ContainerWorkload['uidMap']): number {
  if (map.length === 0) return uid;
  for (const [inside, outside, count] of map) {
    if (uid >= outside && uid < outside + count) return inside + (uid - outside);
  }
  return OVERFLOW_UID;
}

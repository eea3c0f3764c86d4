/**
 * From the facts that the kernel tells one by one (created, written, closed, renamed) to changes as people mean them.
 * Holds what waits for the rest of its story: writes for their close, creations and denied opens for each other. The
 * permission and the notification group are drained separately, so either of a pair may come first.
 */
// Long because every fact about a file has to find what waits for it here.
import { type Clock, oldestOf } from './clock.ts';
import {
  addKeys,
  type FileStatus,
  hasFlag,
  type KernelEvent,
  sameContent,
  sameOwnerAndMode,
} from './kernel-event.ts';
import type { RecordOperation } from './names.ts';
import { PendingWrite } from './pending-write.ts';
import type { ProcessFiles } from './process-files.ts';

/** A change to tell. */
export interface Change {
  /** The fact that names file, process, rule and outcome. */
  readonly fact: KernelEvent;
  readonly operation: RecordOperation;
  /** As the file was before the first fact of this change. */
  readonly before?: FileStatus;
  /** Others who wrote meanwhile and whose doing a rule doesn't allow: each is told as a violation or learned. */
  readonly accomplices: readonly KernelEvent[];
  /** True when its verdict was given at an open, which told a violation already. */
  readonly judged: boolean;
  /** False when size and times are the same: only a hash can tell whether anything changed. */
  readonly differs: boolean;
  /** Kernel events that it is made of. */
  readonly events: number;
}

export interface ChangesOptions {
  readonly clock: Clock;
  /** Whether the rule of an event holds up opens for writing, so that a creation has a judged open. */
  readonly isGated: (event: KernelEvent) => boolean;
  readonly onChange: (change: Change) => void;
  readonly onDenied: (open: KernelEvent, emptyFileLeft: boolean) => void;
  /** One event that changed nothing, or that what is told of another one says too. */
  readonly onNothing: (why: 'quiet' | 'folded') => void;
  readonly processes: ProcessFiles;
}

/** A judged open and the creation it made come from two rings; neither waits longer than this for the other. */
const PAIR_MS = 500;
/** How long an open is remembered for facts that come after it. */
const REMEMBER_MS = 2000;
/** A write is told this long after its first change, closed or not. */
const LONGEST_WRITE_MS = 10_000;
/** A write that nobody holds open after this time was a truncate(2): that one never closes. */
const SETTLE_MS = 300;
/** Of each kind of waiting thing; beyond it the oldest is told as it stands. */
const MOST_WAITING = 10_000;

interface Waiting {
  readonly event: KernelEvent;
  readonly sinceMs: number;
}

export class Changes {
  readonly #options: ChangesOptions;
  readonly #writes = new Map<string, PendingWrite>();
  readonly #creations = new Map<string, Waiting>();
  readonly #deniedOpens = new Map<string, Waiting>();
  /** Opens that may have created their file and were let through. */
  readonly #freshOpens = new Map<string, Waiting>();
  /** Denied opens that were told already: a creation that comes late is theirs, and no news. */
  readonly #toldDenied = new Map<string, Waiting>();

  /** Identity and time of files lately created: what was known of one when it was told may be younger than its writes. */
  readonly #newFiles = new Map<string, number>();

  constructor(options: ChangesOptions) {
    this.#options = options;
  }

  /** Takes a reported open; true when it was taken over and is told later through `onDenied`. */
  open(event: KernelEvent): boolean {
    if (!hasFlag(event, 'o_creat_fresh') || event.identity === '') return false;
    const creation = this.#creations.get(event.identity);
    if (event.outcome === 'denied') {
      if (creation !== undefined) {
        this.#creations.delete(event.identity);
        this.#options.onNothing('folded');
        this.#tellDenied(event, true);
      } else if (this.#deniedOpens.has(event.identity)) {
        // The one that came first has created it.
        this.#tellDenied(event, false);
      } else {
        this.#wait(this.#deniedOpens, event);
      }
      return true;
    }
    if (creation === undefined) {
      this.#wait(this.#freshOpens, event);
    } else {
      this.#creations.delete(event.identity);
      this.#tellCreated(creation.event, event);
    }
    return false;
  }

  fact(event: KernelEvent): void {
    switch (event.change) {
      case 'created':
        this.#created(event);
        break;
      case 'written':
        this.#written(event);
        break;
      case 'closed_write':
        this.#closed(event);
        break;
      case 'attributes':
        this.#attributes(event);
        break;
      case 'renamed':
      case 'directory_moved':
        this.#tellAfterWrite(event, 'rename');
        break;
      case 'deleted':
      case 'directory_deleted':
        this.#tellAfterWrite(event, 'delete');
        break;
      case 'linked':
      case 'made':
        this.#tell(event, 'create');
        break;
      case 'none':
        this.#options.onNothing('quiet');
        break;
    }
  }

  /** Events that wait for what belongs to them. */
  get waiting(): number {
    let events = this.#creations.size + this.#deniedOpens.size;
    for (const write of this.#writes.values()) events += write.events;
    return events;
  }

  addWaiting(keys: Set<string>): void {
    for (const { event } of this.#creations.values()) addKeys(keys, event);
    for (const { event } of this.#deniedOpens.values()) addKeys(keys, event);
    for (const write of this.#writes.values()) addKeys(keys, write.last);
  }

  oldestWaitingNs(): bigint | undefined {
    const [creation] = this.#creations.values();
    const [denied] = this.#deniedOpens.values();
    // In order of arrival, each of them.
    const [write] = this.#writes.values();
    return oldestOf([creation?.event.timeNs, denied?.event.timeNs, write?.firstNs]);
  }

  tick(): void {
    const now = this.#options.clock.nowMs();
    for (const waiting of expired(this.#creations, now - PAIR_MS)) this.#tell(waiting, 'create');
    for (const open of expired(this.#deniedOpens, now - PAIR_MS)) this.#tellDenied(open, false);
    expired(this.#freshOpens, now - REMEMBER_MS);
    expired(this.#toldDenied, now - REMEMBER_MS);
    for (const [identity, sinceMs] of this.#newFiles) {
      if (sinceMs > now - REMEMBER_MS) break;
      this.#newFiles.delete(identity);
    }
    for (const [identity, write] of this.#writes) {
      if (now - write.sinceMs >= LONGEST_WRITE_MS) this.#finish(identity, write);
      else if (!write.settled && now - write.lastMs >= SETTLE_MS) this.#settle(identity, write);
    }
  }

  /** Tells all that waits as it stands. */
  flush(): void {
    for (const { event } of this.#creations.values()) this.#tell(event, 'create');
    this.#creations.clear();
    for (const { event } of this.#deniedOpens.values()) this.#tellDenied(event, false);
    this.#deniedOpens.clear();
    for (const [identity, write] of this.#writes) this.#finish(identity, write);
  }

  #created(event: KernelEvent): void {
    const told = this.#toldDenied.get(event.identity)?.event.actor.pid;
    if (told !== undefined && [told, 0].includes(event.actor.pid)) {
      this.#options.onNothing('folded');
      return;
    }
    const denied = this.#deniedOpens.get(event.identity);
    if (denied !== undefined) {
      this.#deniedOpens.delete(event.identity);
      this.#options.onNothing('folded');
      this.#tellDenied(denied.event, true);
      return;
    }
    const open = this.#freshOpens.get(event.identity);
    if (open !== undefined) {
      this.#freshOpens.delete(event.identity);
      this.#tellCreated(event, open.event);
      return;
    }
    const judged = hasFlag(event, 'judged') || hasFlag(event, 'listed');
    const awaitsOpen = !judged && this.#options.isGated(event);
    if (awaitsOpen && event.identity !== '') this.#wait(this.#creations, event);
    else this.#tell(event, 'create');
  }

  /** The creation's own process may be gone by the time it is read; the open's was held up, so it is certain. */
  #tellCreated(creation: KernelEvent, open: KernelEvent): void {
    const { timeNs, path, status } = creation;
    // What is learned is the open; the creation is a change all the same.
    const outcome = open.outcome === 'learned' ? creation.outcome : open.outcome;
    this.#remember(creation.identity);
    this.#options.onChange({
      fact: { ...open, outcome, timeNs, path, ...(status && { status }) },
      operation: 'create',
      accomplices: [],
      judged: true,
      differs: true,
      events: 1,
    });
  }

  #tellDenied(open: KernelEvent, emptyFileLeft: boolean): void {
    this.#wait(this.#toldDenied, open);
    this.#options.onDenied(open, emptyFileLeft);
  }

  #written(event: KernelEvent): void {
    const now = this.#options.clock.nowMs();
    const write = this.#writes.get(keyOf(event));
    if (write !== undefined) {
      write.add(event, now);
      return;
    }
    const [oldest] = this.#writes;
    if (this.#writes.size >= MOST_WAITING && oldest !== undefined) this.#finish(...oldest);
    this.#writes.set(keyOf(event), new PendingWrite(event, now));
  }

  #closed(event: KernelEvent): void {
    const write = this.#writes.get(keyOf(event));
    if (write !== undefined) {
      if (write.close(event, this.#options.processes)) this.#finish(keyOf(event), write);
      return;
    }
    const { before, status } = event;
    // No write was told, but a mapping changes a file without one; a new file's times are still being set.
    const isNew = this.#newFiles.has(event.identity) && before?.size === status?.size;
    if (before && status && !isNew && !sameContent(before, status)) {
      const emptied = status.size === 0n && before.size > 0n;
      this.#tell(event, emptied ? 'truncate' : 'write');
    } else {
      this.#options.onNothing('quiet');
    }
  }

  #attributes(event: KernelEvent): void {
    const { before, status } = event;
    // Times change with every write: what a pending write did is told by it.
    const write = this.#writes.get(keyOf(event));
    const extended = hasFlag(event, 'extended_attributes');
    if (!extended && before && status && sameOwnerAndMode(before, status)) {
      if (write !== undefined) {
        write.update(event);
        return;
      }
      if (sameContent(before, status) || this.#newFiles.has(event.identity)) {
        this.#options.onNothing('quiet');
        return;
      }
    }
    this.#tell(event, 'attributes');
  }

  /** A file that goes or gets another name ends the write before it. */
  #tellAfterWrite(event: KernelEvent, operation: RecordOperation): void {
    const write = this.#writes.get(keyOf(event));
    if (write !== undefined) this.#finish(keyOf(event), write);
    const creation = this.#creations.get(event.identity);
    if (creation !== undefined) {
      this.#creations.delete(event.identity);
      this.#tell(creation.event, 'create');
    }
    this.#tell(event, operation);
  }

  #settle(identity: string, write: PendingWrite): void {
    write.settled = true;
    const { actor, dev, ino } = write.last;
    write.truncated = !this.#options.processes.holds(actor.pid, dev, ino);
    if (write.truncated) this.#finish(identity, write);
  }

  #finish(identity: string, write: PendingWrite): void {
    this.#writes.delete(identity);
    const { fact, before, accomplices } = write.result();
    const { status } = fact;
    const emptied = write.closed && status?.size === 0n && before !== undefined && before.size > 0n;
    const isNew = this.#newFiles.delete(identity);
    this.#options.onChange({
      fact,
      operation: write.truncated || emptied ? 'truncate' : 'write',
      ...(before && { before }),
      accomplices,
      judged: hasFlag(fact, 'judged'),
      differs: isNew || !before || !status || !sameContent(before, status),
      events: write.events,
    });
  }

  #tell(event: KernelEvent, operation: RecordOperation): void {
    if (operation === 'create') this.#remember(event.identity);
    this.#options.onChange({
      fact: event,
      operation,
      ...(event.before && { before: event.before }),
      accomplices: [],
      judged: hasFlag(event, 'judged'),
      differs: true,
      events: 1,
    });
  }

  #remember(identity: string): void {
    const [oldest] = this.#newFiles.keys();
    if (this.#newFiles.size >= MOST_WAITING && oldest !== undefined) this.#newFiles.delete(oldest);
    this.#newFiles.delete(identity);
    this.#newFiles.set(identity, this.#options.clock.nowMs());
  }

  #wait(waiting: Map<string, Waiting>, event: KernelEvent): void {
    if (waiting.has(event.identity)) this.#giveUp(waiting, event.identity);
    const oldest = waiting.keys().next();
    if (waiting.size >= MOST_WAITING && !oldest.done) this.#giveUp(waiting, oldest.value);
    waiting.set(event.identity, { event, sinceMs: this.#options.clock.nowMs() });
  }

  #giveUp(waiting: Map<string, Waiting>, identity: string): void {
    const event = waiting.get(identity)?.event;
    waiting.delete(identity);
    if (event === undefined) return;
    if (waiting === this.#creations) this.#tell(event, 'create');
    if (waiting === this.#deniedOpens) this.#tellDenied(event, false);
  }
}

function expired(waiting: Map<string, Waiting>, untilMs: number): KernelEvent[] {
  const events: KernelEvent[] = [];
  // In order of arrival: the first that may wait on ends it.
  for (const [identity, { event, sinceMs }] of waiting) {
    if (sinceMs > untilMs) break;
    waiting.delete(identity);
    events.push(event);
  }
  return events;
}

/** Of a file that could not be looked at only the path is known. */
function keyOf(event: KernelEvent): string {
  return event.identity || `${event.workload} ${event.path.text}`;
}

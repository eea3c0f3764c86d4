/**
 * Which containers belong to which groups, now: tells the native core all containers there are, with the groups that hold
 * each; tells in records which members came and went, which criteria can't be told and which containers are not covered.
 * Owns the list that the core was given last and the timer of a retry. Runs on the JavaScript thread; hands the list over
 * in turn with reloads, and never waits there until the containers are covered: the next one may come before.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { CoverageReport, WorkloadSpec } from '../native/addon.ts';
import type { EventSession } from '../native/session.ts';
import type { Group } from '../policy/document.ts';
import { host, isMember, membership } from '../policy/members.ts';
import type { AgentEvent } from '../records/names.ts';
import type { ContainerWorkload } from '../workloads/container-workload.ts';
import { describe } from './container-words.ts';
import type { PlacedGap, RuleNames } from './coverage-keeper.ts';
import { messageOf } from './failure.ts';
import {
  gapsOf,
  hasFailed,
  isCovered,
  isFailing,
  judge,
  refusalGaps,
  type KnownContainer,
  statusOf,
} from './known-container.ts';
import type { WorkloadStatus } from './protocol.ts';

/** What a record about a member says. */
export interface AboutMember {
  readonly group: string;
  /** The criteria that hold; absent: it is a member no more. */
  readonly criteria?: string;
}

export interface WorkloadKeeperOptions {
  readonly log: Logger;
  readonly session: Pick<EventSession, 'setWorkloads'>;
  /** Runs a change when no other is under way. */
  readonly inTurn: (change: () => Promise<void>) => Promise<void>;
  readonly tell: (event: AgentEvent, body: string, about: AboutMember, workload: number) => void;
  /** Members or their state are others now. */
  readonly onChange: () => void;
}

/** A container that could not be covered is tried again after so long, then twice as long, … */
const FIRST_RETRY_MS = 20;
const LAST_RETRY_MS = 10_000;
/** What the core has not answered by then is a gap until it does. */
const LATE_MS = 10_000;

export class WorkloadKeeper {
  readonly #options: WorkloadKeeperOptions;
  #groups: readonly Group[] = [];
  #known = new Map<number, KnownContainer>();
  /** The list that the core was given last, as text. */
  #given = '[]';
  #handing = false;
  /** Why that list is not in place; undefined: it is, or the core is at it. */
  #refused: string | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #closed = false;

  constructor(options: WorkloadKeeperOptions) {
    this.#options = options;
  }

  /** @param containers - all that there are now */
  take(containers: readonly ContainerWorkload[]): void {
    const before = this.#known;
    this.#known = new Map(
      containers.map((container) => {
        const known = before.get(container.id);
        before.delete(container.id);
        const same = known?.container === container;
        return [container.id, same ? known : judge(container, this.#groups, known?.cover)];
      }),
    );
    for (const gone of before.values()) this.#tellGone(gone);
    this.#tellMembers();
    this.#options.onChange();
    void this.#handOver();
  }

  /** All containers of now as the core is to be told of them, when these groups are in force. */
  specs(groups: readonly Group[]): WorkloadSpec[] {
    return Array.from(this.#known.values(), ({ container, held }) => {
      const { id, pid, startTicks: start_ticks, cgroup, workload } = container;
      const names =
        groups === this.#groups
          ? held.map(({ group }) => group)
          : groups.filter((each) => membership(each, workload).member).map(({ name }) => name);
      return { id, pid, start_ticks, cgroup, groups: names };
    });
  }

  /** These groups are in force now, with these containers; a report of the core that says so comes next. */
  useGroups(groups: readonly Group[], specs: readonly WorkloadSpec[]): void {
    this.#groups = groups;
    this.#refused = undefined;
    for (const [id, known] of this.#known) {
      this.#known.set(id, judge(known.container, groups, known.cover));
    }
    this.#note(specs);
    this.#place(specs);
    void this.#handOver();
  }

  /** To be called with each report of the core; tries again what could not be covered. */
  takeReport({ workloads }: CoverageReport): void {
    const reports = new Map(workloads.map((report) => [report.workload, report]));
    for (const [id, { cover }] of this.#known) {
      const report = reports.get(id);
      cover.report = report;
      cover.failedMs = (report?.error ?? '') === '' ? undefined : (cover.failedMs ?? Date.now());
      if (report === undefined) cover.placed = [];
      // Others may take longer than this one.
      const isPlaced = isCovered(cover) && !cover.givenAnew;
      if (isPlaced && cover.placed.length === 0) cover.placed = cover.given;
    }
    this.#tellMembers();
    const failing = [...this.#known.values()].some(hasFailed);
    if (!failing) this.#retryMs = FIRST_RETRY_MS;
    else this.#retrySoon();
  }

  /** What of containers can't be told or is not covered. */
  gaps(namesOf: RuleNames): PlacedGap[] {
    const refused = this.#refused;
    return [...this.#known.values()].flatMap((known) => [
      ...gapsOf(known, namesOf),
      ...(refused === undefined ? [] : refusalGaps(known, refused)),
    ]);
  }

  isThere(workload: number): boolean {
    return this.#known.has(workload);
  }

  /** Members of each group, the host among them. */
  counts(): ReadonlyMap<string, number> {
    const counts = new Map(
      this.#groups.map(({ name, members }) => [name, Number(isMember(members, host))]),
    );
    for (const { group } of [...this.#known.values()].flatMap(({ held }) => held)) {
      counts.set(group, (counts.get(group) ?? 0) + 1);
    }
    return counts;
  }

  status(): WorkloadStatus[] {
    const ofHost = this.#groups.filter(({ members }) => isMember(members, host));
    const names = ofHost.map(({ name }) => name);
    return [
      { kind: 'host', groups: names, why: Object.fromEntries(names.map((name) => [name, 'host'])) },
      ...Array.from(this.#known.values(), statusOf),
    ];
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
  }

  /** One record for each group that a container came into, when its rules are in place, or left. */
  #tellMembers(): void {
    for (const known of this.#known.values()) {
      const { container, held, cover } = known;
      // Its name is on its way.
      if (container.asking) continue;
      for (const group of cover.told) {
        if (held.some((each) => each.group === group)) continue;
        cover.told.delete(group);
        const body = `${describe(container)} is no member of group ${group} any more`;
        this.#options.tell('fileward.workload.stopped', body, { group }, container.id);
      }
      this.#tellComing(known, isFailing(known) ? undefined : cover.placed);
    }
  }

  /** @param groups - undefined: all that hold it */
  #tellComing(
    { container, held, cover }: KnownContainer,
    groups: readonly string[] | undefined,
  ): void {
    for (const { group, why } of held) {
      if (cover.told.has(group) || !(groups?.includes(group) ?? true)) continue;
      cover.told.add(group);
      const place = cover.placed.includes(group) ? '' : ', but its rules are not in place';
      const body = `${describe(container)} is a member of group ${group}: ${why}${place}`;
      const about = { group, criteria: why };
      this.#options.tell('fileward.workload.started', body, about, container.id);
    }
  }

  #tellGone(known: KnownContainer): void {
    // It was so short that nobody had told its name, or that its rules were not in place.
    this.#tellComing(known, undefined);
    const { container, cover } = known;
    for (const group of cover.told) {
      const body = `${describe(container)} has gone, a member of group ${group}`;
      this.#options.tell('fileward.workload.stopped', body, { group }, container.id);
    }
  }

  /** @param again - though it is the same list: what could not be covered is tried again */
  async #handOver(again = false): Promise<void> {
    if (again) this.#given = '';
    if (this.#handing || this.#closed) return;
    this.#handing = true;
    await this.#options.inTurn(async () => {
      this.#handing = false;
      const specs = this.specs(this.#groups);
      if (this.#closed || JSON.stringify(specs) === this.#given) return;
      this.#note(specs);
      void this.#give(specs);
    });
  }

  #note(specs: readonly WorkloadSpec[]): void {
    this.#given = JSON.stringify(specs);
    for (const { id, groups } of specs) {
      const cover = this.#known.get(id)?.cover;
      if (cover === undefined) continue;
      const isOther = !isDeepStrictEqual(cover.given, groups);
      if (isOther) cover.givenAnew = cover.given.length > 0;
      cover.given = groups;
    }
  }

  #place(specs: readonly WorkloadSpec[]): void {
    for (const { id, groups } of specs) {
      const cover = this.#known.get(id)?.cover;
      if (cover === undefined) continue;
      cover.givenAnew = false;
      if (isCovered(cover)) cover.placed = groups;
    }
  }

  /** What becomes of it comes with a report, as whatever changes later does. */
  async #give(specs: readonly WorkloadSpec[]): Promise<void> {
    const late = setTimeout(() => {
      this.#refused = 'the native core is still at it';
      if (!this.#closed) this.#options.onChange();
    }, LATE_MS).unref();
    try {
      const report = await this.#options.session.setWorkloads(specs);
      if (this.#refused !== undefined) this.#options.onChange();
      this.#refused = undefined;
      this.takeReport(report);
      // A later list has taken the place of this one: it comes here, too.
      if (this.#given !== JSON.stringify(specs)) return;
      this.#place(specs);
      this.#tellMembers();
    } catch (err) {
      if (this.#closed) return;
      this.#options.log.error({ err }, 'the native core did not take the containers of now');
      // A later list takes the place of this one.
      if (this.#given !== JSON.stringify(specs)) return;
      this.#refused = `the native core did not take it: ${messageOf(err)}`;
      this.#options.onChange();
      this.#retrySoon();
    } finally {
      clearTimeout(late);
    }
  }

  #retrySoon(): void {
    if (this.#retry !== undefined || this.#closed) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      void this.#handOver(true);
      this.#options.onChange();
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }
}

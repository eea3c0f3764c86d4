/** What the agent knows of one container: which groups hold it, what nobody can tell, how it is covered. */
import type { WorkloadReport } from '../native/addon.ts';
import type { Group } from '../policy/document.ts';
import { membership } from '../policy/members.ts';
import type { ContainerWorkload } from '../workloads/container-workload.ts';
import { factsOf, nameOf } from './container-words.ts';
import { type PlacedGap, type RuleNames, ruleGaps } from './coverage-keeper.ts';
import type { ContainerStatus, WorkloadStatus } from './protocol.ts';

/** Before that a container may merely not be ready. */
const FAILED_MS = 1000;
const NANOSECONDS_PER_MS = 1_000_000n;

interface Holding {
  readonly group: string;
  readonly why: string;
}

/** A container, and what it is to the groups in force. */
export interface KnownContainer {
  readonly container: ContainerWorkload;
  readonly held: readonly Holding[];
  /** Groups that may hold it, and the criteria that nobody can tell. */
  readonly open: readonly { readonly group: string; readonly criteria: readonly string[] }[];
  readonly cover: Cover;
}

/** What became of a container in the core. */
export interface Cover {
  /** Groups that the core was told of last. */
  given: readonly string[];
  /** Others before these, whose cover a report may still be about. */
  givenAnew: boolean;
  /** Groups whose rules are in place. */
  placed: readonly string[];
  /** Groups whose record of its coming was told. */
  readonly told: Set<string>;
  report: WorkloadReport | undefined;
  failedMs: number | undefined;
}

/** @param cover - what became of it so far; absent: it is new */
export function judge(
  container: ContainerWorkload,
  groups: readonly Group[],
  cover: Cover | undefined,
): KnownContainer {
  const judged = groups.map((group) => ({
    group: group.name,
    ...membership(group, container.workload),
  }));
  return {
    container,
    held: judged.filter(({ member }) => member).map(({ group, why }) => ({ group, why })),
    open: judged
      .filter(({ unknown }) => unknown.length > 0)
      .map(({ group, unknown }) => ({ group, criteria: unknown })),
    cover: cover ?? {
      given: [],
      givenAnew: false,
      placed: [],
      told: new Set(),
      report: undefined,
      failedMs: undefined,
    },
  };
}

export function isCovered({ report }: Cover): boolean {
  return report !== undefined && report.error === '' && report.covered_ns !== 0n;
}

/** `gone` is no failure: its end is known here a moment later. */
export function hasFailed({ cover: { report }, held }: KnownContainer): boolean {
  return held.length > 0 && report !== undefined && !['', 'gone'].includes(report.error);
}

/** And not for a moment only. */
export function isFailing(known: KnownContainer): boolean {
  return hasFailed(known) && Date.now() - (known.cover.failedMs ?? 0) >= FAILED_MS;
}

function* criteriaGaps({ container, open }: KnownContainer): Iterable<PlacedGap> {
  if (container.asking) return;
  for (const { group, criteria } of open) {
    const why = container.unknownWhy === '' ? '' : `: ${container.unknownWhy}`;
    // The same for all containers of which the same is unknown.
    const detail = `whether containers belong to it turns on ${criteria.join(', ')}, not known of all${why}`;
    yield { gap: { group, error_type: 'criteria_unknown', detail }, workload: 0 };
  }
}

function* failureGaps(known: KnownContainer): Iterable<PlacedGap> {
  if (!isFailing(known)) return;
  const { error = '' } = known.cover.report ?? {};
  const detail = error === 'no_root' ? 'its init has no root of its own' : error;
  yield* failuresOf(known.container, known.held, detail);
}

/** The core did not take the list that has it: what is not in place yet is not for that. */
export function* refusalGaps(known: KnownContainer, why: string): Iterable<PlacedGap> {
  const { container, held, cover } = known;
  if (isFailing(known)) return;
  const missing = held.filter(({ group }) => !cover.placed.includes(group));
  yield* failuresOf(container, missing, why);
}

function* failuresOf(
  container: ContainerWorkload,
  held: readonly Holding[],
  detail: string,
): Iterable<PlacedGap> {
  for (const { group } of held) {
    const gap = { group, workload: nameOf(container), error_type: 'workload_failed', detail };
    yield { gap, workload: container.id };
  }
}

/** What of it can't be told or is not covered. */
export function gapsOf(known: KnownContainer, namesOf: RuleNames): PlacedGap[] {
  const { container, held, cover } = known;
  const rules = cover.report?.rules ?? [];
  const holds = ({ gap }: PlacedGap) => held.some(({ group }) => group === gap.group);
  return [
    ...criteriaGaps(known),
    ...failureGaps(known),
    ...ruleGaps(rules, namesOf, container.id, nameOf(container)).filter(holds),
  ];
}

export function statusOf(known: KnownContainer): WorkloadStatus {
  return {
    kind: 'container',
    groups: known.held.map(({ group }) => group),
    why: Object.fromEntries(known.held.map(({ group, why }) => [group, why])),
    container: containerStatus(known),
  };
}

function containerStatus({ container, held, cover }: KnownContainer): ContainerStatus {
  const { containerId: id, runtime, pid, unknown, unknownWhy } = container;
  const { covered_ns: coveredNs = 0n, error = '' } = cover.report ?? {};
  const covered = coveredNs === 0n ? '' : new Date(Number(coveredNs / NANOSECONDS_PER_MS));
  const state =
    held.length === 0 ? 'no_group' : error !== '' ? 'failed' : covered ? 'covered' : 'starting';
  return {
    id,
    ...factsOf(container),
    runtime,
    pid,
    state,
    covered: held.length === 0 || covered === '' ? '' : covered.toISOString(),
    error: held.length === 0 ? '' : error,
    unknown,
    unknown_why: unknownWhy,
  };
}

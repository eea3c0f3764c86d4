import { Failure } from '../control/failure.ts';
import { loadNative } from '../native/load.ts';
import { compile, noCaps } from '../policy/compile.ts';
import { loadPolicy } from './load-policy.ts';
import { type LineCounts, noLines, type RecordedEvent, readRecorded } from './recorded-events.ts';
import { type Judgement, ReplayJudge, type Told, workloadName } from './replay-judge.ts';
import { printable } from '../policy/printable.ts';
import { columns, count, paint, print, type Style } from './terminal.ts';

export interface ReplayOptions {
  readonly config?: string;
  readonly failOnDeny?: boolean;
  readonly json?: boolean;
}

type Change = Exclude<Judgement['change'], 'none'>;

interface ChangedKind {
  readonly judgement: Judgement;
  count: number;
  /** Where, the first of them. */
  readonly workloads: Set<string>;
}

/** Kinds of changed events that are kept apart; what comes beyond is only counted. */
const MOST_KINDS = 100_000;
/** Of each kind. */
const MOST_WORKLOADS = 20;
/** Of each change, in text. */
const MOST_LINES = 200;

/**
 * Status 1 with `failOnDeny` when something would be denied that was not.
 * @throws Failure 2 when a file can't be read or none holds a record of ours.
 */
export async function replay(files: readonly string[], options: ReplayOptions): Promise<number> {
  const { configuration } = await loadPolicy({ config: options.config, offline: true });
  const policy = compile(configuration, noCaps);
  const evaluator = loadNative().createEvaluator(policy.json);
  const judge = new ReplayJudge(policy, configuration, evaluator);
  const tally = new Tally();
  const lines = noLines();
  for (const file of files) {
    for await (const events of readRecorded(file, lines)) {
      for (const event of events) tally.add(event, judge.judge(event));
    }
  }
  if (lines.lines > 0 && tally.records === 0) {
    throw new Failure(2, `no record of fileward's in ${files.join(', ')}: ${describeLines(lines)}`);
  }
  if (options.json) print(JSON.stringify(tally.asJson(lines), null, 2));
  else show(tally, lines);
  return options.failOnDeny && tally.counts.denied > 0 ? 1 : 0;
}

class Tally {
  readonly counts: Record<Judgement['change'], number> = {
    none: 0,
    denied: 0,
    allowed: 0,
    undecided: 0,
  };
  readonly kinds = new Map<string, ChangedKind>();
  /** `violated → quiet` */
  readonly outcomes = new Map<string, number>();
  records = 0;
  events = 0;
  /** Records that no rule is asked about. */
  other = 0;
  /** Changed events beyond the kinds that are kept apart. */
  beyond = 0;

  add(recorded: RecordedEvent, judgement: Judgement | undefined): void {
    this.records += 1;
    if (judgement === undefined) {
      this.other += 1;
      return;
    }
    const times = recorded.attributes['fileward.count'];
    const events = typeof times === 'number' && times > 0 ? times : 1;
    this.events += events;
    this.counts[judgement.change] += events;
    if (judgement.toldDifferently) {
      const change = `${judgement.was.outcome} → ${judgement.now.outcome}`;
      this.outcomes.set(change, (this.outcomes.get(change) ?? 0) + events);
    }
    if (judgement.change === 'none') return;
    const kind = this.#kindOf(judgement);
    if (kind === undefined) {
      this.beyond += events;
      return;
    }
    kind.count += events;
    if (kind.workloads.size < MOST_WORKLOADS) kind.workloads.add(workloadName(recorded));
  }

  of(change: Change): ChangedKind[] {
    return [...this.kinds.values()]
      .filter(({ judgement }) => judgement.change === change)
      .sort((a, b) => b.count - a.count);
  }

  asJson(lines: LineCounts) {
    const { records, events, other, counts, beyond } = this;
    const { none: unchanged, denied, allowed, undecided } = counts;
    const changes = (['denied', 'allowed', 'undecided'] as const).flatMap((change) =>
      this.of(change).map(({ judgement, count, workloads }) => ({
        ...judgement,
        count,
        workloads: [...workloads].filter((name) => name !== ''),
      })),
    );
    return {
      records,
      events,
      unchanged,
      denied,
      allowed,
      undecided,
      not_judged: other,
      told_differently: Object.fromEntries(this.outcomes),
      lines: {
        read: lines.lines,
        foreign_records: lines.foreign,
        unreadable: lines.unreadable,
        first_unreadable: lines.firstUnreadable ?? null,
        cut_off: lines.cutOff,
      },
      changes: changes.map(({ toldDifferently: _, ...change }) => change),
      changes_not_listed: beyond,
    };
  }

  /** Undefined when there are too many. */
  #kindOf(judgement: Judgement): ChangedKind | undefined {
    const key = JSON.stringify(judgement);
    let kind = this.kinds.get(key);
    if (kind === undefined && this.kinds.size < MOST_KINDS) {
      kind = { judgement, count: 0, workloads: new Set() };
      this.kinds.set(key, kind);
    }
    return kind;
  }
}

const HEADINGS: Readonly<Record<Change, readonly [Style, string]>> = {
  denied: ['red', 'would be denied that were not'],
  allowed: ['green', 'would be allowed that were denied'],
  undecided: [
    'yellow',
    'would be denied, unless a script or hash that records do not say is listed',
  ],
};

function show(tally: Tally, lines: LineCounts): void {
  for (const change of ['denied', 'allowed', 'undecided'] as const) {
    const kinds = tally.of(change);
    if (kinds.length === 0) continue;
    const [style, heading] = HEADINGS[change];
    print(paint(style, `${count(tally.counts[change], 'event')} ${heading}:`));
    for (const line of columns(kinds.slice(0, MOST_LINES).map(row))) print(line);
    const more = kinds.length - MOST_LINES;
    if (more > 0)
      print(paint('dim', `  and ${count(more, 'more kind', 'more kinds')}; --json lists them`));
    print();
  }
  if (tally.beyond > 0) {
    print(`${count(tally.beyond, 'changed event')} more, of too many kinds to keep apart`);
  }
  const { events, counts, other } = tally;
  print(
    `${count(events, 'event')}: ${counts.denied} newly denied, ${counts.allowed} newly allowed, ` +
      `${counts.undecided} undecided, ${counts.none} with the same verdict`,
  );
  const differently = [...tally.outcomes].map(([change, number]) => `${number} ${change}`);
  if (differently.length > 0) print(`told differently: ${differently.join(', ')}`);
  if (other > 0) print(`${count(other, 'record')} not about the open or change of one file`);
  print(describeLines(lines));
}

function row({ judgement, count: times, workloads }: ChangedKind): string[] {
  const { path, operation, app, user, was, now } = judgement;
  const [first = '', ...others] = workloads;
  const where = first && `on ${first}${others.length > 0 ? ' and others' : ''}`;
  const who = `${app || 'unknown process'}${user ? ` (${user})` : ''}`;
  return [
    `  ×${times}`,
    operation,
    printable(path),
    printable(`by ${who}`),
    paint('dim', printable(`${told(was)} → ${told(now)}`)),
    paint('dim', printable(where)),
  ];
}

function told({ outcome, rule, reason }: Told): string {
  const words = outcome === 'not_covered' ? 'not covered' : `${outcome} ${rule}`.trim();
  return reason ? `${words} [${reason}]` : words;
}

function describeLines({
  lines,
  foreign,
  unreadable,
  firstUnreadable,
  cutOff,
}: LineCounts): string {
  return [
    `${count(lines, 'line')} read`,
    ...(foreign > 0 ? [`${count(foreign, 'record')} of others`] : []),
    ...(unreadable > 0
      ? [`${count(unreadable, 'line')} that can not be read, first ${firstUnreadable}`]
      : []),
    ...(cutOff.length > 0 ? [`the last line is cut off in ${cutOff.join(', ')}`] : []),
  ].join('; ');
}

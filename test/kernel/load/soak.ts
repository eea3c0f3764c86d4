/**
 * An agent under mixed load for as long as one likes: opens that are refused and that are not, saves, renames, folders
 * that come and go, short-lived processes, containers, reloads. Says what it held all the while and what went wrong.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { whyNoContainers } from '../../containers/podman.ts';
import { image, Site } from '../../containers/site.ts';
import { copyHelper } from '../children.ts';
import { Agent, type RecordLine } from '../harness.ts';
import { Scratch } from '../scratch.ts';
import { type Held, heldBy } from './held.ts';
import { OpenLoad, together, type Waits } from './open-load.ts';
import { sleep, startMs } from './site.ts';

export interface SoakOptions {
  readonly seconds: number;
  readonly deadlineMs: number;
}

export interface Soak {
  readonly seconds: number;
  readonly waits: Waits;
  /** Of the containers: their verdicts once they have rules. */
  readonly wrongInside: readonly string[];
  readonly counts: Readonly<Record<'saves' | 'renames' | 'folders' | 'processes', number>>;
  readonly containers: number;
  readonly reloads: number;
  readonly records: number;
  readonly lost: readonly string[];
  /** Refusals of the openers, and how many of them its records tell. */
  readonly denied: number;
  readonly deniedTold: number;
  /** One each second. */
  readonly samples: readonly Held[];
  /** When nothing had happened yet, and when everything was over. */
  readonly before: Held;
  readonly after: Held;
}

const savedFiles = 50;

interface Place {
  readonly scratch: Scratch;
  readonly site: Site | undefined;
  readonly listed: string;
  readonly deadlineMs: number;
}

/** Every other one has a rule more. */
function configuration({ scratch, listed, deadlineMs }: Place, more = false) {
  const rule = (name: string, files: string, rest: object) => ({ name, path: files, ...rest });
  const block = { behavior: 'block', operations: ['read'] };
  const rules = [
    rule('secret', scratch.path('covered/secret-*'), { ...block, apps: [listed] }),
    rule('moving', scratch.path('moving/*/file'), { ...block, apps: [] }),
    rule('saved', scratch.path('saved/**'), { behavior: 'watch' }),
    ...(more ? [rule('more', scratch.path('more/**'), { ...block, apps: [] })] : []),
  ];
  const inside = [rule('inside', '/etc/passwd', { ...block, apps: ['/bin/listed'] })];
  return {
    verdict: { deadline: `${deadlineMs}ms` },
    records: { window: '1s' },
    groups: [
      { name: 'soak', members: { host: true }, mode: 'protect', rules },
      {
        name: 'soaked',
        members: { container: { labels: { soak: 'yes' } } },
        mode: 'protect',
        rules: inside,
      },
    ],
  };
}

/** @throws Error when the agent does not outlive it. */
export async function soak({ seconds, deadlineMs }: SoakOptions): Promise<Soak> {
  const site = whyNoContainers() === undefined ? await Site.make('soak') : undefined;
  const scratch = new Scratch();
  const listed = copyHelper('open_load', path.join(scratch.base, 'listed'));
  const place: Place = { scratch, site, listed, deadlineMs };
  for (let i = 0; i < 20; i++) scratch.write(`covered/secret-${i}`);
  for (const name of ['covered/open', 'saved/file', 'moving/a/file', 'more/file'])
    scratch.write(name);
  for (let i = 0; i < savedFiles; i++) scratch.write(`saved/file-${i}`);
  scratch.directory('moving/b');
  const env: Record<string, string> =
    site === undefined ? {} : { CONTAINER_HOST: `unix://${site.podman.socket}` };
  const agent = await Agent.start(scratch, configuration(place), {
    env,
    waitForReady: false,
    lifetimeMs: (seconds + 600) * 1000,
  });
  try {
    await agent.logged(({ msg }) => msg === 'ready', 'ready', startMs);
    return await loaded(agent, place, seconds);
  } finally {
    agent.kill();
    await agent.exited;
    await site?.podman.remove();
    site?.scratch.remove();
    scratch.remove();
  }
}

async function loaded(agent: Agent, place: Place, seconds: number): Promise<Soak> {
  const before = heldBy(agent.pid);
  const loads = await openers(place);
  const end = performance.now() + seconds * 1000;
  const counts = { saves: 0, renames: 0, folders: 0, processes: 0 };
  const samples: Held[] = [];
  for (const load of loads) load.go();
  const [, , containers, reloads] = await Promise.all([
    until(end, 1000, async () => void samples.push(heldBy(agent.pid))),
    changes(place, end, counts),
    containersComeAndGo(place, end),
    reloading(agent, place, end),
  ]);
  const waits = together(await Promise.all(loads.map((load) => load.end())));
  await agent.reconfigure(configuration(place));
  // A container's last marks go a moment after it.
  let after = heldBy(agent.pid);
  for (let look = 0; look < 100 && after.marks > before.marks; look++) {
    await sleep(100);
    after = heldBy(agent.pid);
  }
  const { code, signal } = await agent.stop();
  if (code !== 0)
    throw new Error(`the agent ended with ${code ?? signal}: ${agent.stderr.slice(-2000)}`);
  const secrets = agent.matching({
    event: 'fileward.file.denied',
    attributes: { 'security_rule.name': 'secret' },
  });
  const lost = agent.matching({ event: 'fileward.record.lost' });
  return {
    seconds,
    waits,
    wrongInside: containers.wrong,
    counts,
    containers: containers.count,
    reloads,
    records: agent.records.length,
    lost: lost.map(({ body }) => body),
    denied: waits.denied,
    deniedTold: countOf(secrets),
    samples,
    before,
    after,
  };
}

function countOf(records: readonly RecordLine[]): number {
  return records.reduce(
    (sum, { attributes }) => sum + Number(attributes['fileward.count'] ?? 1),
    0,
  );
}

function openers({ scratch, listed }: Place): Promise<OpenLoad[]> {
  const secrets = Array.from({ length: 20 }, (_, i) => scratch.path(`covered/secret-${i}`));
  const all = (answer: 'ok' | 'EPERM') => Object.fromEntries(secrets.map((file) => [file, answer]));
  const every = { threads: 2, pauseUs: 2000 };
  return Promise.all([
    OpenLoad.start({ ...every, files: all('EPERM') }),
    OpenLoad.start({ ...every, files: all('ok'), app: listed }),
    OpenLoad.start({ ...every, files: { [scratch.path('covered/open')]: 'ok' } }),
  ]);
}

/** Does it every so many milliseconds until then. @returns how often. */
async function until(end: number, everyMs: number, what: () => Promise<void>): Promise<number> {
  let times = 0;
  for (; performance.now() < end; times++) {
    await what();
    await sleep(everyMs);
  }
  return times;
}

async function changes(
  { scratch }: Place,
  end: number,
  counts: Record<string, number>,
): Promise<void> {
  const count = (what: string): void => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  let round = 0;
  await until(end, 50, async () => {
    round += 1;
    const file = scratch.path('saved', `file-${round % savedFiles}`);
    writeFileSync(`${file}.new`, `${round}\n`);
    renameSync(`${file}.new`, file);
    count('saves');
    // A protected file: it stays so under its other name.
    const [from, to] = round % 2 === 0 ? ['b', 'a'] : ['a', 'b'];
    renameSync(scratch.path('moving', from, 'file'), scratch.path('moving', to, 'file'));
    count('renames');
    if (round % 4 === 0) {
      const folder = scratch.path('saved', `folder-${round % 20}`);
      mkdirSync(path.join(folder, 'deep/er'), { recursive: true });
      writeFileSync(path.join(folder, 'deep/er/file'), 'x');
      rmSync(folder, { recursive: true });
      count('folders');
    }
    if (round % 5 === 0) {
      execFileSync('/bin/true');
      count('processes');
    }
  });
}

/** One after another; each says what it may read, a few times. */
async function containersComeAndGo(
  { site }: Place,
  end: number,
): Promise<{ count: number; wrong: string[] }> {
  const wrong: string[] = [];
  if (site === undefined) return { count: 0, wrong };
  const look =
    'echo $(/bin/opener openat O_RDONLY /etc/passwd) $(/bin/listed openat O_RDONLY /etc/passwd)';
  const script = `for i in 1 2 3 4 5 6 7 8 9 10; do ${look}; sleep 0.05; done`;
  const args = [
    'run',
    '--rm',
    ...site.podman.runArgs,
    '--label=soak=yes',
    image,
    '/bin/sh',
    '-c',
    script,
  ];
  const count = await until(end, 500, async () => {
    const lines = (await site.podman.ok(...args)).split('\n');
    const first = lines.indexOf('EPERM ok');
    for (const [index, line] of lines.entries()) {
      const right = line === 'EPERM ok' || (line === 'ok ok' && (first < 0 || index < first));
      if (!right) wrong.push(lines.join(', '));
    }
  });
  return { count, wrong };
}

function reloading(agent: Agent, place: Place, end: number): Promise<number> {
  let more = false;
  return until(end, 2000, async () => {
    more = !more;
    const { event, body } = await agent.reconfigure(configuration(place, more));
    if (event !== 'fileward.policy.loaded') throw new Error(body);
  });
}

/** The middle value of a number in the samples from one part of the time to another. */
export function middle(samples: readonly Held[], of: keyof Held, from: number, to: number): number {
  const part = samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to));
  return (
    part.map((held) => held[of]).sort((a, b) => a - b)[Math.floor(part.length / 2)] ?? Number.NaN
  );
}

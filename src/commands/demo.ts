/**
 * The main job in a temporary directory: the real agent, real child processes, nothing outside that directory touched.
 * It ends by itself with 0, or with 1 when something did not happen as it says.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../control/failure.ts';
import { loadNative } from '../native/load.ts';
import { type Collector, findCollector } from '../workloads/surroundings.ts';
import { type Attempt, attempt, DemoAgent } from './demo-agent.ts';
import { recordLine, type ShownRecord } from './record-line.ts';
import { printable } from '../policy/printable.ts';
import { paint, print } from './terminal.ts';

interface Step {
  readonly title: string;
  readonly command: readonly string[];
  readonly succeeds: boolean;
  /** The record that must come; absent: none may. */
  readonly record?: (record: ShownRecord) => boolean;
  /** One line for people, when all of that held. */
  readonly lesson: string;
}

export async function demo(): Promise<number> {
  const { missing_capabilities: missing, can_enforce } = loadNative().probe();
  if (missing.length > 0) {
    throw new Failure(
      3,
      `the demo needs root: missing ${missing.join(', ')}; try: sudo fileward demo`,
    );
  }
  if (!can_enforce) {
    throw new Failure(3, 'this kernel gives no permission events; see: fileward doctor');
  }
  const collector = await findCollector();
  const stage = new Stage();
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    return await play(stage, collector, stop.signal);
  } finally {
    stage.strike();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

async function play(
  stage: Stage,
  collector: Collector | undefined,
  stop: AbortSignal,
): Promise<number> {
  print(paint('bold', `fileward demo in ${stage.folder}`));
  print('  protected  data/secret.txt   only apps/listed/cat may open it');
  print('  protected  tools/**          anybody may run it, nobody may write it');
  print('  watched    data/**           every change is told');
  await using agent = await DemoAgent.start(
    stage.writeConfiguration(collector),
    collector !== undefined,
  );
  let failures = 0;
  for (const [i, step] of STEPS.entries()) {
    if (stop.aborted) return 1;
    print();
    print(`${paint('bold', `${i + 1}`)}  ${step.title}`);
    if (!(await playStep(step, stage, agent))) failures++;
  }
  print();
  closing(failures, collector);
  return failures === 0 ? 0 : 1;
}

async function playStep(step: Step, stage: Stage, agent: DemoAgent): Promise<boolean> {
  print(`   ${paint('dim', '$')} ${step.command.join(' ')}`);
  agent.forget();
  const result: Attempt = await attempt(step.command, stage.folder);
  for (const line of result.output) print(`   ${paint('dim', printable(line))}`);
  const record = step.record ? await agent.waitFor(step.record) : await agent.anyRecord();
  if (record) print(`   ${recordLine(record)}`);
  const asSaid =
    result.succeeded === step.succeeds && (record !== undefined) === (step.record !== undefined);
  print(
    asSaid
      ? `   ${paint('green', '✓')} ${step.lesson}`
      : `   ${paint('red', '✗')} expected: ${step.lesson}; it ${result.succeeded ? 'worked' : 'failed'}, ` +
          `${record ? 'with a record' : 'without a record'}`,
  );
  return asSaid;
}

const isEvent = (event: string, operation: string) => (record: ShownRecord) =>
  record.event === `fileward.file.${event}` &&
  record.attributes['fileward.operation'] === operation;

const STEPS: readonly Step[] = [
  {
    title: 'The listed app reads the secret',
    command: ['apps/listed/cat', 'data/secret.txt'],
    succeeds: true,
    lesson: 'allowed, and quiet: no record',
  },
  {
    title: 'A copy of the same program, under another name, is not that app',
    command: ['apps/other/cat', 'data/secret.txt'],
    succeeds: false,
    record: isEvent('denied', 'read'),
    lesson: 'denied: an app is its file, not what it looks like',
  },
  {
    title: 'A hard link gives the secret another name',
    command: ['apps/other/cat', 'elsewhere/harmless.txt'],
    succeeds: false,
    record: isEvent('denied', 'read'),
    lesson: 'denied: the link does not help',
  },
  {
    title: 'Anybody may run the tool',
    command: ['tools/echo', 'hello'],
    succeeds: true,
    lesson: 'allowed, and quiet: only writing is guarded',
  },
  {
    title: 'Nobody may overwrite it',
    command: ['sh', '-c', 'echo malware > tools/echo'],
    succeeds: false,
    record: isEvent('denied', 'write'),
    lesson: 'denied before a byte was changed',
  },
  {
    title: 'A rename has no gate in the kernel, so it is told',
    command: ['mv', 'data/notes.txt', 'data/notes.old'],
    succeeds: true,
    record: isEvent('modified', 'rename'),
    lesson: 'reported, with old and new name and who did it',
  },
];

function closing(failures: number, collector: Collector | undefined): void {
  if (failures > 0) {
    print(
      paint(
        'red',
        `${failures} of ${STEPS.length} steps did not go as they should; see: fileward doctor`,
      ),
    );
    return;
  }
  print(
    collector
      ? `The records also went to the collector on ${collector.endpoint} (service.name fileward).`
      : 'No collector answered on localhost:4317 or 4318; with one, the records go there too.',
  );
  print('Next:');
  print('  sudo fileward init     a first configuration for this machine, in monitor mode');
  print('  sudo fileward check    what it would deny, and what it only detects');
  print('  sudo fileward run      the agent');
}

/** The temporary directory, on a tmpfs of its own where that can be mounted. */
class Stage {
  readonly folder = mkdtempSync(join(tmpdir(), 'fileward-demo-'));
  readonly #mounted = succeeds('mount', [
    '-t',
    'tmpfs',
    '-o',
    'mode=0755,size=64m',
    'fileward-demo',
    this.folder,
  ]);

  constructor() {
    for (const name of ['apps/listed', 'apps/other', 'data', 'elsewhere', 'tools', 'state']) {
      mkdirSync(join(this.folder, name), { recursive: true });
    }
    // The copies keep their names: on some systems all of coreutils is one program that looks at its name.
    copyFileSync('/bin/cat', join(this.folder, 'apps/listed/cat'));
    copyFileSync('/bin/cat', join(this.folder, 'apps/other/cat'));
    copyFileSync('/bin/echo', join(this.folder, 'tools/echo'));
    writeFileSync(join(this.folder, 'data/secret.txt'), 'the secret\n');
    writeFileSync(join(this.folder, 'data/notes.txt'), 'notes\n');
    linkSync(join(this.folder, 'data/secret.txt'), join(this.folder, 'elsewhere/harmless.txt'));
  }

  writeConfiguration(collector: Collector | undefined): string {
    const { folder } = this;
    const file = join(folder, 'fileward.config.json');
    const rules = [
      {
        name: 'secret',
        path: `${folder}/data/secret.txt`,
        behavior: 'block',
        operations: ['read', 'write'],
        apps: [`${folder}/apps/listed/cat`],
      },
      {
        name: 'tools',
        path: `${folder}/tools/**`,
        behavior: 'block',
        operations: ['write'],
        apps: [],
      },
      { name: 'data', path: `${folder}/data/**`, behavior: 'watch', operations: ['write'] },
    ];
    const groups = [{ name: 'demo', members: { host: true }, mode: 'protect', rules }];
    const telemetry = collector && { protocol: collector.protocol, endpoint: collector.endpoint };
    writeFileSync(
      file,
      JSON.stringify({ version: 1, groups, telemetry, state: `${folder}/state` }),
      {
        mode: 0o600,
      },
    );
    return file;
  }

  strike(): void {
    if (this.#mounted && !succeeds('umount', [this.folder]))
      succeeds('umount', ['-l', this.folder]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function succeeds(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** The command line: which commands there are, their options and examples. Each command's code is loaded when it runs. */
// Long because it has every command with its options and examples.
import { Command, CommanderError, Option } from 'commander';
import { printError } from './commands/terminal.ts';
import { Failure } from './control/failure.ts';
import { packageVersion } from './control/package.ts';

const configOption = () =>
  new Option('-c, --config <file>', 'the configuration (default: /etc/fileward/fileward.config.*)');
const stateOption = () => new Option('--state <dir>', "the running agent's state directory");
const jsonOption = () => new Option('--json', 'print JSON');
const operations = ['read', 'write', 'exec'];

function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

/** Takes the exit status that a command ends with. */
type Run = (status: Promise<number>) => Promise<void>;

function buildProgram(run: Run): Command {
  const program = new Command('fileward')
    .description(
      'Decides who may open what on this Linux host, sees every change, and tells your collector.',
    )
    .version(packageVersion(), '-V, --version')
    .helpCommand(false)
    .showHelpAfterError('(see --help)')
    .exitOverride()
    .addHelpText(
      'after',
      examples(
        'sudo fileward demo                 the main job in a temporary directory',
        'sudo fileward init                 a first configuration for this machine',
        'sudo fileward check                what it denies, and what it only detects',
        'sudo fileward run                  the agent',
      ),
    );
  addAgentCommands(program, run);
  addPolicyCommands(program, run);
  addControlCommands(program, run);
  addLearnedCommands(program, run);
  return program;
}

function addAgentCommands(program: Command, run: Run): void {
  program
    .command('init')
    .description('write a short commented configuration for this machine')
    .addOption(
      new Option('--mode <mode>', 'mode of the first group')
        .choices(['discover', 'monitor', 'protect'])
        .default('monitor'),
    )
    .option('--stdout', 'print it instead of writing /etc/fileward/fileward.config.yaml')
    .addHelpText('after', examples('sudo fileward init', 'fileward init --mode protect --stdout'))
    .action((options) => run(import('./commands/init.ts').then(({ init }) => init(options))));
  program
    .command('run')
    .description('run the agent')
    .addOption(configOption())
    .option(
      '--console',
      'print every record on stdout as well: lines on a terminal, NDJSON otherwise',
    )
    .option('--no-export', 'send nothing to a collector')
    .option(
      '--no-self-protection',
      "leave fileward's own files unguarded, and take a configuration that others can write",
    )
    .addOption(
      new Option(
        '--confirm <time>',
        'a group that newly protects falls back to monitor unless `fileward confirm` comes in time',
      ),
    )
    .addHelpText(
      'after',
      examples(
        'sudo fileward run',
        'sudo fileward run -c ./fileward.config.yaml --console --no-export',
        'sudo fileward run --confirm 10m',
      ),
    )
    .action((options) => run(import('./commands/run.ts').then((it) => it.run(options))));
}

function addPolicyCommands(program: Command, run: Run): void {
  program
    .command('check')
    .description('validate the configuration and print each rule as it is understood')
    .addOption(configOption())
    .option('--offline', 'look at no file that the rules name')
    .addHelpText('after', examples('sudo fileward check', 'fileward check -c new.yaml --offline'))
    .action((options) => run(import('./commands/check.ts').then(({ check }) => check(options))));
  program
    .command('explain')
    .description('which rule decides about a path, the verdict and why, and what would allow it')
    .argument('[path]', 'an absolute path, as the workload sees it')
    .option('--app <exe>', 'the executable that opens it')
    .addOption(new Option('--operation <op>', 'what it does').choices(operations))
    .option('--user <user>', 'effective user, by name or number')
    .addOption(
      new Option(
        '--origin <origin>',
        "the app is the workload's own, the host's or a container's",
      ).choices(['same', 'host', 'container']),
    )
    .option('--group <group>', 'only this group')
    .option('--workload <name>', 'as in this container, by name or id: asks the running agent')
    .option('--record <file>', 'explain a record instead (one NDJSON line); - is stdin')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'fileward explain /etc/shadow --app /usr/bin/cat --operation read',
        'sudo fileward explain /etc/nginx/nginx.conf --workload web-1',
        'fileward tail --json --event denied | head -1 | fileward explain --record -',
      ),
    )
    .action((path, options) =>
      run(import('./commands/explain.ts').then((it) => it.explainCommand(path, options))),
    );
  program
    .command('test')
    .description('run policy tests; needs neither root nor the files')
    .argument('[file...]', 'test files (default: fileward.test.yaml beside the configuration)')
    .addOption(configOption())
    .addOption(new Option('--format <format>').choices(['text', 'json', 'junit']).default('text'))
    .addHelpText(
      'after',
      examples(
        'fileward test',
        'fileward test -c fileward.config.yaml policy/*.test.yaml --format junit',
      ),
    )
    .action((files, options) =>
      run(import('./commands/test.ts').then((it) => it.test(files, options))),
    );
  program
    .command('replay')
    .description('recorded events against another configuration: the verdicts that would change')
    .argument('<records...>', "NDJSON of ours or a collector's OTLP/JSON lines; - is stdin")
    .addOption(configOption())
    .option('--fail-on-deny', 'status 1 when something would be denied that was not')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'fileward replay records.ndjson -c protect.yaml',
        'fileward replay /var/lib/otelcol/fileward-*.jsonl -c protect.yaml --fail-on-deny',
      ),
    )
    .action((records, options) =>
      run(import('./commands/replay.ts').then(({ replay }) => replay(records, options))),
    );
  program
    .command('import')
    .description('make a configuration of what another program uses')
    .addHelpText('after', examples('fileward import neuvector rules.yaml'))
    .command('neuvector')
    .description("file rules of NeuVector's NvSecurityRule and NvClusterSecurityRule, on stdout")
    .argument('<file...>', 'YAML or JSON, as kubectl or NeuVector exports it; - is stdin')
    .addHelpText(
      'after',
      examples(
        'fileward import neuvector rules.yaml > fileward.config.yaml',
        'kubectl get nvsecurityrules,nvclustersecurityrules -A -o yaml | fileward import neuvector -',
      ),
    )
    .action((files) =>
      run(import('./commands/import-neuvector.ts').then((it) => it.importNeuvector(files))),
    );
  program
    .command('doctor')
    .description('privileges, kernel features, and what is enforced, detected or neither here')
    .addOption(jsonOption())
    .addHelpText('after', examples('sudo fileward doctor', 'fileward doctor --json'))
    .action((options) => run(import('./commands/doctor.ts').then(({ doctor }) => doctor(options))));
}

function addControlCommands(program: Command, run: Run): void {
  const command = (name: string, description: string) =>
    program
      .command(name)
      .description(description)
      .addOption(configOption())
      .addOption(stateOption());
  command('status', 'how the running agent is')
    .addOption(jsonOption())
    .option('--ready', 'only the exit status: 0 ready, 1 degraded, 3 not running')
    .addHelpText('after', examples('sudo fileward status', 'fileward status --ready && echo fine'))
    .action((options) => run(import('./commands/status.ts').then((it) => it.status(options))));
  command('tail', "the running agent's records as they come")
    .option('--group <group>', 'of this group')
    .option('--rule <rule>', 'of this rule')
    .option('--event <event>', 'of this event: denied, or fileward.file.denied')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples('sudo fileward tail', 'sudo fileward tail --event denied --json'),
    )
    .action((options) => run(import('./commands/tail.ts').then(({ tail }) => tail(options))));
  command('confirm', 'keep the protection that `run --confirm` put in force for a while')
    .addHelpText('after', examples('sudo fileward confirm'))
    .action((options) => run(import('./commands/confirm.ts').then((it) => it.confirm(options))));
  command('release', "end the protection of a file that was moved out of a rule's reach")
    .argument('<path>', 'where the file is now')
    .addHelpText('after', examples('sudo fileward release /tmp/shadow.old'))
    .action((path, options) =>
      run(import('./commands/release.ts').then((it) => it.release(path, options))),
    );
  command('pause', 'let protect act as monitor for a while')
    .option('--group <group>', 'only this group')
    .option('--rule <rule>', 'only this rule')
    .requiredOption('--for <time>', 'how long: 90s, 15m, 2h')
    .requiredOption('--reason <text>', 'why; it goes into the records')
    .addHelpText(
      'after',
      examples(
        'sudo fileward pause --for 15m --reason "restoring the backup"',
        'sudo fileward resume',
      ),
    )
    .action((options) => run(import('./commands/pause.ts').then(({ pause }) => pause(options))));
  command('resume', 'end a pause')
    .option('--group <group>', 'the pause of this group')
    .option('--rule <rule>', 'the pause of this rule')
    .addHelpText('after', examples('sudo fileward resume', 'sudo fileward resume --group web'))
    .action((options) => run(import('./commands/resume.ts').then(({ resume }) => resume(options))));
  program
    .command('demo')
    .description('the main job in a temporary directory; needs root, no configuration')
    .addHelpText('after', examples('sudo fileward demo'))
    .action(() => run(import('./commands/demo.ts').then(({ demo }) => demo())));
}

function addLearnedCommands(program: Command, run: Run): void {
  const learned = program
    .command('learned')
    .description('what discover groups learned: show it, and write it into the configuration')
    .addHelpText(
      'after',
      examples('sudo fileward learned list', 'sudo fileward learned apply --group web'),
    );
  const command = (name: string, description: string) =>
    learned
      .command(name)
      .description(description)
      .addOption(configOption())
      .option('--group <group>', 'only this group')
      .option('--rule <rule>', 'only this rule');
  const broad = ['--allow-broad', 'interpreters and multi-call binaries too'] as const;
  const widen = ['--widen', 'globs instead of paths whose random parts differ'] as const;
  const yes = ['--yes', 'write it without asking'] as const;
  command('list', 'programs, what they did, how often, since when, as whom')
    .addOption(stateOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples('sudo fileward learned list', 'sudo fileward learned list --group web --json'),
    )
    .action((options) =>
      run(import('./commands/learned-list.ts').then((it) => it.learnedList(options))),
    );
  command('export', 'what is not listed yet, as overrides to paste')
    .addOption(stateOption())
    .option(...broad)
    .option(...widen)
    .addHelpText('after', examples('sudo fileward learned export --group web > web.yaml'))
    .action((options) =>
      run(import('./commands/learned-export.ts').then((it) => it.learnedExport(options))),
    );
  command('apply', 'write it into the configuration file; shows the difference and asks')
    .addOption(stateOption())
    .option(...yes)
    .option(...broad)
    .option(...widen)
    .addHelpText(
      'after',
      examples(
        'sudo fileward learned apply --group web',
        'sudo fileward learned apply -c ./fileward.config.yaml --yes --allow-broad',
      ),
    )
    .action((options) =>
      run(import('./commands/learned-apply.ts').then((it) => it.learnedApply(options))),
    );
  command('merge', 'the same as apply, of what collectors wrote of many nodes')
    .argument('<file...>', "a collector's OTLP/JSON lines or NDJSON of ours; - is stdin")
    .option(...yes)
    .option(...broad)
    .option(...widen)
    .addHelpText(
      'after',
      examples('fileward learned merge /var/lib/otelcol/fileward-*.jsonl -c fileward.config.yaml'),
    )
    .action((files, options) =>
      run(import('./commands/learned-merge.ts').then((it) => it.learnedMerge(files, options))),
    );
}

async function main(argv: readonly string[]): Promise<void> {
  // A reader that goes away early (`| head`) is no failure of ours.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      if (stream === process.stdout) process.exit(0);
    });
  }
  const program = buildProgram(async (status) => {
    process.exitCode = await status;
  });
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) {
      const helpWasAsked = error.exitCode === 0;
      process.exitCode = helpWasAsked ? 0 : 2;
    } else if (error instanceof Failure) {
      printError(`fileward: ${error.message}`);
      process.exitCode = error.status;
    } else {
      throw error;
    }
  }
}

await main(process.argv);
// Once all is printed, nothing that a command left open may keep us.
process.stdout.write('', () => process.stderr.write('', () => process.exit()));

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { codeOf, Failure } from '../control/failure.ts';
import type { Mode } from '../policy/ruleset.ts';
import { osRelease } from '../workloads/host.ts';
import {
  type Collector,
  findCollector,
  findRuntimes,
  type Runtime,
} from '../workloads/surroundings.ts';
import { print } from './terminal.ts';

const FILE = '/etc/fileward/fileward.config.yaml';

export interface InitOptions {
  readonly mode: Mode;
  readonly stdout?: boolean;
}

export async function init(options: InitOptions): Promise<number> {
  const text = configurationText({
    mode: options.mode,
    distribution: osRelease()['PRETTY_NAME'] ?? 'Linux',
    runtimes: findRuntimes(),
    collector: await findCollector(),
  });
  if (options.stdout) {
    process.stdout.write(text);
    return 0;
  }
  write(text);
  print(`wrote ${FILE}`);
  print('next: sudo fileward check      what it would deny, and what it only detects');
  print('      sudo fileward run        start the agent');
  return 0;
}

interface Machine {
  readonly mode: Mode;
  readonly distribution: string;
  readonly runtimes: readonly Runtime[];
  readonly collector: Collector | undefined;
}

const MODE_COMMENTS: Readonly<Record<Mode, string>> = {
  discover: 'discover: allow everything, learn which app opens what. Then monitor, then protect.',
  monitor: 'monitor: allow everything, report what protect would deny. Then protect.',
  protect: 'protect: deny what the rules forbid. `fileward run --confirm 10m` is a safe first try.',
};

/** A first configuration; what was found on the machine is in its comments and its values. */
function configurationText({ mode, distribution, runtimes, collector }: Machine): string {
  const found = collector
    ? `# Found a collector listening on ${collector.endpoint}.`
    : '# No collector listens on localhost:4317 or 4318 yet; records wait for one.';
  const runtimeLine =
    runtimes.length === 0
      ? '# No container runtime was found.'
      : `# Container runtimes found: ${runtimes.map((it) => `${it.name} (${it.socket})`).join(', ')}.`;
  return `# fileward on ${hostname()} (${distribution}), written by \`fileward init\`.
# See what it does: sudo fileward check      Try a change first: fileward explain PATH --app EXE
# Editors: the JSON Schema is config/fileward.schema.json in the package.
${runtimeLine}
version: 1

# The shipped rules of group "host": password files, sudoers, ssh, PAM, cron, systemd units, system binaries.
import: [ "pack:linux-base" ]

# Change an imported rule without copying it:
# overrides:
#   - { rule: host/sudoers, apps: { add: [ /usr/local/bin/sudo-sync ] } }

groups:
  - name: host
    members: { host: true }
    # ${MODE_COMMENTS[mode]}
    mode: ${mode}
    rules:
      # Your own rules come before the imported ones; the first that covers a path decides. An example:
      - name: local-programs
        description: Programs that no package brought
        path: /usr/local/{bin,sbin}/**
        behavior: watch
        operations: [write]
        tags: { mitre: T1554 }

${found}
telemetry: { protocol: ${collector?.protocol ?? 'grpc'}, endpoint: "${collector?.endpoint ?? 'http://localhost:4317'}" }
`;
}

/** @throws Failure when the file is there already or can't be written. */
function write(text: string): void {
  try {
    mkdirSync(dirname(FILE), { recursive: true, mode: 0o755 });
    writeFileSync(FILE, text, { flag: 'wx', mode: 0o644 });
    chmodSync(FILE, 0o644);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') {
      throw new Failure(
        1,
        `${FILE} is there already and stays as it is; see: fileward init --stdout`,
      );
    }
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      throw new Failure(3, `cannot write ${FILE} (${code}); try sudo, or: fileward init --stdout`);
    }
    throw error;
  }
}

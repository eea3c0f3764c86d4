/** A process that opens file after file, each until it was denied: as many real events of fileward as a test wants. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

/** An open that is let through, because no agent runs, is tried again. */
const script = `
  use Time::HiRes qw(time sleep);
  $| = 1;
  my ($rate, $first, $last, $stem) = @ARGV;
  my ($started, $allowed) = (time, 0);
  for my $i ($first .. $last) {
    for (;;) {
      my $now = time;
      if (!open(my $file, '<', "$stem$i")) {
        die "$stem$i: $!" unless $!{EPERM};
        printf "%d %.6f %.6f\\n", $i, $now, time;
        last;
      }
      sleep 0.02;
    }
    next if $rate == 0 || $i % 50;
    my $early = $started + ($i - $first) / $rate - time;
    sleep $early if $early > 0;
  }
`;

/** When an open began and when its denial was there, milliseconds since the epoch. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface DenialOptions {
  /** Numbers of the files, `first` to `last`. */
  readonly first?: number;
  readonly last: number;
  /** Opens a second; absent: as fast as they are decided. */
  readonly rate?: number;
  readonly timeoutMs?: number;
}

/** Files that a rule can cover, `STEM0`, `STEM1`, ... */
export function makeFiles(stem: string, count: number): void {
  mkdirSync(path.dirname(stem), { recursive: true });
  for (let i = 0; i < count; i++) writeFileSync(`${stem}${i}`, '');
}

export class Denials {
  /** By path. */
  readonly denied = new Map<string, Span>();
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #ended: Promise<void>;
  #failure = '';
  #wake: () => void = () => undefined;

  constructor(stem: string, options: DenialOptions) {
    const { first = 0, last, rate = 0, timeoutMs = 180_000 } = options;
    const args = ['-MErrno', '-e', script, rate, first, last, stem].map(String);
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', '/usr/bin/perl', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const [number, from, to] = line.split(' ');
      this.denied.set(`${stem}${number}`, { from: Number(from) * 1000, to: Number(to) * 1000 });
      this.#wake();
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text) => (this.#failure += text));
    this.#ended = new Promise((resolve) =>
      this.#child.once('close', (code, signal) => {
        if (code !== 0) this.#failure ||= `ended with ${code ?? signal}`;
        this.#wake();
        resolve();
      }),
    );
  }

  /** Resolves when so many were denied. @throws Error when the process ends before. */
  async reach(count: number): Promise<void> {
    while (this.denied.size < count) {
      if (this.#failure !== '') throw new Error(this.#failure);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Resolves with all of them. @throws Error when one could not be opened for another reason. */
  async all(): Promise<ReadonlyMap<string, Span>> {
    await this.#ended;
    if (this.#failure !== '') throw new Error(this.#failure);
    return this.denied;
  }
}

export async function denials(
  stem: string,
  options: DenialOptions,
): Promise<ReadonlyMap<string, Span>> {
  return new Denials(stem, options).all();
}

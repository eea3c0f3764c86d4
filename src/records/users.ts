/** User names by passwd files. Never by NSS: a lookup there may open sockets and files, and wait for them. */
import { readFileSync, statSync } from 'node:fs';
import type { Clock } from './clock.ts';

const LOOK_AGAIN_MS = 1000;
/** For a user who may have been added just now. */
const LOOK_FOR_MS = 20;
/** A container's file may have any size. */
const MOST_NAMES = 10_000;

export interface UserNames {
  nameOf(uid: number): string | undefined;
  /** Resolves when the name is known or can't be; undefined: that is so already. */
  settled(uid: number): Promise<void> | undefined;
}

/** Those of one passwd file on the host, read again when it changes. */
export class HostUsers implements UserNames {
  readonly #file: string;
  readonly #clock: Clock;
  #names = new Map<number, string>();
  #version = '';
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(file: string, clock: Clock) {
    this.#file = file;
    this.#clock = clock;
  }

  nameOf(uid: number): string | undefined {
    const now = this.#clock.nowMs();
    if (now - this.#lookedMs >= LOOK_AGAIN_MS) {
      this.#lookedMs = now;
      this.#refresh();
    }
    return this.#names.get(uid);
  }

  settled(): undefined {
    return undefined;
  }

  #refresh(): void {
    try {
      const { ino, size, mtimeNs } = statSync(this.#file, { bigint: true });
      const version = `${ino} ${size} ${mtimeNs}`;
      if (version === this.#version) return;
      this.#names = namesIn(readFileSync(this.#file, 'utf8'));
      this.#version = version;
    } catch {
      this.#names.clear();
      this.#version = '';
    }
  }
}

/**
 * Those of a container: its file is read in the background, since a container can make any read of its files last. Once
 * it has gone, the last names stay.
 */
export class ContainerUsers implements UserNames {
  readonly #read: () => Promise<Uint8Array | null>;
  readonly #clock: Clock;
  #names = new Map<number, string>();
  #startedMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  /** @param read - its passwd as it is now; null when that can't be read */
  constructor(read: () => Promise<Uint8Array | null>, clock: Clock) {
    this.#read = read;
    this.#clock = clock;
    void this.#refresh();
  }

  nameOf(uid: number): string | undefined {
    if (this.#ageMs >= LOOK_AGAIN_MS) void this.#refresh();
    return this.#names.get(uid);
  }

  settled(uid: number): Promise<void> | undefined {
    if (this.#names.has(uid)) return undefined;
    return this.#reading ?? (this.#ageMs >= LOOK_FOR_MS ? this.#refresh() : undefined);
  }

  get #ageMs(): number {
    return this.#clock.nowMs() - this.#startedMs;
  }

  #refresh(): Promise<void> {
    this.#startedMs = this.#clock.nowMs();
    this.#reading ??= this.#read()
      .then((bytes) => {
        if (bytes !== null) this.#names = namesIn(Buffer.from(bytes).toString('utf8'));
      })
      .catch(() => undefined)
      .finally(() => {
        this.#reading = undefined;
      });
    return this.#reading;
  }
}

function namesIn(passwd: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of passwd.split('\n')) {
    const [name, , uid] = line.split(':');
    if (names.size === MOST_NAMES) break;
    // The first line of several with one uid counts, as it does for getpwuid.
    if (name && uid && /^\d+$/.test(uid) && !names.has(Number(uid))) names.set(Number(uid), name);
  }
  return names;
}

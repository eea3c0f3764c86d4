import { readFileSync, statSync } from 'node:fs';
import type { Clock } from './clock.ts';

const LOOK_AGAIN_MS = 1000;

/**
 * User names of one passwd file, read again when it changes. Never by NSS: a lookup there may open sockets and files, and
 * wait for them.
 */
export class UserNames {
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

  #refresh(): void {
    try {
      const { ino, size, mtimeNs } = statSync(this.#file, { bigint: true });
      const version = `${ino} ${size} ${mtimeNs}`;
      if (version === this.#version) return;
      const names = new Map<number, string>();
      for (const line of readFileSync(this.#file, 'utf8').split('\n')) {
        const [name, , uid] = line.split(':');
        // The first line of several with one uid counts, as it does for getpwuid.
        if (name && uid && /^\d+$/.test(uid) && !names.has(Number(uid)))
          names.set(Number(uid), name);
      }
      this.#names = names;
      this.#version = version;
    } catch {
      this.#names.clear();
      this.#version = '';
    }
  }
}

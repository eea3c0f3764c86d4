/**
 * Tells when a configuration may have changed: edits, atomic replaces, files that appear or go, ConfigMap `..data` swaps.
 * Owns its inotify watches and one timer. It watches the folders that hold the files and every link on the way to them,
 * never the files (a replaced file would take its watch along), and looks at all of them anew after each event.
 */
import { type FSWatcher, readdirSync, readlinkSync, statSync, watch } from 'node:fs';
import { dirname, resolve } from 'node:path';

export interface WatchOptions {
  /** An editor or a copy makes many events of one change; told once they have been silent for so long. */
  readonly settleMs?: number;
  /** inotify's limits are reached: changes there go unseen until SIGHUP. */
  readonly onError?: (error: Error) => void;
}

export interface ConfigurationWatch {
  close(): void;
}

const defaultSettleMs = 200;
const maxLinks = 40;

/** `files` as `loadConfiguration` returned them; a folder among them counts with the names that it holds. */
export function watchConfiguration(
  files: readonly string[],
  onChange: () => void,
  options: WatchOptions = {},
): ConfigurationWatch {
  const watcher = new FolderWatcher(files, onChange, options);
  watcher.look();
  return { close: () => watcher.close() };
}

class FolderWatcher {
  readonly #files: readonly string[];
  readonly #onChange: () => void;
  readonly #options: WatchOptions;
  readonly #watches = new Map<string, FSWatcher>();
  #timer: NodeJS.Timeout | undefined;
  #state: string;
  #closed = false;

  constructor(files: readonly string[], onChange: () => void, options: WatchOptions) {
    this.#files = files;
    this.#onChange = onChange;
    this.#options = options;
    this.#state = stateOf(files);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const each of this.#watches.values()) each.close();
    this.#watches.clear();
  }

  /** Watches what has to be watched now, and drops what needn't any more. */
  look(): void {
    const wanted = new Set(this.#files.flatMap(foldersOnTheWay));
    for (const [folder, each] of this.#watches) {
      if (wanted.has(folder)) continue;
      each.close();
      this.#watches.delete(folder);
    }
    for (const folder of wanted) if (!this.#watches.has(folder)) this.#add(folder);
  }

  #add(folder: string): void {
    try {
      const each = watch(folder, { persistent: false }, () => this.#stir());
      each.on('error', () => this.#forget(folder));
      this.#watches.set(folder, each);
    } catch (error) {
      const gone = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!gone && error instanceof Error) this.#options.onError?.(error);
    }
  }

  #forget(folder: string): void {
    this.#watches.get(folder)?.close();
    this.#watches.delete(folder);
    this.#stir();
  }

  #stir(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#settle(), this.#options.settleMs ?? defaultSettleMs);
  }

  #settle(): void {
    // A folder replaced under its path keeps the old watch: all are placed anew, then compared.
    for (const each of this.#watches.values()) each.close();
    this.#watches.clear();
    this.look();
    const state = stateOf(this.#files);
    if (state === this.#state) return;
    this.#state = state;
    this.#onChange();
  }
}

/** The folders whose entries lead to a path: its own, those of links on the way; the nearest that exists, if none does. */
function foldersOnTheWay(path: string): string[] {
  const folders: string[] = [];
  const pending = [resolve(path)];
  for (let links = 0; pending.length > 0 && links <= maxLinks; ) {
    const next = pending.pop() as string;
    if (isFolder(next)) folders.push(next);
    for (let at = next; dirname(at) !== at; at = dirname(at)) {
      const target = linkTarget(at);
      if (at === next || target !== undefined) folders.push(nearestFolder(dirname(at)));
      if (target === undefined) continue;
      links += 1;
      pending.push(resolve(dirname(at), target, `.${next.slice(at.length)}`));
    }
  }
  return folders;
}

function nearestFolder(path: string): string {
  let at = path;
  while (!isFolder(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

function isFolder(path: string): boolean {
  return attempt(() => statSync(path).isDirectory()) ?? false;
}

function linkTarget(path: string): string | undefined {
  return attempt(() => readlinkSync(path));
}

/** Which file is at each path now, and in what state. */
function stateOf(files: readonly string[]): string {
  const states = files.map((file) => {
    const status = attempt(() => statSync(file, { bigint: true }));
    if (status === undefined) return '-';
    if (status.isDirectory()) return attempt(() => readdirSync(file).toSorted().join('/')) ?? '-';
    return [status.dev, status.ino, status.size, status.mtimeNs, status.ctimeNs].join(' ');
  });
  return states.join('\n');
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

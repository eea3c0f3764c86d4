/**
 * The cgroups of containers, as they come and go.
 * Owns an inotify watch on each cgroup of one hierarchy and nothing else: no timer, no process is looked at. The kernel tells
 * of mkdir, rmdir and, on v2, of a cgroup that gets its first process or loses its last; `look` finds what it didn't. Where
 * others than root may make cgroups, inside a container and below user@UID.service, the number of watches and of events is
 * bounded: who makes more goes unwatched until the next `look`.
 */
import { type FSWatcher, readdirSync, readFileSync, statSync, watch } from 'node:fs';
import type { CgroupMount } from './cgroup-mount.ts';
import { type ContainerCgroup, containerOfCgroup } from './cgroup-path.ts';

export interface CgroupTreeHooks {
  readonly onContainer: (place: ContainerCgroup) => void;
  readonly onGone: (cgroup: string) => void;
  /** Its processes may be others now. */
  readonly onStir: (cgroup: string) => void;
  /** No watch could be had: from now on only `look` finds what comes, in parts of the tree. Said once. */
  readonly onBlind: (error: Error) => void;
}

interface Node {
  readonly path: string;
  /** Another one under the same name has another. */
  readonly inode: bigint;
  readonly children: Map<string, Node>;
  /** The innermost container that it belongs to. */
  readonly container: ContainerCgroup | undefined;
  /** What it is counted in, where others than root make cgroups. */
  readonly domain: Domain | undefined;
  watcher: FSWatcher | undefined;
}

interface Domain {
  cgroups: number;
  /** Since the last `look`. */
  events: number;
}

const mostWatches = 8192;
const mostInDomain = 512;
const mostEvents = 2000;

export class CgroupTree {
  readonly #mount: CgroupMount;
  readonly #hooks: CgroupTreeHooks;
  #top: Node | undefined;
  readonly #domains = new Set<Domain>();
  #watches = 0;
  #blind = false;

  constructor(mount: CgroupMount, hooks: CgroupTreeHooks) {
    this.#mount = mount;
    this.#hooks = hooks;
  }

  /** Goes through all of the tree and tells of what is new or gone. */
  look(): void {
    for (const domain of this.#domains) domain.events = 0;
    this.#top ??= this.#node(this.#mount.root, undefined);
    if (this.#top) this.#refresh(this.#top);
  }

  close(): void {
    if (this.#top) this.#close(this.#top);
    this.#top = undefined;
  }

  shows(cgroup: string): boolean {
    return this.#nodeOf(cgroup) !== undefined;
  }

  /** Processes of a container that are in none of those inside it; `deep`: in cgroups below its own too. */
  processesOf(cgroup: string, deep: boolean): readonly number[] {
    const node = this.#nodeOf(cgroup);
    return node ? this.#processesOf(node, deep) : [];
  }

  #processesOf(node: Node, deep: boolean): number[] {
    const own = readLines(`${this.#folderOf(node.path)}/cgroup.procs`).map(Number);
    if (!deep) return own;
    const same = [...node.children.values()].filter((each) => each.container === node.container);
    return [...own, ...same.flatMap((each) => this.#processesOf(each, true))];
  }

  #nodeOf(cgroup: string): Node | undefined {
    const { root } = this.#mount;
    if (cgroup !== root && !cgroup.startsWith(`${root}/`)) return undefined;
    let node = this.#top;
    for (const name of cgroup.slice(root.length).split('/').slice(1)) {
      node = node?.children.get(name);
    }
    return node;
  }

  #node(path: string, parent: Node | undefined): Node | undefined {
    const inode = inodeOf(this.#folderOf(path));
    if (inode === undefined) return undefined;
    const place = containerOfCgroup(path);
    const isContainer = place?.cgroup === path;
    const container = isContainer ? place : parent?.container;
    const isDomain = isContainer || /\/user@\d+\.service$/.test(path);
    const domain = parent?.domain ?? (isDomain ? { cgroups: 0, events: 0 } : undefined);
    if (domain && domain.cgroups >= mostInDomain) return undefined;
    if (domain) {
      domain.cgroups += 1;
      this.#domains.add(domain);
    }
    return { path, inode, children: new Map(), container, domain, watcher: undefined };
  }

  #refresh(node: Node): void {
    node.watcher ??= this.#watch(node);
    // After the watch: what came before it is read here.
    const names = new Set(foldersIn(this.#folderOf(node.path)));
    for (const name of node.children.keys()) if (!names.has(name)) this.#leave(node, name);
    for (const name of names) this.#see(node, name);
  }

  /** A cgroup that is there: new, known, or another under a known name. */
  #see(parent: Node, name: string): void {
    const path = `${parent.path}/${name}`;
    const known = parent.children.get(name);
    if (known && known.inode === inodeOf(this.#folderOf(path))) {
      this.#refresh(known);
      return;
    }
    this.#leave(parent, name);
    const node = this.#node(path, parent);
    if (node === undefined) return;
    parent.children.set(name, node);
    if (node.container?.cgroup === path) this.#hooks.onContainer(node.container);
    this.#refresh(node);
  }

  #leave(parent: Node, name: string): void {
    const node = parent.children.get(name);
    if (node === undefined) return;
    parent.children.delete(name);
    this.#close(node);
  }

  #close(node: Node): void {
    for (const child of node.children.values()) this.#close(child);
    this.#unwatch(node);
    const { domain } = node;
    if (domain && --domain.cgroups === 0) this.#domains.delete(domain);
    if (node.container?.cgroup === node.path) this.#hooks.onGone(node.path);
  }

  #watch(node: Node): FSWatcher | undefined {
    if (this.#watches >= mostWatches) {
      this.#noteBlind(new Error(`there are more than ${mostWatches} cgroups`));
      return undefined;
    }
    try {
      const folder = this.#folderOf(node.path);
      const watcher = watch(folder, { persistent: false }, (event, name) => {
        this.#take(node, event === 'rename', name ?? '');
      });
      watcher.on('error', () => {});
      this.#watches += 1;
      return watcher;
    } catch (error) {
      const gone = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (!gone) this.#noteBlind(error as Error);
      return undefined;
    }
  }

  #unwatch(node: Node): void {
    if (node.watcher === undefined) return;
    node.watcher.close();
    node.watcher = undefined;
    this.#watches -= 1;
  }

  #noteBlind(error: Error): void {
    if (this.#blind) return;
    this.#blind = true;
    this.#hooks.onBlind(error);
  }

  /** A name came or went in a cgroup (its own name when it went itself, which its parent tells as well), or a file changed. */
  #take(node: Node, isRename: boolean, name: string): void {
    const { path, container, domain } = node;
    if (domain && ++domain.events > mostEvents) {
      this.#unwatch(node);
      return;
    }
    if (this.#nodeOf(path) !== node || name === '') return;
    if (!isRename) {
      if (container && name.startsWith('cgroup.')) this.#hooks.onStir(container.cgroup);
    } else if (inodeOf(`${this.#folderOf(path)}/${name}`) === undefined) {
      this.#leave(node, name);
    } else {
      this.#see(node, name);
    }
  }

  #folderOf(path: string): string {
    return this.#mount.folder + path.slice(this.#mount.root.length);
  }
}

function foldersIn(folder: string): readonly string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((each) => each.isDirectory()).map((each) => each.name);
  } catch {
    return [];
  }
}

/** Undefined for what is gone or no folder. */
function inodeOf(path: string): bigint | undefined {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  return stat?.isDirectory() ? stat.ino : undefined;
}

/** None where it has gone, or can't say (a threaded cgroup). */
function readLines(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}

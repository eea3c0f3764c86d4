/**
 * Ways to get at a protected file, each by the name that its row has in docs/enforcement.md, and how to go it: a helper in
 * helpers/way_*.c and the name that it has there.
 */
export interface Way {
  readonly row: string;
  readonly helper: 'way_names' | 'way_descriptors' | 'way_mounts' | 'way_processes';
  readonly name: string;
  /** It has prepared itself before the agent starts. */
  readonly before?: boolean;
  /** Which rule covers the file: for all operations, for one alone, or one whose app counts for root alone. */
  readonly rule?: 'all' | 'writes' | 'executes' | 'root-app';
  /** It is covered in an overlay, and this layer has it. */
  readonly layer?: 'upper' | 'lower';
  /** It makes mounts that everybody sees: goes by itself. */
  readonly alone?: boolean;
  /** Name of the protected file. */
  readonly file?: string;
}

function of(helper: Way['helper'], rows: Readonly<Record<string, Way['name'] | Partial<Way>>>) {
  return Object.entries(rows).map(([row, way]): Way => {
    return typeof way === 'string' ? { row, helper, name: way } : { row, helper, name: '', ...way };
  });
}

const before = (name: string): Partial<Way> => ({ name, before: true });
const alone = (name: string): Partial<Way> => ({ name, alone: true });

const opens = of('way_processes', {
  'open to read': 'read',
  'open to write': 'write',
  'open with `O_TRUNC`': 'cut',
  'create a covered name': 'create',
  'open with `O_PATH`': 'path-descriptor',
  'open an `O_PATH` descriptor again, `/proc/self/fd`': 'path-descriptor-again',
  '`execve`': 'execute',
  '`execveat` of an `O_PATH` descriptor': 'execute-path-descriptor',
  'the dynamic loader run on it': 'loader',
  'the dynamic loader run on it (rule for `exec` alone)': { name: 'loader', rule: 'executes' },
  'an interpreter run on it': 'interpreter',
  'a program from a memfd (`fexecve`) opens it': 'memfd',
  '`openat2` whose flags another process rewrites (rule for `write` alone)': {
    name: 'rewrite-flags',
    rule: 'writes',
  },
});

const names = of('way_names', {
  'hard link from before the mark': before('link-before'),
  'hard link from after it': 'link-after',
  'hard link made of an `O_PATH` descriptor (`AT_EMPTY_PATH`)': 'link-by-path-descriptor',
  'symlink to it': 'symlink-to-it',
  'moved away, then read': 'move-away',
  'moved away with `RENAME_WHITEOUT`, then read': 'whiteout',
  'exchanged with another file (`RENAME_EXCHANGE`), then read': 'exchange',
  'its folder moved away, then read': 'move-folder',
  'another file moved over it': 'move-over',
  deleted: 'delete',
  'a symlink put in its place': 'symlink-in-its-place',
  'another folder put in place of its folder': 'swap-folder',
  'a symlink put in place of its folder': 'symlink-for-folder',
  'a new folder filled before its mark': 'new-folder',
  '`O_TMPFILE` outside, `linkat` to a covered name': 'tmpfile-outside',
  '`O_TMPFILE` in its folder': 'tmpfile-inside',
  '`truncate(2)`': 'truncate',
  chmod: 'chmod',
  chown: 'chown',
  utimes: 'utimes',
  '`setxattr`': 'setxattr',
  '`removexattr`': before('removexattr'),
  'an ACL that leaves the mode alone': 'acl',
  'inode flags by `FS_IOC_SETFLAGS` (chattr)': 'setflags',
  'inode flags by `file_setattr(2)`': 'file-setattr',
});

const descriptors = of('way_descriptors', {
  mmap: 'open-map',
  '`copy_file_range`': 'open-copy',
  '`sendfile`': 'open-sendfile',
  '`splice`': 'open-splice',
  '`fallocate`': 'open-fallocate',
  '`FICLONE`': 'open-clone',
  '`FIDEDUPERANGE`': 'open-deduplicate',
  '`EXT4_IOC_MOVE_EXT`': 'open-move-extents',
  '`EXT4_IOC_SWAP_BOOT`': 'open-swap-boot',
  'io_uring opens it': 'ring-open',
  'io_uring deletes it': 'ring-unlink',
  '`/proc/PID/fd` of a listed app': 'proc-fd',
  '`/proc/PID/map_files` of a listed app': 'map-files',
  'from before: read': before('before-read'),
  'from before: mmap to read': before('before-map'),
  'from before: `copy_file_range` from it': before('before-copy-out'),
  'from before: `sendfile` from it': before('before-sendfile-out'),
  'from before: `splice` from it': before('before-splice-out'),
  'from before: io_uring read': before('before-ring-read'),
  'from before: `fexecve`': before('before-fexecve'),
  'from before: opened again through `/proc/self/fd`': before('before-open-again'),
  'from before: write': before('before-write'),
  'from before: `ftruncate`': before('before-ftruncate'),
  'from before: `fallocate`': before('before-fallocate'),
  'from before: `fallocate`, punch a hole': before('before-punch'),
  'from before: a store into a mapping from before': before('before-mapping'),
  'from before: mmap, then a store': before('before-map-after'),
  'from before: `copy_file_range` into it': before('before-copy-in'),
  'from before: `sendfile` into it': before('before-sendfile-in'),
  'from before: `splice` into it': before('before-splice-in'),
  'from before: io_uring write': before('before-ring-write'),
  'from before: `fsetxattr`': before('before-fsetxattr'),
  'from before: `fchmod`': before('before-fchmod'),
  'from before: `FS_IOC_SETFLAGS`': before('before-setflags'),
  'sent by a listed app (`SCM_RIGHTS`): read': 'passed-read',
  'sent by a listed app: mmap to read': 'passed-map',
  'sent by a listed app: opened again through `/proc/self/fd`': 'passed-open-again',
  'sent by a listed app: write': 'passed-write',
  'sent by a listed app: `ftruncate`': 'passed-ftruncate',
  'sent by a listed app: mmap, then a store': 'passed-store',
  'sent by a listed app: `copy_file_range` into it': 'passed-copy-in',
  'sent by a listed app: io_uring write': 'passed-ring-write',
  'taken from a listed app (`pidfd_getfd`): read': 'taken-read',
  'taken from a listed app: write': 'taken-write',
  'inherited from a listed app: read': 'inherited-read',
  'inherited from a listed app: write': 'inherited-write',
});

const mounts = of('way_mounts', {
  'bind mount, same namespace': alone('bind'),
  'bind mount in a mount namespace, or user namespace, of its own': 'bind-in-namespace',
  '`mount --move` there': 'move-mount',
  '`open_tree` clone, mounted nowhere': 'open-tree',
  'chroot into its folder': 'chroot',
  '`pivot_root` into its folder': 'pivot-root',
  'overlay mounted over its folder, read through it': 'overlay-read',
  'overlay mounted over its folder, written through it': 'overlay-write',
  '`open_by_handle_at`': 'handle',
  'loop device on it': 'loop-device',
  '`swapon`': 'swapon',
  '`acct(2)`': 'acct',
  'core dump onto it': { name: 'core', file: 'core' },
  'covered in an overlay, read in its upper directory': { name: 'layer-read', layer: 'upper' },
  'covered in an overlay, written in its upper directory': { name: 'layer-write', layer: 'upper' },
  'covered in an overlay, read in its lower directory': { name: 'layer-read', layer: 'lower' },
  'covered in an overlay, written in its lower directory': { name: 'layer-write', layer: 'lower' },
  'another file mounted over it, read by a listed app': alone('mount-over-file'),
  'a folder mounted over its folder, read by a listed app': alone('mount-over-folder'),
  'the block device under it (`debugfs`)': 'raw-device',
  'a fanotify group of the own waits for a listed app to open it': 'fanotify',
});

const apps = of('way_processes', {
  'a copy of a listed app': 'copy-of-app',
  'bind mount of a program over a listed app': 'bind-over-app',
  '`PR_SET_MM`: `/proc/self/exe` says that it is a listed app': 'set-exe',
  'ptrace into a listed app': 'trace',
  '`/proc/PID/mem` of a listed app written to': 'write-into-app',
  '`LD_PRELOAD` into a listed app': 'preload',
  'ptrace into an app listed with `user: root`': { name: 'trace', rule: 'root-app' },
  '`LD_PRELOAD` into an app listed with `user: root`': { name: 'preload', rule: 'root-app' },
  "another program written into a listed app's file": 'write-apps-file',
  "another program moved over a listed app's file": 'replace-apps-file',
});

export const ways: readonly Way[] = [...opens, ...names, ...descriptors, ...mounts, ...apps];

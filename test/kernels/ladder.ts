/**
 * What is left on a kernel without a feature: measured by test/kernel/ladder.test.ts with FILEWARD_WITHOUT, shown by
 * docs/kernels.md.
 */
export interface Rung {
  readonly without: readonly string[];
  /** Where it was part of the kernel first, its stable backports aside. */
  readonly since: string;
  /** Operations of survey.ts whose outcome differs from that of a kernel with everything. */
  readonly differs: Readonly<Record<string, string>>;
  /** What the agent says, beginning of a record's text; none: it loses nothing that a rule promises. */
  readonly told?: string;
  /** What it costs instead. */
  readonly costs?: string;
}

/** What becomes of each operation on a kernel that has everything. */
export const everything: Readonly<Record<string, string>> = {
  'open to read': 'denied',
  'open to write': 'denied',
  'open by io_uring': 'denied',
  exec: 'denied',
  'create a name': 'denied',
  'open by a hard link from before': 'denied',
  'open by a hard link from after': 'denied',
  'open through a bind mount': 'denied',
  'open in a folder made since': 'denied',
  rename: 'detected',
  'open where it was moved to': 'denied',
  'rename over': 'detected',
  delete: 'detected',
  chmod: 'detected',
  'truncate(2)': 'detected',
  'write by a descriptor from before': 'detected',
};

/** Without one of these no open can be denied for what it is: rules that block are refused, with status 3. */
export const refused = ['permission_events', 'report_tid', 'syscall_file'] as const;

/** Changes that are found, but not who made them. */
const nobody = (reason: string): Rung['differs'] =>
  Object.fromEntries(
    Object.entries(everything)
      .filter(([, outcome]) => outcome === 'detected')
      .map(([operation]) => [operation, `detected, without the process (${reason})`]),
  );
const again = 'found_on_rescan';
const gone = { rename: `detected, as delete, without the process (${again})` };

export const rungs: readonly Rung[] = [
  {
    without: ['pre_content'],
    since: '6.14',
    differs: {},
    costs: '`strict` has only opens to ask about',
  },
  {
    without: ['fd_error'],
    since: '6.13',
    differs: {},
    costs: 'an event whose file the kernel could not open is told as lost, without its process',
  },
  {
    without: ['mark_ignore'],
    since: '6.0',
    differs: {},
    costs: 'nothing: the older ignore mask does',
  },
  { without: ['evictable'], since: '5.19', differs: {}, costs: 'memory for each muted file' },
  {
    without: ['rename_event'],
    since: '5.17',
    differs: {},
    costs: 'nothing: the two halves of a rename are put together',
  },
  { without: ['target_fid'], since: '5.17', differs: {}, costs: 'time: names are looked up again' },
  {
    without: ['pidfd'],
    since: '5.15',
    differs: {},
    costs: 'nothing: start times tell processes apart',
  },
  {
    without: [
      'pre_content',
      'fd_error',
      'mark_ignore',
      'evictable',
      'rename_event',
      'target_fid',
      'pidfd',
    ],
    since: '5.15 to 6.14, all of them',
    differs: {},
    costs: 'all of that',
  },
  {
    without: ['directory_names'],
    since: '5.9',
    differs: {
      ...gone,
      'rename over': `detected, without the process (${again})`,
      delete: `detected, without the process (${again})`,
    },
    told: 'This kernel has no directory_names',
  },
  {
    without: ['fid'],
    since: '5.1',
    differs: { ...nobody(again), ...gone },
    told: 'no file handles in events',
  },
  {
    without: ['process_feed'],
    since: '2.6.15, where configured',
    differs: nobody('process_changed'),
    told: 'This kernel has no process_feed',
  },
];

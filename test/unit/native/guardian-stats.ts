import type { GuardianStats } from '../../../src/native/addon.ts';

/** Of a guardian that had nothing to do. */
export function guardianStats(given: Partial<GuardianStats> = {}): GuardianStats {
  return {
    pid: 7,
    restarts: 0,
    own_cgroup: true,
    standing_in: '',
    since_ns: 0n,
    episode_count: 0,
    episodes: [],
    answered: { allowed: 0n, denied: 0n },
    late: 0n,
    deny_table: { entries: 0, full: false },
    canary: { bounds_seconds: [1e-3, 0.1], counts: [3n, 0n, 0n], sum_seconds: 0.0003, misses: 0n },
    ...given,
  };
}

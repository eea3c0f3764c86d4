import type { CoverageReport } from '../native/addon.ts';
import { BUILT_IN_GROUP } from '../policy/built-in.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import type { Configuration } from '../policy/document.ts';
import type { Plan } from './known-files-messages.ts';

/** What a policy that covers the host so makes of known files. */
export function planOf(
  policy: CompiledPolicy,
  { records }: Configuration,
  { rules }: CoverageReport,
): Plan {
  const resolved = rules.flatMap((rule) => rule.resolved.map(({ base, real }) => [base, real]));
  return {
    policy: { json: policy.json, resolved: Object.fromEntries(resolved) },
    hashed: policy.rules.map(({ hash }) => hash && records.hash.enabled),
    own: policy.rules.filter(({ group }) => group === BUILT_IN_GROUP).map(({ index }) => index),
    largestHash: records.hash.maxSizeBytes,
  };
}

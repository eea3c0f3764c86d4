/** What rules are worth less for on a kernel that lacks a feature: said at the start, and by `status` for as long. */
import type { FeatureReport } from '../native/addon.ts';
import type { PolicyDocument } from '../policy/document.ts';

/** Features to what is missing without them. Those that aren't here cost nothing but time or memory. */
const WORTH: Readonly<Record<string, string>> = {
  directory_names: 'changes are found by looking again, without the process that made them',
  process_feed:
    'changes are told without the process that made them, and no app is believed by its ancestors',
};

/** One sentence for each that is missing. */
export function kernelGaps({ features }: Pick<FeatureReport, 'features'>): string[] {
  return features
    .filter(({ name, available }) => !available && WORTH[name] !== undefined)
    .map(({ name }) => `This kernel has no ${name}: ${WORTH[name]}`);
}

/** Why a policy can't be in force here: a rule that blocks is never taken for one that only watches. */
export function whyUnenforceable(
  { groups }: PolicyDocument,
  { can_enforce, features }: Pick<FeatureReport, 'can_enforce' | 'features'>,
): string | undefined {
  if (can_enforce) return undefined;
  const rule = groups
    .flatMap(({ rules }) => rules)
    .find(({ enabled, behavior }) => enabled && behavior === 'block');
  if (rule === undefined) return undefined;
  const missing = ['permission_events', 'report_tid', 'syscall_file'].filter((name) =>
    features.some((feature) => feature.name === name && !feature.available),
  );
  const { file, line } = rule.position;
  return `${file}:${line}: rule ${rule.name} blocks, and this kernel can't deny opens (no ${missing.join(', ')}); make it \`behavior: watch\`, or see: fileward doctor`;
}

import { createHash } from 'node:crypto';
import type { Rule } from '../policy/document.ts';

/** Of what a rule covers and asks: two rules with the same one learn the same. Its apps, name and mode don't count. */
export function ruleFingerprint(rule: Rule): string {
  const { path, regex, except, behavior, operations } = rule;
  const text = JSON.stringify([path, regex ?? null, except, behavior, [...operations].sort()]);
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/**
 * What of NeuVector's NvSecurityRule and NvClusterSecurityRule decides about files. Keys that are not here are kept:
 * the import names each that it leaves out.
 */
import { z } from 'zod';
import { bool, text } from '../schema-values.ts';

const words = z.string({ error: 'text (quote it)' });
const criterion = z.looseObject(
  {
    key: text,
    op: z.enum(['=', '!=', 'contains', 'prefix', 'regex', '!regex'], {
      error: 'one of =, !=, contains, prefix, regex, !regex',
    }),
    value: words,
  },
  { error: 'a criterion such as { key: domain, op: "=", value: shop }' },
);

const selector = z.looseObject(
  {
    name: text,
    criteria: z.array(criterion, { error: 'a list of criteria' }).nullish(),
    name_referral: bool.nullish(),
    comment: z.string({ error: 'text (quote it)' }).nullish(),
  },
  { error: 'a map with name and criteria' },
);

const mode = (...more: string[]) =>
  z.enum(['Discover', 'Monitor', 'Protect', ...more], {
    error: 'one of Discover, Monitor, Protect',
  });

const fileRule = z.looseObject(
  {
    filter: text,
    recursive: bool.nullish(),
    behavior: z.enum(['monitor_change', 'block_access'], {
      error: 'monitor_change or block_access',
    }),
    app: z.array(words, { error: 'a list of programs' }).nullish(),
  },
  { error: 'a file rule: a map with filter, behavior …' },
);

const metadata = z.looseObject(
  { name: text.nullish(), namespace: text.nullish() },
  { error: 'a map with name' },
);

/** NvSecurityRule and NvClusterSecurityRule. */
export const neuvectorRuleSchema = z.looseObject(
  {
    kind: text,
    metadata: metadata.nullish(),
    spec: z.looseObject(
      {
        target: z.looseObject(
          { policymode: mode('N/A', '').nullish(), selector },
          { error: 'a map with selector' },
        ),
        process_profile: z
          .looseObject({ mode: mode().nullish() }, { error: 'a map with mode' })
          .nullish(),
        file: z.array(fileRule, { error: 'a list of file rules' }).nullish(),
      },
      { error: 'a map with target and file' },
    ),
  },
  { error: 'a map with kind, metadata, spec' },
);

/** NvGroupDefinition, which rules refer to by name. */
export const neuvectorGroupSchema = z.looseObject(
  {
    kind: text,
    metadata: metadata.nullish(),
    spec: z.looseObject({ selector }, { error: 'a map with selector' }),
  },
  { error: 'a map with kind, metadata, spec' },
);

export type NeuvectorRule = z.infer<typeof neuvectorRuleSchema>;
export type NeuvectorGroup = z.infer<typeof neuvectorGroupSchema>;
export type NeuvectorSelector = z.infer<typeof selector>;
export type NeuvectorCriterion = z.infer<typeof criterion>;
export type NeuvectorFileRule = z.infer<typeof fileRule>;

/**
 * What a configuration file may hold: one source for validation, for the types of what is read and for
 * `config/fileward.schema.json`. Each `error` is the words after "must be" in a message.
 */
import { z } from 'zod';
import {
  bool,
  mode,
  oneOrMore,
  operationList,
  recordLimitPattern,
  text,
  textMap,
  verdict,
} from './schema-values.ts';
import { settingsShape } from './settings-schema.ts';

const groupName = /^[a-z0-9][a-z0-9.-]{0,62}$/;
const ruleName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const setName = /^[a-z0-9][a-z0-9._-]{0,62}$/;

const appObject = z.strictObject(
  {
    exe: text.optional().describe('Absolute path or glob of the executable.'),
    script: text.optional().describe('The script that exe, an interpreter, was started with.'),
    operations: operationList.optional().describe('Default: all operations of the rule.'),
    user: z
      .union([text, z.int().min(0)], { error: 'a user name or a number' })
      .optional()
      .describe("Effective user in the workload's user namespace."),
    ancestor: text.optional().describe('An executable among those that led to the process.'),
    unit: text.optional().describe('A unit of the system manager, such as backup.service.'),
    sha256: z
      .string({ error: '64 hex digits, quoted' })
      .regex(/^[0-9A-Fa-f]{64}$/, { error: '64 hex digits, quoted' })
      .optional(),
    children: bool.optional().describe('Its descendants too.'),
    workload: z.enum(['same', 'host'], { error: 'same or host' }).optional(),
    package_manager: bool
      .optional()
      .describe('dpkg, rpm, apk, what drives them and what they run.'),
  },
  { error: 'an app: a path, set:NAME or a map such as { exe: /usr/sbin/sshd, user: root }' },
);

const app = z
  .union([text, appObject], {
    error: 'an app: a path, set:NAME or a map such as { exe: /usr/sbin/sshd, user: root }',
  })
  .meta({ id: 'app' });
const appList = z.array(app, { error: 'a list of apps' });

const ruleShape = {
  path: oneOrMore('an absolute path or glob, or a list of them').optional(),
  regex: text.optional().describe('RE2 syntax, matched against the whole path.'),
  except: oneOrMore('an absolute path or glob, or a list of them').optional(),
  behavior: z.enum(['watch', 'block'], { error: 'watch or block' }),
  operations: operationList.optional().describe('Default: block read, write, exec; watch write.'),
  apps: appList.optional().describe('Who is listed. [] lists nobody.'),
  mode: mode.optional().describe("Replaces the group's mode."),
  changes: z.enum(['report', 'quiet'], { error: 'report or quiet' }).optional(),
  description: text.optional(),
  reference: text.optional(),
  severity: z.enum(['info', 'warn', 'error'], { error: 'one of info, warn, error' }).optional(),
  tags: textMap('a map of text such as { mitre: T1554 }').optional(),
  required: bool.optional().describe('Absent paths are coverage.degraded.'),
  hash: bool.optional(),
  on_deadline: verdict.optional(),
  strict: bool
    .optional()
    .describe('Judges each read and write of open files too; new directories have no gap.'),
  runtime: bool.optional().describe("false: the container runtime's own start is not listed."),
  enabled: bool.optional(),
  max_records: z
    .string({ error: 'a number and a duration such as 100/10s' })
    .regex(recordLimitPattern, { error: 'a number and a duration such as 100/10s' })
    .optional(),
};

const ruleSchema = z
  .strictObject(
    {
      name: text.regex(ruleName, { error: 'letters, digits and any of . _ -, at most 63' }),
      ...ruleShape,
    },
    { error: 'a rule: a map with name, path, behavior …' },
  )
  .meta({ id: 'rule' });

const overrideSchema = z
  .strictObject(
    {
      rule: text.regex(/^[^/]+\/[^/]+$/, { error: 'GROUP/RULE' }),
      ...ruleShape,
      behavior: ruleShape.behavior.optional(),
      apps: z
        .union(
          [
            appList,
            z.strictObject(
              { add: appList.optional(), remove: appList.optional() },
              { error: 'a list of apps, or { add: […], remove: […] }' },
            ),
          ],
          { error: 'a list of apps, or { add: […], remove: […] }' },
        )
        .optional(),
    },
    { error: 'an override: a map with rule and what to change' },
  )
  .meta({ id: 'override' });

const criterionText = 'text, a list of text or { not: … }';
const criterion = z
  .union(
    [
      text,
      z.array(text, { error: criterionText }).min(1, { error: criterionText }),
      z.strictObject({ not: oneOrMore('text or a list of text') }, { error: criterionText }),
    ],
    { error: criterionText },
  )
  .meta({ id: 'criterion' });
const criteria = <K extends string>(keys: readonly K[], what: string) => {
  const shape = Object.fromEntries(keys.map((key) => [key, criterion.optional()])) as Record<
    K,
    z.ZodOptional<typeof criterion>
  >;
  const plain = {
    ...shape,
    labels: z.record(z.string(), criterion, { error: 'a map of labels' }).optional(),
  };
  return z.strictObject(
    { ...plain, not: z.strictObject(plain, { error: what }).optional() },
    { error: what },
  );
};
const container = criteria(
  ['image', 'name', 'id', 'runtime'],
  'criteria such as { image: "nginx:*" }',
);
const kubernetes = criteria(
  ['namespace', 'pod', 'container', 'service_account'],
  'criteria such as { namespace: shop }',
);
const memberShape = {
  host: z.literal(true, { error: 'true (leave it out otherwise)' }).optional(),
  container: container.optional(),
  kubernetes: kubernetes.optional(),
};
const members = z
  .strictObject(
    {
      ...memberShape,
      not: z.strictObject(memberShape, { error: 'criteria, as in members' }).optional(),
    },
    { error: 'criteria such as { host: true }' },
  )
  .meta({ id: 'members' });

const groupSchema = z
  .strictObject(
    {
      name: text.regex(groupName, { error: 'lower-case letters, digits, . and -, at most 63' }),
      members: z
        .union(
          [
            members,
            z
              .array(members, { error: 'criteria such as { host: true }, or a list of them' })
              .min(1, { error: 'a list that holds at least one of host, container, kubernetes' }),
          ],
          { error: 'criteria such as { host: true }, or a list of them' },
        )
        .optional(),
      mode: mode.optional().describe('Default: monitor.'),
      labels: textMap('a map of text such as { team: platform }').optional(),
      rules: z.array(ruleSchema, { error: 'a list of rules' }).optional(),
    },
    { error: 'a group: a map with name, members, rules' },
  )
  .meta({ id: 'group' });

const shared = {
  overrides: z.array(overrideSchema, { error: 'a list of overrides' }).optional(),
  sets: z
    .record(
      z.string().regex(setName, { error: 'lower-case letters, digits and any of . _ -' }),
      appList,
      { error: 'a map of names to lists of apps' },
    )
    .optional(),
  groups: z.array(groupSchema, { error: 'a list of groups' }).optional(),
};

/** What an imported file or a pack may hold. */
export const importedSchema = z.strictObject(shared, {
  error: 'a map with groups, sets, overrides',
});

/** The main file. */
export const configurationSchema = z
  .strictObject(
    {
      version: z.literal(1, { error: '1' }),
      policy_version: z
        .string({ error: 'text (quote it)' })
        .min(1)
        .optional()
        .describe('The commit of these rules; on records and as a metric.'),
      import: oneOrMore('pack:NAME or a path, or a list of them').optional(),
      ...shared,
      ...settingsShape,
    },
    { error: 'a map that begins with version: 1' },
  )
  .describe('Configuration of fileward.');

export type RuleSource = z.infer<typeof ruleSchema>;
export type OverrideSource = z.infer<typeof overrideSchema>;
export type AppSource = z.infer<typeof app>;
export type GroupSource = z.infer<typeof groupSchema>;
export type MembersSource = z.infer<typeof members>;
export type CriterionSource = z.infer<typeof criterion>;
export type ImportedSource = z.infer<typeof importedSchema>;
export type ConfigurationSource = z.infer<typeof configurationSchema>;

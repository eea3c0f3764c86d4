/**
 * Whether a parsed file is a configuration by section 3 of the contract, checked once more by hand: for files that the
 * loader accepted. It says what is wrong with one, or nothing. It knows less than the loader and must never be stricter.
 */
type Check = (value: unknown) => string | undefined;

const fail = (what: string, value: unknown) => `${what}: ${JSON.stringify(value)}`;
const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const text: Check = (value) =>
  typeof value === 'string' && value !== '' ? undefined : fail('not text', value);
const flag: Check = (value) => (typeof value === 'boolean' ? undefined : fail('not a flag', value));
const oneOf =
  (...words: unknown[]): Check =>
  (value) =>
    words.includes(value) ? undefined : fail(`none of ${words.join(' ')}`, value);
const matching =
  (pattern: RegExp): Check =>
  (value) =>
    typeof value === 'string' && pattern.test(value) ? undefined : fail(String(pattern), value);
const number =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && Number(value) >= least && Number(value) <= most
      ? undefined
      : fail(`no number from ${least} to ${most}`, value);
const either =
  (...checks: Check[]): Check =>
  (value) =>
    checks.some((check) => check(value) === undefined)
      ? undefined
      : (checks.at(-1)?.(value) ?? 'nothing');
const list =
  (item: Check, least = 0): Check =>
  (value) => {
    if (!Array.isArray(value) || value.length < least) return fail('no list', value);
    return value.map(item).find((each) => each !== undefined);
  };
const mapOf =
  (item: Check): Check =>
  (value) =>
    isMap(value) ? Object.values(value).map(item).find(Boolean) : fail('no map', value);
const map =
  (keys: Record<string, Check>, ...needed: string[]): Check =>
  (value) => {
    if (!isMap(value)) return fail('no map', value);
    const absent = needed.find((key) => !(key in value));
    if (absent !== undefined) return `no ${absent} in ${JSON.stringify(value)}`;
    for (const [key, each] of Object.entries(value)) {
      const problem = Object.hasOwn(keys, key) ? keys[key]?.(each) : `unknown key ${key}`;
      if (problem !== undefined) return problem;
    }
    return undefined;
  };

const absolute = matching(/^(?:\/|\{)/);
const paths = either(absolute, list(absolute, 1));
const mode = oneOf('discover', 'monitor', 'protect');
const operations = list(oneOf('read', 'write', 'exec'), 1);
const verdict = oneOf('allow', 'deny');
const duration = matching(/^\d+(?:ms|s|m|h)$/);
const size = matching(/^\d+(?:B|KiB|MiB|GiB)$/);
const app = either(
  matching(/^set:[a-z0-9]/),
  absolute,
  map({
    exe: absolute,
    script: absolute,
    operations,
    user: either(text, number(0, Number.MAX_SAFE_INTEGER)),
    ancestor: absolute,
    unit: text,
    sha256: matching(/^[0-9a-fA-F]{64}$/),
    children: flag,
    workload: oneOf('same', 'host'),
    package_manager: flag,
  }),
);
const texts = mapOf((value) => (typeof value === 'string' ? undefined : fail('not text', value)));
const rule = {
  name: matching(/^[\w.-]{1,63}$/),
  path: paths,
  regex: text,
  except: paths,
  behavior: oneOf('watch', 'block'),
  operations,
  apps: list(app),
  mode,
  changes: oneOf('report', 'quiet'),
  description: text,
  reference: text,
  severity: oneOf('info', 'warn', 'error'),
  tags: texts,
  required: flag,
  hash: flag,
  on_deadline: verdict,
  strict: flag,
  runtime: flag,
  enabled: flag,
  max_records: matching(/^[1-9]\d*\/\d+(?:ms|s|m|h)$/),
};
const criterion = either(text, list(text, 1), map({ not: either(text, list(text, 1)) }, 'not'));
const criteria = (...keys: string[]): Check => {
  const plain = {
    ...Object.fromEntries(keys.map((key) => [key, criterion])),
    labels: mapOf(criterion),
  };
  return map({ ...plain, not: map(plain) });
};
const memberKeys = {
  host: oneOf(true),
  container: criteria('image', 'name', 'id', 'runtime'),
  kubernetes: criteria('namespace', 'pod', 'container', 'service_account'),
};
const members = map({ ...memberKeys, not: map(memberKeys) });
const group = map(
  {
    name: matching(/^[a-z0-9][a-z0-9.-]{0,62}$/),
    members: either(members, list(members, 1)),
    mode,
    labels: texts,
    rules: list(map(rule, 'name', 'behavior')),
  },
  'name',
  'members',
);

const file = map(
  {
    version: oneOf(1),
    policy_version: text,
    import: either(text, list(text)),
    overrides: list(map({ ...rule, name: () => 'an override has no name', rule: text }, 'rule')),
    sets: mapOf(list(app)),
    groups: list(group),
    learning: map({ user: flag }),
    records: map({
      window: duration,
      command_args: flag,
      hash: map({ enabled: flag, max_size: size }),
    }),
    limits: map({ marks: number(1, 1e9), depth: number(1, 1e9) }),
    verdict: map({ deadline: duration, on_deadline: verdict }),
    telemetry: isMapAtLeast,
    state: matching(/^\//),
  },
  'version',
);

function isMapAtLeast(value: unknown): string | undefined {
  return isMap(value) ? undefined : fail('no map', value);
}

/** Undefined: nothing that this knows of. */
export function wrongWith(value: unknown): string | undefined {
  const shape = file(value);
  if (shape !== undefined) return shape;
  const { groups = [] } = value as { groups?: Record<string, unknown>[] };
  for (const { name, mode: groupMode, rules = [] } of groups) {
    const names = (rules as { name: string }[]).map((each) => each.name);
    if (new Set(names).size !== names.length) return `a rule of ${name} is there twice`;
    for (const each of rules as Record<string, unknown>[]) {
      if ('path' in each === 'regex' in each) return `path and regex of ${each['name']}`;
      const effective = each['mode'] ?? groupMode;
      const enforces = each['behavior'] === 'block' && effective === 'protect';
      if (enforces && each['enabled'] !== false && !('apps' in each)) {
        return `${each['name']} protects and has no apps`;
      }
    }
  }
  return undefined;
}

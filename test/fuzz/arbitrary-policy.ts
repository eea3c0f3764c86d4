/** Configurations and questions about them, all valid: few names, so that patterns and paths meet. */
import fc from 'fast-check';
import type {
  AppMap,
  ConfigurationMap,
  GroupMap,
  Operation,
  Question,
  RuleMap,
} from './reference-evaluator.ts';

const operations: readonly Operation[] = ['read', 'write', 'exec'];
const names = ['a', 'b', '.h'];
const oddNames = ['ab', 'x y', 'ü', 'a*', '-', 'a,b', 'c', ']', '?', '\\'];
const programs = [
  '/usr/bin/cat',
  '/usr/bin/dpkg',
  '/sbin/apk',
  '/usr/bin/runc',
  '/opt/app',
  '/opt/dir/app2',
];
const scripts = ['/usr/bin/dnf', '/opt/script.py'];
const users = ['root', '0', '1000', 'no-such-user'];
const units = ['a.service', 'b.timer'];
const digests = ['a'.repeat(64), '0123456789abcdef'.repeat(4)];

const escaped = (name: string) => name.replace(/[*?[\]{}\\,]/g, '\\$&');

const pieceOfGlob = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...names) },
  { weight: 4, arbitrary: fc.constantFrom('*', '**', '**') },
  { weight: 1, arbitrary: fc.constantFrom(...oddNames).map(escaped) },
  { weight: 2, arbitrary: fc.constantFrom('?', 'a*', '*b', 'a**b', '[ab]', '[!a]') },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '{a,b}',
      '{a,b/**}',
      '{,.}h',
      '{a,{b,c}*}',
      '[a-c]?',
      '[]x]',
      '{*,a}*',
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('[ü-ÿ]', '[!\\]-a]', '[\\*?]', '\\a', 'a?', '?*', '***'),
  },
);

/** Some are refused (`//` out of braces): the caller asks checkGlob. */
export const glob = fc
  .array(pieceOfGlob, { minLength: 1, maxLength: 3 })
  .map((pieces) => `/${pieces.join('/')}`);

const regex = fc
  .array(
    fc.constantFrom(
      'a',
      '[^/]+',
      '.*',
      '(?:a|b)',
      'b?',
      '\\.h',
      'a|/b',
      '[a-c]',
      'ü',
      '(?:/a)?',
      '.',
    ),
    {
      minLength: 1,
      maxLength: 4,
    },
  )
  .map((pieces) => `/${pieces.join('/')}`);

const path = fc
  .array(
    fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom(...names) },
      { weight: 1, arbitrary: fc.constantFrom(...oddNames) },
    ),
    { minLength: 1, maxLength: 3 },
  )
  .map((segments) => `/${segments.join('/')}`);

const someOperations = fc.subarray([...operations], { minLength: 1 });
const program = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...programs) },
  { weight: 1, arbitrary: fc.constantFrom('/opt/*', '/usr/**', '/{usr/bin,opt}/{app,cat}', '/**') },
);

const optional = { requiredKeys: [] };

/** `of`: what an entry may name, since more than the rule's operations is an error. */
function app(of: readonly Operation[]): fc.Arbitrary<string | AppMap> {
  const keys = fc
    .record(
      {
        exe: program,
        operations: fc.subarray([...of], { minLength: 1 }),
        user: fc.oneof(fc.constantFrom(...users), fc.constantFrom(0, 1000)),
        ancestor: program,
        unit: fc.constantFrom(...units),
        sha256: fc.constantFrom(...digests, digests[0]?.toUpperCase() ?? ''),
        children: fc.boolean(),
        workload: fc.constantFrom('same' as const, 'host' as const),
        package_manager: fc.boolean(),
        script: fc.constantFrom(...scripts),
      },
      optional,
    )
    .map(withWhatItNeeds);
  return fc.oneof(program, program, keys, keys, fc.constantFrom('set:one', 'set:two'));
}

/** What names nobody, or a script without its interpreter, is an error. */
function withWhatItNeeds(entry: AppMap): AppMap {
  const says = ['exe', 'user', 'ancestor', 'unit', 'sha256'] as const;
  const named = entry.package_manager || says.some((key) => entry[key] !== undefined);
  const needsExe = !named || entry.script !== undefined || entry.children === true;
  return needsExe && entry.exe === undefined ? { ...entry, exe: '/opt/app' } : entry;
}

const mode = fc.constantFrom('discover' as const, 'monitor' as const, 'protect' as const);

const rule: fc.Arbitrary<Omit<RuleMap, 'name'>> = fc
  .tuple(someOperations, fc.constantFrom('watch' as const, 'block' as const), fc.boolean())
  .chain(([some, behavior, implicit]) => {
    const defaults: readonly Operation[] = behavior === 'block' ? operations : ['write'];
    const list = implicit ? defaults : some;
    return fc
      .record(
        {
          path: fc.oneof(glob, fc.uniqueArray(glob, { minLength: 1, maxLength: 3 })),
          regex,
          except: fc.uniqueArray(glob, { minLength: 1, maxLength: 2 }),
          apps: fc.array(app(list), { maxLength: 3 }),
          mode,
          changes: fc.constantFrom('report' as const, 'quiet' as const),
          runtime: fc.boolean(),
          enabled: fc.constantFrom(true, true, true, false),
        },
        { requiredKeys: ['path', 'apps'] },
      )
      .map(({ path: paths, regex: expression, ...rest }) => ({
        ...rest,
        ...(expression === undefined ? { path: paths } : { regex: expression }),
        behavior,
        ...(!implicit && { operations: some }),
      }));
  });

const group: fc.Arbitrary<Omit<GroupMap, 'name'>> = fc.record(
  {
    members: fc.constantFrom<GroupMap['members'][]>(
      { host: true },
      { host: true },
      { container: { name: 'box' } },
    ),
    mode,
    rules: fc
      .array(rule, { minLength: 1, maxLength: 4 })
      .map((rules) => rules.map((each, index) => ({ name: `r${index}`, ...each }))),
  },
  { requiredKeys: ['members', 'rules'] },
);

export const configuration: fc.Arbitrary<ConfigurationMap> = fc.record({
  version: fc.constant(1 as const),
  sets: fc.record({
    one: fc.array(
      app(operations).filter((entry) => typeof entry !== 'string' || !entry.startsWith('set:')),
      { maxLength: 3 },
    ),
    two: fc.constantFrom(
      ['set:one'],
      ['set:one', '/usr/bin/cat'],
      [{ exe: '/opt/app', operations: ['read'] as const }],
    ),
  }),
  groups: fc
    .array(group, { minLength: 1, maxLength: 3 })
    .map((groups) => groups.map((each, index) => ({ name: `g${index}`, ...each }))),
});

export const question: fc.Arbitrary<Question> = fc.record(
  {
    paths: fc.array(path, { minLength: 1, maxLength: 2 }),
    operation: fc.constantFrom(...operations),
    gate: fc.constantFrom('open' as const, 'open' as const, 'change' as const),
    of: fc.constantFrom('host' as const, 'host' as const, 'box' as const),
    origin: fc.constantFrom(
      'same' as const,
      'same' as const,
      'host' as const,
      'container' as const,
    ),
    app: fc.constantFrom(...programs),
    script: fc.constantFrom(...scripts),
    user: fc.constantFrom(...users),
    unit: fc.constantFrom(...units),
    sha256: fc.constantFrom(...digests),
    ancestors: fc.oneof(
      fc.constant('unknown' as const),
      fc.array(fc.constantFrom(...programs), { maxLength: 2 }),
    ),
  },
  { requiredKeys: ['paths', 'operation', 'gate', 'of', 'origin', 'app', 'ancestors'] },
);

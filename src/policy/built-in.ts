/**
 * The group that guards fileward itself. It is appended to what a configuration says, so that the numbers of the user's
 * rules stay, and only by `run`. `on_deadline` is `allow` everywhere: while nobody decides, nothing of ours may keep the
 * next agent out.
 */
import type { AppEntry, Configuration, Group, Position, Rule } from './document.ts';

/** No group of a configuration may have this name. */
export const BUILT_IN_GROUP = 'fileward.self';

/** Where the parts of a running agent are; absolute paths. */
export interface OwnFiles {
  readonly state: string;
  /** The control socket, which may lie elsewhere. */
  readonly socket: string;
  readonly canary: string;
  readonly guardian: string;
  readonly node: string;
  readonly packageFolder: string;
  /** Globs below it of what nobody but a package manager has a reason to write. */
  readonly program: readonly string[];
  /** The npm that installed it, if one did. */
  readonly npm: string | undefined;
  /** All files that were read as the configuration. */
  readonly configuration: readonly string[];
}

/** @param protects - false: only what the canary needs */
export function builtInGroup(own: OwnFiles, protects: boolean): Group {
  return {
    name: BUILT_IN_GROUP,
    members: [{ host: true }],
    mode: 'protect',
    labels: {},
    rules: protects ? [canaryRule(own), ...protection(own)] : [canaryRule(own)],
    position: nowhere,
  };
}

/** The configuration as it is compiled and covered: with the built-in group behind all others. */
export function withBuiltIn(configuration: Configuration, group: Group): Configuration {
  return { ...configuration, document: { groups: [...configuration.document.groups, group] } };
}

const nowhere: Position = { file: 'fileward', line: 1, column: 1 };

const unlisted: Rule = {
  name: '',
  path: [],
  except: [],
  behavior: 'block',
  operations: ['write'],
  apps: [],
  changes: 'report',
  tags: {},
  required: false,
  hash: true,
  onDeadline: 'allow',
  strict: false,
  runtime: true,
  enabled: true,
  position: nowhere,
};

/** Only root can open it, and whoever reads it is nobody's concern: the point is that somebody has to wait for a verdict. */
function canaryRule({ canary, guardian }: OwnFiles): Rule {
  return {
    ...unlisted,
    name: 'canary',
    description: 'What the guardian opens to see that openers are answered',
    path: [literal(canary)],
    operations: ['read'],
    mode: 'monitor',
    hash: false,
    apps: [
      { ...anybody, exe: literal(guardian) },
      { ...anybody, user: '0' },
    ],
  };
}

function protection(own: OwnFiles): Rule[] {
  const { state, socket, guardian, node, npm, packageFolder, program, configuration } = own;
  const isBelow = socket.startsWith(`${state}/`);
  const rules: Rule[] = [
    {
      ...unlisted,
      name: 'state',
      description: 'What fileward keeps for its next start, and its sockets',
      path: [`${literal(state)}/**`, ...(isBelow ? [] : [literal(socket)])],
      hash: false,
      changes: 'quiet',
      apps: [{ ...anybody, exe: literal(guardian) }],
    },
    {
      ...unlisted,
      name: 'program',
      description: 'The program of fileward',
      path: program.map((glob) => `${literal(packageFolder)}/${glob}`),
      apps: [
        { ...anybody, packageManager: true },
        ...(npm === undefined ? [] : [{ ...anybody, exe: literal(node), script: literal(npm) }]),
      ],
    },
    watched('shared', 'The Node that runs fileward', [node]),
    watched('configuration', 'The files that the configuration was read from', configuration),
  ];
  return rules.filter(({ path }) => path.length > 0);
}

/** Others have reasons to write these: told, with who did. */
function watched(name: string, description: string, files: readonly string[]): Rule {
  return {
    ...unlisted,
    name,
    description,
    path: files.map(literal),
    behavior: 'watch',
    apps: [{ ...anybody, packageManager: true }],
  };
}

const anybody: AppEntry = {
  children: false,
  workload: 'same',
  packageManager: false,
  position: nowhere,
};

/** A path as a glob that matches it alone. */
function literal(path: string): string {
  return path.replace(/[\\*?[\]{}]/g, '\\$&');
}

// Holds the layout of design.md, section 2: what lies where, and which way imports point.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

const root = path.resolve(import.meta.dirname, '..');

const topLevel = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'binding.gyp',
  'native',
  'src',
  'config',
  'otel-collector.yaml',
  'test',
  'README.md',
  'ARCHITECTURE.md',
  'LICENSE',
  'docs',
  '.ci',
  '.git',
  '.gitignore',
];
const buildArtefacts = ['node_modules', 'dist', 'build'];

/** One file open, from the kernel to the collector, in one direction. */
const walk = [
  'native/kernel/fanotify_group.cc',
  'native/decision/decision_thread.cc',
  'native/decision/ruleset.cc',
  'native/event/event_ring.h',
  'native/addon/session.cc',
  'src/native/event-batch.ts',
  'src/records/pipeline.ts',
  'src/telemetry/log-record.ts',
  'src/telemetry/outbox.ts',
];

/** Folder of native/ to the folders whose headers it may include, itself aside. */
const nativeMayInclude: Record<string, readonly string[]> = {
  base: [],
  kernel: ['base'],
  process: ['base', 'kernel'],
  event: ['base'],
  decision: ['base', 'kernel', 'process', 'event'],
  coverage: ['base', 'kernel', 'process', 'event', 'decision'],
  guardian: ['base', 'kernel', 'decision'],
  addon: ['base', 'kernel', 'process', 'event', 'decision', 'coverage', 'guardian'],
};

const belowAgent = [
  'native',
  'config',
  'policy',
  'workloads',
  'records',
  'learning',
  'telemetry',
  'control',
];

/**
 * Part of src/ to the parts whose values it may import, itself aside. The order counts: types may
 * come from any part further up, which leaves no circle either.
 */
const sourceMayImport = new Map<string, readonly string[]>([
  ['native', []],
  ['policy', ['native']],
  ['config', ['native', 'policy']],
  ['workloads', []],
  ['records', ['native', 'policy', 'workloads']],
  ['learning', ['policy']],
  ['telemetry', ['records']],
  ['control', ['policy']],
  ['agent.ts', belowAgent],
  ['commands', [...belowAgent, 'agent.ts']],
  ['main.ts', ['commands', 'control', 'agent.ts']],
]);

/** Files under a folder of the repository, as paths from its root; none when it doesn't exist. */
function filesIn(folder: string, ...extensions: string[]): string[] {
  if (!existsSync(path.join(root, folder))) return [];
  return readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && extensions.includes(path.extname(entry.name)))
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .sort();
}

function read(file: string): string {
  return readFileSync(path.join(root, file), 'utf8');
}

function linesIn(text: string): number {
  return text.split('\n').length - 1;
}

interface Reference {
  readonly to: string;
  readonly line: number;
  readonly typeOnly: boolean;
}

function references(text: string, pattern: RegExp): Reference[] {
  return [...text.matchAll(pattern)].map((match) => ({
    to: match.groups?.['to'] ?? '',
    line: linesIn(text.slice(0, match.index)) + 1,
    typeOnly: match.groups?.['type'] !== undefined,
  }));
}

function includes(file: string): Reference[] {
  return references(read(file), /^[ \t]*#[ \t]*include[ \t]*[<"](?<to>[^>"]+)[>"]/gm);
}

function imports(file: string): Reference[] {
  const text = read(file);
  return [
    ...references(
      text,
      /^(?:import|export)\s+(?<type>type\s+)?(?:[\w$*{}\s,]+?\s+from\s+)?['"](?<to>[^'"]+)['"]/gm,
    ),
    ...references(text, /\bimport\(\s*['"](?<to>[^'"]+)['"]/g),
  ];
}

function expectNone(complaints: readonly string[]): void {
  assert.equal(complaints.join('\n'), '');
}

describe('the layout', () => {
  it('has nothing at the top level but what is agreed', () => {
    const allowed = new Set([...topLevel, ...buildArtefacts]);
    expectNone(
      readdirSync(root)
        .filter((name) => !allowed.has(name) && !name.endsWith('.log'))
        .map((name) => `${name} has no place at the top level`),
    );
  });

  for (const file of walk) {
    it(`has ${file} of the walk`, () => {
      assert.ok(existsSync(path.join(root, file)), `${file} is missing`);
    });
  }

  it('has only known folders in native/ and src/', () => {
    const known = {
      native: [...Object.keys(nativeMayInclude), '.clang-format'],
      src: [...sourceMayImport.keys(), 'fileward.js'],
    };
    expectNone(
      Object.entries(known).flatMap(([folder, names]) =>
        readdirSync(path.join(root, folder))
          .filter((name) => !names.includes(name))
          .map((name) => `${folder}/${name} is in no table`),
      ),
    );
  });

  it('mirrors src/ in test/unit/', () => {
    expectNone(
      filesIn('test/unit', '.ts')
        .map((file) => file.split('/')[2] ?? '')
        .filter((part) => !sourceMayImport.has(part.replace(/\.test\.ts$/, '.ts')))
        .map((part) => `test/unit/${part} mirrors nothing in src/`),
    );
  });

  it('names files in one way', () => {
    expectNone([
      ...filesIn('native', '.cc', '.h')
        .filter((file) => !/^[a-z0-9_]+\.(cc|h)$/.test(path.basename(file)))
        .map((file) => `${file} is not snake_case`),
      ...filesIn('src', '.ts')
        .filter((file) => !/^[a-z0-9-]+\.ts$/.test(path.basename(file)))
        .map((file) => `${file} is not kebab-case`),
    ]);
  });

  it('asks a source file over 300 lines why', () => {
    expectNone(
      [...filesIn('native', '.cc', '.h'), ...filesIn('src', '.ts')].flatMap((file) => {
        const text = read(file);
        const head = text.split('\n').slice(0, 20).join('\n');
        if (linesIn(text) <= 300 || head.includes('// Long because ')) return [];
        return [`${file} has ${linesIn(text)} lines and no "// Long because ..." at its top`];
      }),
    );
  });

  it('keeps ARCHITECTURE.md within 80 lines', () => {
    const lines = existsSync(path.join(root, 'ARCHITECTURE.md'))
      ? linesIn(read('ARCHITECTURE.md'))
      : 0;
    assert.ok(lines <= 80, `it has ${lines}`);
  });
});

describe('native/', () => {
  const sources = filesIn('native', '.cc', '.h');

  it('includes napi.h in native/addon/ only', () => {
    expectNone(
      [...sources, ...filesIn('test/native', '.cc', '.h')]
        .filter((file) => !file.startsWith('native/addon/'))
        .flatMap((file) =>
          includes(file)
            .filter(({ to }) => /^(napi|node_api|js_native_api|node|uv|v8)[\w-]*\.h$/.test(to))
            .map(({ to, line }) => `${file}:${line} includes ${to}`),
        ),
    );
  });

  it('includes in one direction, by paths from the top', () => {
    expectNone(
      sources.flatMap((file) => {
        const from = file.split('/')[1] ?? '';
        return includes(file).flatMap(({ to, line }) => {
          const [top, folder = ''] = to.split('/');
          const isBare = existsSync(path.join(root, path.dirname(file), to));
          if (isBare || existsSync(path.join(root, 'native', to)) || top === '..') {
            return [`${file}:${line} includes "${to}", to be written native/...`];
          }
          if (top !== 'native' || folder === from) return [];
          if (nativeMayInclude[from]?.includes(folder)) return [];
          return [`${file}:${line} native/${from} must not use native/${folder}`];
        });
      }),
    );
  });
});

describe('src/', () => {
  const sources = filesIn('src', '.ts');

  it('loads the addon in src/native/ only', () => {
    expectNone(
      sources
        .filter((file) => !file.startsWith('src/native/'))
        .filter((file) => /\.node['"`]|\bdlopen\(/.test(read(file)))
        .map((file) => `${file} loads a native addon`),
    );
  });

  it('imports in one direction', () => {
    const order = [...sourceMayImport.keys()];
    expectNone(
      sources.flatMap((file) => {
        const from = file.split('/')[1] ?? '';
        return imports(file).flatMap(({ to, line, typeOnly }) => {
          if (!to.startsWith('.')) return [];
          const target = path.join(path.dirname(file), to);
          const [top, part = ''] = target.split('/');
          if (top !== 'src') return [`${file}:${line} imports ${target}, outside src/`];
          if (part === from || sourceMayImport.get(from)?.includes(part)) return [];
          if (typeOnly && order.indexOf(part) < order.indexOf(from)) return [];
          return [`${file}:${line} src/${from} must not use src/${part}`];
        });
      }),
    );
  });
});

/** Reads files of NeuVector's resources, with every problem at its place. */
import { readFileSync } from 'node:fs';
import type { Note, Placed } from '../policy/neuvector/note.ts';
import {
  type NeuvectorGroup,
  type NeuvectorRule,
  neuvectorGroupSchema,
  neuvectorRuleSchema,
} from '../policy/neuvector/schema.ts';
import type { ProblemList } from './problem.ts';
import { suggestion } from './problem.ts';
import { readText } from './read-file.ts';
import { parseSources, type SourceFile } from './source-file.ts';
import { validate } from './validate.ts';

export interface NeuvectorResources {
  readonly rules: Placed<NeuvectorRule>[];
  /** By the name of their selector. */
  readonly definitions: Map<string, Placed<NeuvectorGroup>>;
  /** What in the files is something else. */
  readonly notes: Note[];
}

const ruleKinds = ['NvSecurityRule', 'NvClusterSecurityRule'];

/** `-` is stdin. */
export async function readNeuvectorFiles(
  files: readonly string[],
  problems: ProblemList,
): Promise<NeuvectorResources> {
  const found: NeuvectorResources = { rules: [], definitions: new Map(), notes: [] };
  for (const file of files) {
    const sources = await sourcesOf(file, problems);
    const [errors, rules] = [problems.errors.length, found.rules.length];
    for (const source of sources ?? []) addItems(source.value, source, found, problems);
    if (sources && errors === problems.errors.length && rules === found.rules.length) {
      const place = { file, line: 1, column: 1 };
      problems.error(place, `there is no ${ruleKinds.join(' or ')} in this file`);
    }
  }
  return found;
}

async function sourcesOf(file: string, problems: ProblemList): Promise<SourceFile[] | undefined> {
  const before = problems.errors.length;
  const name = file === '-' ? 'stdin' : file;
  const result =
    file === '-' ? { ok: true as const, text: readFileSync(0, 'utf8') } : await readText(file);
  if (!result.ok) {
    problems.error({ file: name, line: result.line, column: 1 }, result.message);
    return undefined;
  }
  const sources = parseSources(name, result.text, problems);
  return problems.errors.length === before ? sources : undefined;
}

/** A resource, or a list of them. */
function addItems(
  value: unknown,
  source: SourceFile,
  found: NeuvectorResources,
  problems: ProblemList,
): void {
  const position = source.positionOf(value);
  if (!isMap(value) || typeof value['kind'] !== 'string') {
    problems.error(position, "this is no Kubernetes resource: 'kind' is missing");
    return;
  }
  const { kind, items } = value;
  if (
    Array.isArray(items) &&
    (kind === 'List' || ruleKinds.some((each) => kind === `${each}List`))
  ) {
    for (const item of items) addItems(item, source, found, problems);
    return;
  }
  const at: Placed<unknown>['at'] = (container, key) => source.valueAt(container, key);
  // The schema is that of one resource, wherever in the file it stands.
  source.value = value;
  if (ruleKinds.includes(kind)) {
    if (validate(source, neuvectorRuleSchema, problems)) {
      found.rules.push({ value: value as NeuvectorRule, at });
    }
  } else if (kind === 'NvGroupDefinition') {
    if (!validate(source, neuvectorGroupSchema, problems)) return;
    const definition = value as NeuvectorGroup;
    found.definitions.set(definition.spec.selector.name, { value: definition, at });
  } else {
    const near = suggestion(kind, ruleKinds);
    const text = `a ${kind} has no file rules${near}`;
    found.notes.push({ position: source.valueAt(value, 'kind'), text });
  }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

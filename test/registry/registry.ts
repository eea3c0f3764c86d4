/**
 * The telemetry registry, config/telemetry-registry/, read and checked. Weaver itself is a program that no package
 * registry has, so its format is held here: stricter, in that only the keys that we use are known.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';

export const registryFolder = fileURLToPath(
  new URL('../../config/telemetry-registry/', import.meta.url),
);

const name = z.string().regex(/^[a-z][a-z0-9]*(?:[._][a-z0-9]+)*$/);
const brief = z.string().min(1);
const stability = z.literal('development');
const condition = z.string().min(1);
const requirementLevel = z.union([
  z.enum(['required', 'recommended', 'opt_in']),
  z.strictObject({ conditionally_required: condition }),
]);
const simpleTypes = ['string', 'int', 'double', 'boolean', 'string[]'] as const;
const values = z.record(name, brief);

const member = z.strictObject({ id: name, value: z.string(), stability, brief: brief.optional() });
const annotationsOfOwn = z.strictObject({
  constant: z.string().optional(),
  planned: z.literal(true).optional(),
});
const definition = z
  .strictObject({
    id: name.startsWith('fileward.'),
    type: z.union([
      z.enum([...simpleTypes, 'template[string]']),
      z.strictObject({ members: z.array(member).min(1) }),
    ]),
    stability,
    brief,
    examples: z.array(z.union([z.string(), z.number(), z.array(z.string())])).optional(),
    annotations: annotationsOfOwn.optional(),
  })
  .refine(({ type, examples }) => examplesFit(type, examples), 'examples of the type are missing');

const reference = z.strictObject({
  ref: name,
  brief: brief.optional(),
  requirement_level: requirementLevel.optional(),
  role: z.enum(['identifying', 'descriptive']).optional(),
  annotations: z
    .strictObject({
      constant: z.string().optional(),
      type: z.enum(simpleTypes).optional(),
      values: values.optional(),
      values_of: name.optional(),
    })
    .optional(),
});

const base = { id: name, brief, extends: name.optional() };
const group = z.discriminatedUnion('type', [
  z.strictObject({
    ...base,
    type: z.literal('attribute_group'),
    display_name: z.string().optional(),
    attributes: z.array(z.union([reference, definition])).min(1),
  }),
  z.strictObject({
    ...base,
    type: z.literal('event'),
    name: name.startsWith('fileward.'),
    stability,
    note: z.string().optional(),
    annotations: z.strictObject({
      severity_number: z.int().min(1).max(24),
      severity_numbers: z.record(z.string().regex(/^\d+$/), z.string()).optional(),
      planned: z.literal(true).optional(),
    }),
    attributes: z.array(reference).min(1).optional(),
  }),
  z.strictObject({
    ...base,
    type: z.literal('metric'),
    metric_name: name.startsWith('fileward.'),
    instrument: z.enum(['counter', 'updowncounter', 'gauge', 'histogram']),
    unit: z.string().regex(/^(?:s|By|\{[a-z]+\})$/),
    stability,
    annotations: z.strictObject({ planned: z.literal(true).optional() }).optional(),
    attributes: z.array(reference).min(1).optional(),
  }),
  z.strictObject({
    ...base,
    type: z.literal('entity'),
    name,
    stability,
    annotations: z.strictObject({ planned: z.literal(true).optional() }).optional(),
    attributes: z.array(reference.required({ role: true })).min(1),
  }),
]);
const manifestSchema = z.strictObject({
  name: z.literal('fileward'),
  description: brief,
  schema_url: z.string().regex(/^https:\/\/[^/]+\/schemas\/\d+\.\d+\.\d+$/),
  dependencies: z.tuple([
    z.strictObject({
      schema_url: z.string().regex(/^https:\/\/opentelemetry\.io\/schemas\/\d+\.\d+\.\d+$/),
      registry_path: z.string(),
    }),
  ]),
});

type Group = z.infer<typeof group>;
type Reference = z.infer<typeof reference>;
type Definition = z.infer<typeof definition>;

export interface Value {
  readonly value: string;
  readonly brief?: string;
}

/** An attribute: ours, or of the semantic conventions. */
export interface Attribute {
  readonly name: string;
  readonly constant: string;
  /** `string` where `values` are given; of a template, of what is behind the key. */
  readonly type: (typeof simpleTypes)[number];
  readonly template: boolean;
  readonly own: boolean;
  readonly brief: string;
  readonly planned: boolean;
  /** A closed list. */
  readonly values?: readonly Value[];
}

/** An attribute where it is used. */
export interface Use extends Attribute {
  readonly level: 'required' | 'conditionally_required' | 'recommended' | 'opt_in';
}

interface Signal {
  readonly name: string;
  readonly brief: string;
  readonly planned: boolean;
  readonly attributes: readonly Use[];
}
export interface Event extends Signal {
  readonly severity: number;
  /** Others that it can have, and when. */
  readonly severities: Readonly<Record<string, string>>;
}
export interface Metric extends Signal {
  readonly instrument: 'counter' | 'updowncounter' | 'gauge' | 'histogram';
  readonly unit: string;
}

export interface Registry {
  readonly schemaUrl: string;
  /** Of the semantic conventions. */
  readonly conventions: string;
  readonly attributes: ReadonlyMap<string, Attribute>;
  readonly events: readonly Event[];
  readonly metrics: readonly Metric[];
  /** What a resource says of the host, and of a container besides. */
  readonly entities: readonly Signal[];
}

/** @throws when a file is not of the format, or a name is not defined or defined twice */
export function readRegistry(folder = registryFolder): Registry {
  const read = (file: string): unknown => parse(readFileSync(`${folder}/${file}`, 'utf8'));
  const manifest = manifestSchema.parse(read('manifest.yaml'));
  const files = readdirSync(folder).filter((file) => file !== 'manifest.yaml');
  const groups = files
    .toSorted()
    .flatMap((file) => z.strictObject({ groups: z.array(group) }).parse(read(file)).groups);
  return new Resolver(groups).resolve(manifest);
}

class Resolver {
  readonly #groups: ReadonlyMap<string, Group>;
  readonly #attributes = new Map<string, Attribute>();

  constructor(groups: readonly Group[]) {
    this.#groups = unique(groups, ({ id }) => id);
  }

  resolve(manifest: z.infer<typeof manifestSchema>): Registry {
    const all = [...this.#groups.values()];
    const listed = all.flatMap(({ attributes = [] }) => attributes as (Reference | Definition)[]);
    unique(
      listed.filter((each) => 'id' in each),
      ({ id }) => id,
    );
    for (const each of listed) if ('id' in each) this.#attributes.set(each.id, defined(each));
    for (const each of listed) {
      if ('ref' in each && each.annotations?.type) this.#addConvention(each, each.annotations.type);
    }
    unique([...this.#attributes.values()], ({ constant }) => constant);
    const common = (
      each: Group & { annotations?: { planned?: true | undefined } | undefined },
    ) => ({
      brief: each.brief,
      planned: each.annotations?.planned === true,
      attributes: this.#usesOf(each),
    });
    const events = all.flatMap((each) => {
      if (each.type !== 'event') return [];
      const { severity_number: severity, severity_numbers: severities = {} } = each.annotations;
      return [{ ...common(each), name: each.name, severity, severities }];
    });
    const metrics = all.flatMap((each) => {
      if (each.type !== 'metric') return [];
      const { metric_name, instrument, unit } = each;
      return [{ ...common(each), name: metric_name, instrument, unit }];
    });
    unique([...events], (each) => each.name);
    unique([...metrics], (each) => each.name);
    return {
      schemaUrl: manifest.schema_url,
      conventions: manifest.dependencies[0].schema_url,
      attributes: this.#attributes,
      events,
      metrics,
      entities: all.flatMap((each) =>
        each.type === 'entity' ? [{ ...common(each), name: each.name }] : [],
      ),
    };
  }

  /** Said with its type where it is first meant. */
  #addConvention({ ref, brief = '', annotations }: Reference, type: Attribute['type']): void {
    const known = this.#attributes.get(ref);
    if (known !== undefined && (known.own || known.type !== type)) {
      throw new Error(`${ref} is defined already`);
    }
    if (known !== undefined) return;
    const constant = annotations?.constant ?? camelCase(ref);
    const attribute = { name: ref, constant, type, template: false, own: false, planned: false };
    this.#attributes.set(ref, { ...attribute, brief });
  }

  /** What a group uses, with what it inherits; an own word replaces an inherited one. */
  #usesOf({ extends: parent, attributes = [] }: Group): Use[] {
    const uses = new Map<string, Use>();
    if (parent !== undefined) {
      const group = this.#groups.get(parent);
      if (group === undefined) throw new Error(`there is no group ${parent}`);
      for (const use of this.#usesOf(group)) uses.set(use.name, use);
    }
    for (const each of attributes) {
      if ('ref' in each) uses.set(each.ref, this.#use(each));
    }
    return [...uses.values()];
  }

  #use({ ref, brief, requirement_level = 'recommended', annotations }: Reference): Use {
    const attribute = this.#attributes.get(ref);
    if (attribute === undefined) throw new Error(`${ref} is defined nowhere, and has no type`);
    const values = annotations?.values ?? this.#valuesOf(annotations?.values_of, ref);
    return {
      ...attribute,
      ...(brief !== undefined && { brief }),
      ...(values && { values: Object.entries(values).map(([value, brief]) => ({ value, brief })) }),
      level: typeof requirement_level === 'string' ? requirement_level : 'conditionally_required',
    };
  }

  #valuesOf(event: string | undefined, ref: string): Record<string, string> | undefined {
    if (event === undefined) return undefined;
    const { attributes = [] } = this.#groups.get(`event.${event}`) ?? {};
    for (const each of attributes) {
      if ('ref' in each && each.ref === ref && each.annotations?.values)
        return each.annotations.values;
    }
    throw new Error(`${event} has no values of ${ref}`);
  }
}

function defined({ id, type, brief, annotations }: Definition): Attribute {
  const constant = annotations?.constant ?? camelCase(id.replace(/^fileward\./, ''));
  const attribute = {
    name: id,
    constant,
    own: true,
    brief,
    planned: annotations?.planned === true,
  };
  if (typeof type === 'object') {
    const values = type.members.map(({ value, brief }) => ({ value, ...(brief && { brief }) }));
    return { ...attribute, type: 'string', template: false, values };
  }
  if (type === 'template[string]') return { ...attribute, type: 'string', template: true };
  return { ...attribute, type, template: false };
}

/** As Weaver asks: strings need examples, and all examples are of the type. */
function examplesFit(type: string | object, examples: readonly unknown[] = []): boolean {
  if (typeof type === 'object' || type === 'boolean') return examples.length === 0;
  if (examples.length === 0) return false;
  return examples.every((example) => {
    if (type === 'string[]') return Array.isArray(example);
    return typeof example === (type === 'int' || type === 'double' ? 'number' : 'string');
  });
}

function unique<T>(list: readonly T[], keyOf: (item: T) => string): Map<string, T> {
  const found = new Map<string, T>();
  for (const item of list) {
    const key = keyOf(item);
    if (found.has(key)) throw new Error(`${key} is there twice`);
    found.set(key, item);
  }
  return found;
}

export function camelCase(dotted: string): string {
  return dotted.replace(/[._]([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

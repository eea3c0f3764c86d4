import { z } from 'zod';

/** The keys that the schema knows for the map at `path`; of a union, those of its map. */
export function schemaKeys(
  schema: z.ZodType,
  path: readonly PropertyKey[],
  root: unknown,
): readonly string[] {
  let at: z.core.$ZodType | undefined = schema;
  let value = root;
  for (const key of path) {
    at = child(branch(at, value), key);
    value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  }
  const map = branch(at, value);
  return map instanceof z.ZodObject ? Object.keys(map.shape) : [];
}

function branch(schema: z.core.$ZodType | undefined, value: unknown): z.core.$ZodType | undefined {
  let at = schema;
  while (at instanceof z.ZodOptional) at = at.unwrap();
  if (!(at instanceof z.ZodUnion)) return at;
  const wanted = Array.isArray(value) ? z.ZodArray : z.ZodObject;
  return branch(
    at.options.find((option) => option instanceof wanted),
    value,
  );
}

function child(schema: z.core.$ZodType | undefined, key: PropertyKey): z.core.$ZodType | undefined {
  if (schema instanceof z.ZodObject) return schema.shape[String(key)];
  if (schema instanceof z.ZodArray) return schema.element;
  return schema instanceof z.ZodRecord ? schema.valueType : undefined;
}

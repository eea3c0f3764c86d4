import { z } from 'zod';
import { configurationSchema } from './schema.ts';

/** The text of `config/fileward.schema.json`: for editors, from the very schema that validates. */
export function configurationJsonSchema(): string {
  const schema = z.toJSONSchema(configurationSchema, { io: 'input' });
  return `${JSON.stringify({ title: 'fileward configuration', ...schema }, null, 2)}\n`;
}

/** The values that configurations are made of, each with the words after "must be" in a message. */
import { z } from 'zod';

export const durationPattern = /^(\d{1,9})(ms|s|m|h)$/;
export const sizePattern = /^(\d{1,9})(B|KiB|MiB|GiB)$/;
export const recordLimitPattern = /^([1-9]\d{0,8})\/(\d{1,9}(?:ms|s|m|h))$/;

export const text = z.string({ error: 'text' }).min(1);
export const bool = z.boolean({ error: 'true or false' });
export const positive = (what: string, most: number) =>
  z.int({ error: what }).min(1, { error: what }).max(most, { error: what });

export const duration = (what = 'a duration such as 10s, 15m or 100ms') =>
  z.string({ error: what }).regex(durationPattern, { error: what });
export const size = z
  .string({ error: 'a size such as 10MiB' })
  .regex(sizePattern, { error: 'a size such as 10MiB' });

/** One value or a list of them. */
export const oneOrMore = (what: string) =>
  z.union([text, z.array(text, { error: what }).min(1, { error: what })], {
    error: what,
  });

const operations = ['read', 'write', 'exec'] as const;
const modes = ['discover', 'monitor', 'protect'] as const;

export const operation = z.enum(operations, { error: 'one of read, write, exec' });
export const operationList = z
  .array(operation, { error: 'a list such as [read, write]' })
  .min(1, { error: 'a list that names at least one of read, write, exec' });
export const mode = z.enum(modes, { error: 'one of discover, monitor, protect' });
export const verdict = z.enum(['allow', 'deny'], { error: 'allow or deny' });
export const textMap = (what: string) =>
  z.record(
    z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_./-]{0,62}$/, {
      error: 'letters, digits and any of _ . / -',
    }),
    z.string({ error: 'text (quote it)' }),
    { error: what },
  );

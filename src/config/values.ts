import { durationPattern, recordLimitPattern, sizePattern } from '../policy/schema-values.ts';
import type { RecordLimit } from '../policy/document.ts';

const milliseconds: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const bytes: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 * 1024,
  GiB: 1024 * 1024 * 1024,
};

/** Milliseconds of `10s`, `15m`, `100ms`, `2h`; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const [, number, unit] = durationPattern.exec(text) ?? [];
  return number === undefined ? undefined : Number(number) * (milliseconds[unit ?? ''] ?? 1);
}

/** Bytes of `10MiB`; undefined when it is none. */
export function parseSize(text: string): number | undefined {
  const [, number, unit] = sizePattern.exec(text) ?? [];
  return number === undefined ? undefined : Number(number) * (bytes[unit ?? ''] ?? 1);
}

/** `100/10s`. */
export function parseRecordLimit(text: string): RecordLimit | undefined {
  const [, count, window] = recordLimitPattern.exec(text) ?? [];
  const windowMs = parseDuration(window ?? '');
  return windowMs ? { count: Number(count), windowMs } : undefined;
}

import { parseDuration } from '../config/values.ts';
import { Failure } from '../control/failure.ts';

/** Milliseconds of an option's value. @throws Failure 2 when it is no time. */
export function durationOf(option: string, text: string): number {
  const milliseconds = parseDuration(text);
  if (!milliseconds) throw new Failure(2, `${option} ${text}: write a time like 90s, 15m or 2h`);
  return milliseconds;
}

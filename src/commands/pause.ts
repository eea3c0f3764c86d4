import { AgentConnection } from '../control/client.ts';
import { describeTarget } from '../control/pause-target.ts';
import type { AgentOptions } from './agent-options.ts';
import { durationOf } from './duration.ts';
import { printable } from '../policy/printable.ts';
import { print } from './terminal.ts';

export interface PauseOptions extends AgentOptions {
  readonly group?: string;
  readonly rule?: string;
  readonly for: string;
  readonly reason: string;
}

export async function pause(options: PauseOptions): Promise<number> {
  const { group, rule, reason } = options;
  const for_ms = durationOf('--for', options.for);
  using agent = await AgentConnection.open(options);
  const target = { ...(group !== undefined && { group }), ...(rule !== undefined && { rule }) };
  const { until } = await agent.request({ command: 'pause', ...target, for_ms, reason });
  print(`paused: ${printable(describeTarget(target))} acts as monitor until ${until}`);
  return 0;
}

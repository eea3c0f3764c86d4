import { AgentConnection } from '../control/client.ts';
import { describeTarget } from '../control/pause-target.ts';
import type { AgentOptions } from './agent-options.ts';
import { printable } from '../policy/printable.ts';
import { print } from './terminal.ts';

export interface ResumeOptions extends AgentOptions {
  readonly group?: string;
  readonly rule?: string;
}

export async function resume(options: ResumeOptions): Promise<number> {
  const { group, rule } = options;
  using agent = await AgentConnection.open(options);
  const target = { ...(group !== undefined && { group }), ...(rule !== undefined && { rule }) };
  const { ended } = await agent.request({ command: 'resume', ...target });
  for (const pause of ended) print(`resumed: ${printable(describeTarget(pause))}`);
  return 0;
}

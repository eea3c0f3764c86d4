import { AgentConnection } from '../control/client.ts';
import type { AgentOptions } from './agent-options.ts';
import { printable } from '../policy/printable.ts';
import { print } from './terminal.ts';

export async function confirm(options: AgentOptions): Promise<number> {
  using agent = await AgentConnection.open(options);
  const { groups } = await agent.request({ command: 'confirm' });
  print(`confirmed: ${printable(groups.join(', '))} stays in protect`);
  return 0;
}

import { resolve } from 'node:path';
import { AgentConnection } from '../control/client.ts';
import type { AgentOptions } from './agent-options.ts';
import { printable } from '../policy/printable.ts';
import { print } from './terminal.ts';

export async function release(path: string, options: AgentOptions): Promise<number> {
  const file = resolve(path);
  using agent = await AgentConnection.open(options);
  await agent.request({ command: 'release', path: file });
  print(`released: ${printable(file)} is no longer protected`);
  return 0;
}

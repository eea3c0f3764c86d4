import { AgentConnection } from '../control/client.ts';
import { RECORD_LINE_PREFIX } from '../control/protocol.ts';
import type { AgentOptions } from './agent-options.ts';
import { recordLine } from './record-line.ts';
import { print, printError } from './terminal.ts';

export interface TailOptions extends AgentOptions {
  readonly group?: string;
  readonly rule?: string;
  readonly event?: string;
  readonly json?: boolean;
}

/** Prints until the agent leaves (status 0) or the reader does. */
export async function tail(options: TailOptions): Promise<number> {
  const { group, rule, event } = options;
  using agent = await AgentConnection.open(options);
  await agent.request({
    command: 'tail',
    ...(group !== undefined && { group }),
    ...(rule !== undefined && { rule }),
    ...(event !== undefined && { event }),
  });
  for (let line = await agent.nextLine(); line !== null; line = await agent.nextLine()) {
    if (!line.startsWith(RECORD_LINE_PREFIX)) {
      printError(`fileward: ${JSON.parse(line).dropped} records were not shown: too slow a reader`);
    } else if (options.json) {
      print(line.slice(RECORD_LINE_PREFIX.length, -1));
    } else {
      print(recordLine(JSON.parse(line).record));
    }
  }
  printError('fileward: the agent has left');
  return 0;
}

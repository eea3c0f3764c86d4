/** Options of every command that asks the running agent. */
export interface AgentOptions {
  readonly config?: string;
  readonly state?: string;
}

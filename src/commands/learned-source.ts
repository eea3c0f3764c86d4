/** What was learned, from the running agent, or from its file while none runs. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfiguration } from '../config/load.ts';
import { AgentConnection } from '../control/client.ts';
import { Failure, messageOf } from '../control/failure.ts';
import { readStore } from '../learning/learned-keeper.ts';
import type { Learned, LearnedPair } from '../learning/learned-pair.ts';
import { isBusy, isCorrupt } from '../learning/learned-store.ts';
import { LEARNED_FILE } from '../learning/learning.ts';
import type { AgentOptions } from './agent-options.ts';
import { describeProblems } from './load-policy.ts';

export interface LearnedChoice extends AgentOptions {
  readonly group?: string;
  readonly rule?: string;
}

/** @throws Failure 3 when neither can be asked, 2 when it isn't clear which agent is meant. */
export async function askLearned(choice: LearnedChoice): Promise<Learned> {
  const all = await askAll(choice);
  const { group, rule } = choice;
  const isMeant = (each: { readonly group: string; readonly rule: string }) =>
    each.group === (group ?? each.group) && each.rule === (rule ?? each.rule);
  return {
    rules: all.rules.filter(isMeant),
    pairs: all.pairs.filter(isMeant),
    refusals: all.refusals.filter((each) => each.group === (group ?? each.group)),
  };
}

async function askAll({ config, state }: LearnedChoice): Promise<Learned> {
  try {
    return await askAgent({
      ...(config !== undefined && { config }),
      ...(state !== undefined && { state }),
    });
  } catch (error) {
    if (!(error instanceof Failure) || error.status !== 3) throw error;
  }
  const folder = state ?? (await stateOf(config));
  try {
    // The agent may run with another file: a copy of it, as one works on in a repository.
    if (state === undefined) return await askAgent({ state: folder });
  } catch (error) {
    if (!(error instanceof Failure) || error.status !== 3) throw error;
  }
  return readFile(join(folder, LEARNED_FILE));
}

async function askAgent(choice: AgentOptions): Promise<Learned> {
  const pairs: LearnedPair[] = [];
  using agent = await AgentConnection.open(choice);
  for (let after = 0; ; ) {
    const page = await agent.request({ command: 'learned', after });
    pairs.push(...page.pairs);
    if (page.next === undefined) return { rules: page.rules, refusals: page.refusals, pairs };
    after = page.next;
  }
}

async function stateOf(config: string | undefined): Promise<string> {
  const loaded = await loadConfiguration({
    ...(config !== undefined && { file: config }),
    offline: true,
  });
  if (loaded.ok) return loaded.configuration.state;
  throw new Failure(2, describeProblems(loaded.problems));
}

function readFile(file: string): Learned {
  if (!existsSync(file)) {
    throw new Failure(3, `no agent is running, and there is no ${file}: nothing was learned`);
  }
  try {
    return readStore(file);
  } catch (error) {
    if (isBusy(error)) throw new Failure(3, `${file} is in use: ask its agent with --state`);
    const why = isCorrupt(error) ? 'is damaged; the next agent sets it aside' : 'can not be read';
    throw new Failure(3, `${file} ${why}: ${messageOf(error)}`);
  }
}

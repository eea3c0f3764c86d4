/** YAML to paste: entries of `apps` and overrides that add them. */
import { Document, isCollection, visit } from 'yaml';
import type { Operation } from './ruleset.ts';

export interface SnippetApp {
  readonly exe: string;
  readonly script?: string;
  readonly user?: string;
  /** Absent: all operations of the rule. */
  readonly operations?: readonly Operation[];
}

/** One line: `/usr/bin/passwd` or `{ exe: /usr/bin/sshd, operations: [ read ] }`. */
export function appEntryYaml(app: SnippetApp): string {
  return flow(appItem(app));
}

/** Adds apps to a rule without touching where it is written. */
export function overrideYaml(group: string, rule: string, apps: readonly SnippetApp[]): string {
  const item = { rule: `${group}/${rule}`, apps: { add: apps.map(appItem) } };
  return `overrides:\n  - ${flow(item)}\n`;
}

function appItem({ exe, script, user, operations }: SnippetApp): unknown {
  if (script === undefined && user === undefined && operations === undefined) return literal(exe);
  return {
    exe: literal(exe),
    ...(script !== undefined && { script: literal(script) }),
    ...(operations !== undefined && { operations }),
    ...(user !== undefined && { user }),
  };
}

/** A path as a glob that matches this path only. */
function literal(path: string): string {
  return path.replace(/[*?[\]{}\\]/g, '\\$&');
}

function flow(value: unknown): string {
  const document = new Document(value);
  visit(document, {
    Node: (_, node) => {
      if (isCollection(node)) node.flow = true;
    },
  });
  return document.toString({ lineWidth: 0 }).trimEnd();
}

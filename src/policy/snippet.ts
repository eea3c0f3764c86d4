/** YAML to paste: entries of `apps` and overrides that add them. */
import { Document, isCollection, isScalar, visit } from 'yaml';
import type { Operation } from './ruleset.ts';

export interface SnippetApp {
  /** A path, or with `glob` a pattern; absent: package managers. */
  readonly exe?: string;
  readonly glob?: boolean;
  readonly script?: string;
  readonly user?: string;
  readonly workload?: 'host';
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

/** The entry as a configuration file holds it. */
export function appItem(app: SnippetApp): string | Readonly<Record<string, unknown>> {
  const { exe, glob, script, user, workload, operations } = app;
  const name = exe === undefined || glob ? exe : literal(exe);
  const more = {
    ...(script !== undefined && { script: literal(script) }),
    ...(operations !== undefined && { operations }),
    ...(user !== undefined && { user }),
    ...(workload !== undefined && { workload }),
  };
  if (name === undefined) return { package_manager: true, ...more };
  return Object.keys(more).length === 0 ? name : { exe: name, ...more };
}

/** A path as a glob that matches this path only. */
function literal(path: string): string {
  return path.replace(/[*?[\]{}\\]/g, '\\$&');
}

const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]/u;

/** On one line; plain scalars are quoted as the inside of a list needs it. */
export function flow(value: unknown): string {
  const document = new Document(value);
  visit(document, {
    Node: (_, node) => {
      if (isCollection(node)) node.flow = true;
      // Any other way to write a newline takes lines of its own.
      if (isScalar(node) && CONTROL.test(String(node.value))) node.type = 'QUOTE_DOUBLE';
    },
  });
  const options = { lineWidth: 0, doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER };
  return document.toString(options).trimEnd();
}

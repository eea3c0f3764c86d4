/** The question that a record's event asked. */
import type { ExplainQuery } from './explain.ts';

/** Operations of records that are `write` for rules. */
const changes = ['create', 'delete', 'rename', 'truncate', 'attributes'];

/**
 * The question that a record's event asked, from its line of NDJSON.
 * @throws TypeError when the record is not one of a file.
 */
export function queryFromRecord(record: {
  readonly attributes?: Readonly<Record<string, unknown>>;
}): ExplainQuery {
  const attributes = record.attributes ?? {};
  const text = (name: string) => {
    const value = attributes[name];
    return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
  };
  const [path, told] = [text('file.path'), text('fileward.operation')];
  if (path === undefined || told === undefined) {
    throw new TypeError(
      'the record has no file.path and fileward.operation: it is not one of a file',
    );
  }
  const operation = changes.includes(told) ? 'write' : told;
  if (operation !== 'read' && operation !== 'write' && operation !== 'exec') {
    throw new TypeError(`the record's fileward.operation is '${told}', which is no operation`);
  }
  const optional = {
    app: text('process.executable.path'),
    user: text('process.user.id'),
    group: text('security_rule.ruleset.name'),
  };
  const others = ['fileward.file.protected_path', 'fileward.file.new_path'].map(text);
  const ancestors = attributes['fileward.process.ancestors'];
  const origin = text('fileward.process.origin');
  return {
    path,
    otherPaths: others.filter((each) => each !== undefined),
    operation,
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
    ancestors: Array.isArray(ancestors) ? ancestors.map(String) : 'unknown',
    ...((origin === 'host' || origin === 'container') && { origin }),
    ...(isUngated(told, text('fileward.reason')) && { gate: 'change' as const }),
  };
}

function isUngated(operation: string, reason: string | undefined): boolean {
  return (
    changes.includes(operation) ||
    reason === 'not_enforceable' ||
    reason === 'descriptor_not_judged'
  );
}

/** The words for what a YAML or JSON parser complains of. */

/** `code` and `message` are those of the yaml package, `from` the text from the place on. */
export function syntaxMessage(code: string, message: string, from: string): string {
  switch (code) {
    case 'DUPLICATE_KEY':
      return `key '${/[\w.-]+/.exec(from)?.[0]}' is given twice in the same map`;
    case 'MULTIPLE_DOCS':
      return "a second document begins here; remove the '---'";
    case 'TAB_AS_INDENT':
      return 'a tab can not indent YAML; use spaces';
    case 'TAG_RESOLVE_FAILED':
      return `tag '${/^\S*/.exec(from)?.[0]}' is not known here; remove it`;
    case 'BAD_INDENT':
    case 'MISSING_CHAR': {
      const [, missing] =
        /(?:end with a |Expected .* to end with |closing )"?([\]}'"])/.exec(message) ?? [];
      return missing === undefined
        ? lowerFirst(message)
        : `a closing ${missing} is missing before this`;
    }
    default:
      return lowerFirst(message.replace(/\s+/g, ' '));
  }
}

/** What JSON.parse complains of, and where (offset in the text; undefined: at its end). */
export function jsonSyntax(error: unknown): { readonly message: string; readonly offset?: number } {
  const message = error instanceof Error ? error.message : String(error);
  const offset = /at position (\d+)/.exec(message)?.[1];
  const what = message.replace(/ in JSON at position.*$/s, '').replace(/, \.*".*$/s, '');
  return {
    message: `not JSON: ${lowerFirst(what)}`,
    ...(offset !== undefined && { offset: Number(offset) }),
  };
}

function lowerFirst(message: string): string {
  return /^[A-Z][a-z]/.test(message) ? message.charAt(0).toLowerCase() + message.slice(1) : message;
}

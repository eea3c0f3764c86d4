/** What a LogQL or PromQL expression says: its syntax errors, and the metrics, labels and values that it names. */
import { parser as logql } from '@grafana/lezer-logql';
import type { SyntaxNode, Tree } from '@lezer/common';
import { parser as promql } from '@prometheus-io/lezer-promql';

export type Language = 'logql' | 'promql';

export interface Matcher {
  readonly label: string;
  readonly value: string;
}

export interface Query {
  /** With what is around each; empty for a good query. */
  readonly errors: readonly string[];
  /** Of PromQL: each selector, and the labels that it matches. */
  readonly selectors: readonly { readonly metric: string; readonly matchers: readonly Matcher[] }[];
  /** Of LogQL: all that streams and lines are matched by. */
  readonly matchers: readonly Matcher[];
  /** In by(), on(), group_left() and unwrap. */
  readonly otherLabels: readonly string[];
}

export function readQuery(language: Language, text: string): Query {
  const tree = (language === 'logql' ? logql : promql).parse(text);
  const errors: string[] = [];
  const selectors: Query['selectors'][number][] = [];
  const matchers: Matcher[] = [];
  const otherLabels: string[] = [];
  for (const node of nodes(tree)) {
    if (node.type.isError)
      errors.push(`near '${text.slice(Math.max(0, node.from - 20), node.to + 20)}'`);
    if (node.name === 'VectorSelector') {
      selectors.push({
        metric: textOf(node.getChild('Identifier'), text),
        matchers: (node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? []).map(
          (matcher) => ({
            label: textOf(matcher.getChild('LabelName'), text),
            value: unquoted(textOf(matcher.getChild('StringLiteral'), text)),
          }),
        ),
      });
    }
    if (node.name === 'Matcher') {
      matchers.push({
        label: textOf(node.getChild('Identifier'), text),
        value: unquoted(textOf(node.getChild('String'), text)),
      });
    }
    if (node.name === 'GroupingLabels') {
      otherLabels.push(...node.getChildren('LabelName').map((name) => textOf(name, text)));
    }
    if (node.name === 'Labels' || node.name === 'UnwrapExpr') {
      otherLabels.push(...node.getChildren('Identifier').map((name) => textOf(name, text)));
    }
  }
  return { errors, selectors, matchers, otherLabels };
}

function nodes(tree: Tree): SyntaxNode[] {
  const all: SyntaxNode[] = [];
  tree.iterate({ enter: ({ node }) => void all.push(node) });
  return all;
}

function textOf(node: SyntaxNode | null, text: string): string {
  return node === null ? '' : text.slice(node.from, node.to);
}

function unquoted(literal: string): string {
  return literal.slice(1, -1);
}

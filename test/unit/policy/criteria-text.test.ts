import assert from 'node:assert/strict';
import { it } from 'node:test';
import { criteriaText } from '../../../src/policy/criteria-text.ts';
import { loadText } from './load-text.ts';

it('the criteria of a group read as they are meant', async () => {
  const { configuration } = await loadText(`
version: 1
groups:
  - name: all
    members:
      - { host: true }
      - { container: {} }
      - container: { image: ["nginx:*", httpd], name: { not: "test-*" }, labels: { app: web } }
        kubernetes: { namespace: shop }
      - { container: { runtime: podman }, not: { container: { labels: { app: db } } } }
    rules: [ { name: a, path: /a, behavior: watch } ]
`);
  assert.equal(
    criteriaText(configuration.document.groups[0]?.members ?? []),
    'host; or container any; or container image nginx:* or httpd, name not test-*, label app web, ' +
      'kubernetes namespace shop; or container runtime podman, not (container label app db)',
  );
});

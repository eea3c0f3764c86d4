/** Loads a configuration that a test wrote as text. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfiguration } from '../../../src/config/load.ts';
import { formatProblem } from '../../../src/config/problem.ts';
import { loadNative } from '../../../src/native/load.ts';
import { compile, type ModeCaps, noCaps } from '../../../src/policy/compile.ts';
import { explain, type ExplainQuery } from '../../../src/policy/explain.ts';

export async function loadText(text: string, caps: ModeCaps = noCaps) {
  const folder = mkdtempSync(join(tmpdir(), 'fileward-policy-'));
  const file = join(folder, 'fileward.config.yaml');
  writeFileSync(file, text);
  const result = await loadConfiguration({ file, offline: true });
  rmSync(folder, { recursive: true });
  assert.ok(result.ok, result.ok ? '' : result.problems.map(formatProblem).join('\n'));
  const { configuration, warnings } = result;
  const policy = compile(configuration, caps);
  const evaluator = loadNative().createEvaluator(policy.json);
  return {
    file,
    configuration,
    warnings,
    policy,
    evaluator,
    explain: (query: ExplainQuery) => explain(policy, configuration, evaluator, query),
  };
}

/** The configuration of contract section 3, but what needs files. */
export const contractExample = `
version: 1
policy_version: "3f2c1ab"
sets:
  pam: [ /usr/sbin/unix_chkpwd, /usr/bin/sudo, /usr/bin/su, /usr/bin/login ]
groups:
  - name: host
    members: { host: true }
    mode: protect
    labels: { team: platform }
    rules:
      - name: shadow
        description: Password hashes
        path: [ "/etc/{shadow,gshadow}", "/etc/{shadow,gshadow}[-+]" ]
        behavior: block
        operations: [read, write]
        apps:
          - set:pam
          - /usr/bin/passwd
          - { exe: /usr/sbin/sshd, operations: [read], user: root }
          - { exe: /usr/bin/python3.*, ancestor: /usr/sbin/cron, unit: backup.service }
      - name: binaries
        path: /usr/{bin,sbin}/**
        except: [ /usr/bin/tmp-* ]
        behavior: block
        operations: [write]
        apps: [ { package_manager: true } ]
        changes: quiet
        tags: { mitre: T1554, pci_dss: "11.5.2" }
        severity: error
  - name: web
    members:
      container: { image: "docker.io/library/nginx:*", name: "web-*", labels: { app: web } }
      kubernetes: { namespace: shop, labels: { app: web } }
    mode: discover
    rules:
      - { name: conf, path: /etc/nginx/**, behavior: block, apps: [ { exe: /usr/sbin/nginx, children: true } ] }
      - { name: token, path: /var/run/secrets/**, behavior: block, apps: [ /app/server, { exe: /usr/bin/kubelet, workload: host } ] }
      - { name: keys, regex: '/home/[^/]+/\\.ssh/.*', behavior: watch, operations: [read, write] }
`;

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { enforcementTable, ruleEnforcement } from '../../../src/commands/enforcement.ts';
import type { FeatureReport } from '../../../src/native/addon.ts';

const report = (can_enforce: boolean, can_watch = true): FeatureReport => ({
  features: [],
  missing_capabilities: [],
  can_enforce,
  can_watch,
});

describe('what a rule denies', () => {
  const block = { behavior: 'block', mode: 'protect', operations: ['read', 'write'] } as const;

  it('opens in protect; changes without a gate are only detected', () => {
    const { denied, detected } = ruleEnforcement(block, report(true));
    assert.equal(denied, 'open to read, open to write');
    assert.match(detected, /rename, delete, link, chmod\/chown, truncate\(2\)/);
  });

  it('a rule about reading has no changes to detect', () => {
    const rule = { ...block, operations: ['read'] } as const;
    assert.equal(ruleEnforcement(rule, report(true)).detected, 'nothing else');
  });

  it('more where the rule is strict and the kernel asks', () => {
    const strict = { ...block, strict: true } as const;
    const { denied, detected } = ruleEnforcement(strict, report(true));
    assert.equal(
      denied,
      "open to read, open to write, reads through others' descriptors, " +
        "writes through others' descriptors, truncate(2)",
    );
    assert.equal(detected, 'rename, delete, link, chmod/chown, writes through older descriptors');
    const old = { name: 'pre_content', available: false, detail: '' };
    const plain = ruleEnforcement(block, report(true));
    assert.deepEqual(ruleEnforcement(strict, { ...report(true), features: [old] }), plain);
    assert.deepEqual(
      ruleEnforcement({ ...strict, mode: 'monitor' }, report(true)),
      ruleEnforcement({ ...block, mode: 'monitor' }, report(true)),
    );
  });

  it('nothing in monitor, in watch, and without a gate in the kernel, and it says which', () => {
    assert.match(
      ruleEnforcement({ ...block, mode: 'monitor' }, report(true)).denied,
      /nothing \(monitor\)/,
    );
    assert.match(
      ruleEnforcement({ ...block, behavior: 'watch' }, report(true)).denied,
      /nothing \(watch\)/,
    );
    assert.match(ruleEnforcement(block, report(false)).denied, /no gate/);
  });
});

describe('the table of doctor', () => {
  const answers = (feature: FeatureReport) =>
    new Map(enforcementTable(feature).map((row) => [row.operation, row.answer]));

  it('follows the kernel', () => {
    assert.equal(answers(report(true)).get('exec'), 'enforced');
    assert.equal(answers(report(false)).get('exec'), 'detected');
    assert.equal(answers(report(false, false)).get('exec'), 'neither');
  });

  it('says of truncate(2) what strict adds on this kernel', () => {
    const note = (feature: FeatureReport) =>
      enforcementTable(feature).find((row) => row.operation === 'truncate(2) by path')?.note;
    assert.match(note(report(true)) ?? '', /strict: denied/);
    const old = { name: 'pre_content', available: false, detail: '' };
    assert.match(note({ ...report(true), features: [old] }) ?? '', /strict adds nothing/);
  });

  it('never calls a rename enforced', () => {
    assert.equal(answers(report(true)).get('rename, delete, hard link'), 'detected');
  });
});

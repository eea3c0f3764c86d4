/** Compiled rulesets by hand, for tests of the native core without the policy compiler. */
import type {
  CompiledApp,
  CompiledGroup,
  CompiledRule,
  CompiledRuleset,
  Operation,
} from '../../../src/policy/ruleset.ts';

const allOperations: readonly Operation[] = ['read', 'write', 'exec'];

export function app(values: Partial<CompiledApp> = {}): CompiledApp {
  return {
    operations: allOperations,
    children: false,
    host: false,
    package_manager: false,
    ...values,
  };
}

export function rule(values: Partial<CompiledRule> & { readonly name: string }): CompiledRule {
  return {
    except: [],
    behavior: 'block',
    operations: allOperations,
    mode: 'protect',
    apps: [],
    changes_listed: 'report',
    on_deadline: 'allow',
    runtime: true,
    strict: false,
    required: false,
    ...values,
  };
}

export function ruleset(
  groups: readonly (readonly CompiledRule[])[],
  exes: readonly string[] = [],
): CompiledRuleset {
  return {
    format: 1,
    limits: { marks: 200_000, depth: 32 },
    verdict: { deadline_ns: 100_000_000, on_deadline: 'allow' },
    exes: exes.map((pattern) => ({ pattern, host: false })),
    package_managers: [],
    runtimes: [],
    users: {},
    groups: groups.map(
      (rules, index): CompiledGroup => ({
        name: `group-${index}`,
        host: true,
        rules,
      }),
    ),
  };
}

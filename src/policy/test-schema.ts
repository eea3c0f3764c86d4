import { z } from 'zod';
import { operation, text, textMap, verdict } from './schema-values.ts';

/** One policy test; a file holds a list of them. */
export const policyTestsSchema = z.array(
  z.strictObject(
    {
      name: text,
      group: text.optional(),
      workload: z
        .strictObject(
          {
            host: z.literal(true, { error: 'true' }).optional(),
            image: text.optional(),
            name: text.optional(),
            id: text.optional(),
            runtime: text.optional(),
            labels: textMap('a map of labels').optional(),
            kubernetes: z
              .strictObject(
                {
                  namespace: text.optional(),
                  pod: text.optional(),
                  container: text.optional(),
                  service_account: text.optional(),
                  labels: textMap('a map of labels').optional(),
                },
                { error: 'a map such as { namespace: shop }' },
              )
              .optional(),
          },
          { error: 'a workload such as { image: "nginx:1.27" }' },
        )
        .optional(),
      path: text,
      app: text,
      script: text.optional(),
      operation,
      user: z.union([text, z.int().min(0)], { error: 'a user name or a number' }).optional(),
      ancestors: z.array(text, { error: 'a list of paths, nearest first' }).optional(),
      unit: text.optional(),
      sha256: text.optional(),
      origin: z
        .enum(['same', 'host', 'container'], { error: 'one of same, host, container' })
        .optional(),
      expect: z.strictObject(
        {
          verdict: verdict.optional(),
          rule: text.optional(),
          event: z
            .enum(['accessed', 'modified', 'violated', 'denied', 'learned', 'quiet', 'none'], {
              error: 'one of accessed, modified, violated, denied, learned, quiet, none',
            })
            .optional(),
          reason: text.optional(),
        },
        { error: 'a map such as { verdict: deny }' },
      ),
    },
    { error: 'a test: a map with name, path, app, operation, expect' },
  ),
  { error: 'a list of tests' },
);

export type PolicyTestSource = z.infer<typeof policyTestsSchema>[number];

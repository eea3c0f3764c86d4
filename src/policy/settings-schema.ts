/** The parts of the main file that are not policy. */
import { z } from 'zod';
import { bool, duration, positive, size, text, verdict } from './schema-values.ts';

const telemetry = z.strictObject(
  {
    protocol: z.enum(['grpc', 'http/protobuf'], { error: 'grpc or http/protobuf' }).optional(),
    endpoint: text.optional().describe('http://, https:// or unix: of the collector.'),
    headers: z
      .record(z.string(), z.string({ error: 'text (quote it)' }), { error: 'a map of text' })
      .optional(),
    timeout: duration().optional(),
    compression: z.enum(['none', 'gzip'], { error: 'none or gzip' }).optional(),
    tls: z
      .strictObject(
        {
          insecure: bool.optional().describe('grpc without TLS, whatever the endpoint says.'),
          ca: text.optional(),
          cert: text.optional(),
          key: text.optional(),
        },
        { error: 'a map with ca, cert, key' },
      )
      .optional(),
    outbox: z
      .strictObject({ max_size: size.optional() }, { error: 'a map such as { max_size: 256MiB }' })
      .optional(),
    metrics: z
      .strictObject(
        { per_rule: bool.optional(), interval: duration().optional() },
        { error: 'a map such as { per_rule: true }' },
      )
      .optional(),
  },
  { error: 'a map with protocol, endpoint …' },
);

export const settingsShape = {
  learning: z
    .strictObject({ user: bool.optional() }, { error: 'a map such as { user: false }' })
    .optional(),
  records: z
    .strictObject(
      {
        window: duration().optional(),
        command_args: bool.optional(),
        hash: z
          .strictObject(
            { enabled: bool.optional(), max_size: size.optional() },
            { error: 'a map such as { enabled: true, max_size: 10MiB }' },
          )
          .optional(),
      },
      { error: 'a map such as { window: 10s }' },
    )
    .optional(),
  limits: z
    .strictObject(
      {
        marks: positive('a whole number from 1 to 100000000', 100_000_000).optional(),
        depth: positive('a whole number from 1 to 1000', 1000).optional(),
      },
      { error: 'a map such as { marks: 200000 }' },
    )
    .optional(),
  verdict: z
    .strictObject(
      { deadline: duration().optional(), on_deadline: verdict.optional() },
      { error: 'a map such as { deadline: 100ms }' },
    )
    .optional(),
  telemetry: telemetry.optional(),
  state: text.optional().describe('Folder for what outlives a restart.'),
};

import { isatty } from 'node:tty';
import { type Logger, pino } from 'pino';
import { Agent } from '../agent.ts';
import { printableOutput } from '../policy/printable.ts';
import { packageVersion } from '../control/package.ts';
import { loadNative } from '../native/load.ts';
import type { FilewardRecord } from '../records/record.ts';
import { toNdjson } from '../telemetry/ndjson.ts';
import { durationOf } from './duration.ts';
import { loadPolicy } from './load-policy.ts';
import { OutputStream } from './output-stream.ts';
import { recordLine } from './record-line.ts';

export interface RunOptions {
  readonly config?: string;
  readonly console?: boolean;
  readonly export: boolean;
  readonly confirm?: string;
  readonly selfProtection: boolean;
}

/** SIGTERM and SIGINT are answered within 5 s, whatever a collector does. */
const STOP_MS = 4_500;
const LAST_LINE_MS = 50;
/** What may wait for a stalled reader. */
const MAX_LOG_BYTES = 4 * 1024 * 1024;
const MAX_RECORD_BYTES = 8 * 1024 * 1024;

/** Runs the agent until a signal, or until it can't go on (status 3). */
export async function run(options: RunOptions): Promise<number> {
  process.umask(0o077);
  const protectsItself = options.selfProtection;
  const loaded = await loadPolicy({
    config: options.config,
    trust: protectsItself ? 'refuse' : 'warn',
  });
  const confirmMs = options.confirm && durationOf('--confirm', options.confirm);
  const stderr = new OutputStream(2, MAX_LOG_BYTES);
  const stdout = new OutputStream(1, MAX_RECORD_BYTES);
  const log = await createLog(stderr);
  const onTerminal = process.stderr.isTTY;
  const native = loadNative();
  let ended = (status: number): void => void stderr.end().then(() => native.exitNow(status));
  const onStop = (signal: string) => {
    log.info({ signal }, 'stopping');
    ended(0);
  };
  const onBug = (error: Error) => {
    log.fatal({ err: error }, 'a bug in fileward; every opener is allowed from now on');
    ended(3);
  };
  process.on('SIGTERM', onStop).on('SIGINT', onStop).on('uncaughtException', onBug);
  try {
    const agent = await Agent.start(
      {
        config: options.config,
        exports: options.export,
        protectsItself,
        ...(confirmMs && { confirmMs }),
        version: packageVersion(),
        env: process.env,
        log,
        onRecord: (record) => {
          if (options.console) printRecord(stdout, record);
        },
        onFatal: (error) => {
          log.fatal(
            { err: error },
            'the native core has failed; every opener is allowed from now on',
          );
          ended(3);
        },
      },
      loaded,
    );
    process.on('SIGHUP', () => {
      // The same signal comes when the terminal that we run on goes away.
      if (onTerminal && !isatty(2)) onStop('SIGHUP');
      else void agent.reload('SIGHUP');
    });
    const status = await new Promise<number>((resolve) => {
      ended = resolve;
    });
    const timer = setTimeout(() => {
      log.error('not all could be told and kept in time');
      // A moment for that line.
      setTimeout(() => native.exitNow(status), LAST_LINE_MS);
    }, STOP_MS);
    await agent.stop();
    await stdout.end();
    if (stdout.dropped > 0) log.warn({ records: stdout.dropped }, 'not printed: too slow a reader');
    clearTimeout(timer);
    log.info('stopped');
    await stderr.end();
    // All is told and kept. Node's own end would wait for whoever still reads a file for us.
    return native.exitNow(status);
  } finally {
    await stderr.end();
    process.off('SIGTERM', onStop).off('SIGINT', onStop).off('uncaughtException', onBug);
  }
}

/** JSON lines on stderr, readable ones when it is a terminal. */
async function createLog(stderr: OutputStream): Promise<Logger> {
  if (!process.stderr.isTTY) return pino({}, stderr);
  const { prettyFactory } = await import('pino-pretty');
  const pretty = prettyFactory({
    colorize: process.stderr.hasColors(),
    ignore: 'pid,hostname',
    singleLine: true,
  });
  return pino(
    {},
    { write: (line: string) => stderr.write(printableOutput(pretty(JSON.parse(line)))) },
  );
}

/** `--console`: lines for people on a terminal, NDJSON otherwise. */
function printRecord(stdout: OutputStream, record: FilewardRecord): void {
  const line = toNdjson(record);
  // A reader other than a terminal gets the bytes as they are: JSON.
  stdout.write(`${process.stdout.isTTY ? recordLine(JSON.parse(line)) : line}\n`);
}

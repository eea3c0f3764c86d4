/** What else is on this machine that a first configuration should know: container runtimes, a collector. */
import { existsSync } from 'node:fs';
import { createConnection } from 'node:net';
import { runtimeSockets, userSockets } from './runtime-sockets.ts';

export interface Runtime {
  readonly name: string;
  readonly socket: string;
}

export interface Collector {
  readonly protocol: 'grpc' | 'http/protobuf';
  readonly endpoint: string;
}

const COLLECTORS: readonly Collector[] = [
  { protocol: 'grpc', endpoint: 'http://localhost:4317' },
  { protocol: 'http/protobuf', endpoint: 'http://localhost:4318' },
];

export function findRuntimes(): readonly Runtime[] {
  return [...runtimeSockets(), ...userSockets()]
    .filter(({ path }) => existsSync(path))
    .map(({ api, runtime = api, path }) => ({ name: runtime, socket: path }));
}

/** The first of the standard OTLP ports on which something listens. */
export async function findCollector(): Promise<Collector | undefined> {
  for (const collector of COLLECTORS) {
    if (await listens(Number(new URL(collector.endpoint).port))) return collector;
  }
  return undefined;
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: 'localhost', port, timeout: 500 });
    const answer = (found: boolean) => {
      socket.destroy();
      resolve(found);
    };
    socket.once('connect', () => answer(true));
    socket.once('error', () => answer(false));
    socket.once('timeout', () => answer(false));
  });
}

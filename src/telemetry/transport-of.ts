import type { ExportSettings, Signal } from './export-settings.ts';
import { GrpcTransport } from './grpc-transport.ts';
import { HttpTransport } from './http-transport.ts';
import type { Transport } from './transport.ts';

/** Connects when there is something to send. @param settings - may have come from another thread */
export function transportOf(signal: Signal, settings: ExportSettings): Transport {
  const here = { ...settings, ...(settings.tls && { tls: ofThisThread(settings.tls) }) };
  return settings.protocol === 'grpc'
    ? new GrpcTransport(signal, here)
    : new HttpTransport(signal, here);
}

/** A Buffer arrives as a Uint8Array, which TLS doesn't take. */
function ofThisThread(tls: NonNullable<ExportSettings['tls']>): NonNullable<ExportSettings['tls']> {
  return Object.fromEntries(Object.entries(tls).map(([name, pem]) => [name, Buffer.from(pem)]));
}

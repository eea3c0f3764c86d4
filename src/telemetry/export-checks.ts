/** Refuses at once what TLS or a protocol would refuse only when there is something to send. */
import { Metadata } from '@grpc/grpc-js';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { createSecureContext } from 'node:tls';
import type { ExportSettings } from './export-settings.ts';

/** Names of PEM files. */
export interface TlsFiles {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

const CERTIFICATES = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----.*?(?=-----BEGIN |$)/gs;
/** HTTP/2 forbids them; grpc-js notices when it has a connection, and takes it for the server's answer. */
const NOT_IN_HTTP2: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

/**
 * What the files hold now; nobody reads them again.
 * @throws Error when a file can't be read or used, or two don't belong together; its message names it.
 */
export function readTls(files: TlsFiles): NonNullable<ExportSettings['tls']> {
  if (!files.cert !== !files.key) {
    throw new Error('a client certificate for OTLP needs its key, and a key its certificate');
  }
  const ca = read('CA certificate', files.ca, checkAuthorities);
  const cert = read('client certificate', files.cert, (pem) => createSecureContext({ cert: pem }));
  const key = read('client key', files.key, (pem) => {
    if (pem.includes('ENCRYPTED')) throw new Error('it has a passphrase, and nobody to ask for it');
    // OpenSSL keeps a key of another type beside the certificate, and never uses it.
    if (cert && !new X509Certificate(cert).checkPrivateKey(createPrivateKey(pem))) {
      throw new Error(`not the key of the certificate in ${files.cert}`);
    }
    createSecureContext({ cert, key: pem });
  });
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

/** @throws Error when the protocol doesn't take a header; its message has the name, never the value. */
export function checkHeaders({ headers, protocol }: Pick<ExportSettings, 'headers' | 'protocol'>) {
  for (const [name, value] of Object.entries(headers)) {
    const problem =
      protocol === 'grpc' ? grpcProblem(name.toLowerCase(), value) : httpProblem(name, value);
    if (problem !== undefined) throw new Error(`header '${name}' for OTLP: ${problem}`);
  }
}

function read(
  what: string,
  file: string | undefined,
  check: (pem: Buffer) => unknown,
): Buffer | undefined {
  if (!file) return undefined;
  let pem: Buffer;
  try {
    pem = readFileSync(file);
  } catch (error) {
    throw new Error(`${what} for OTLP: ${(error as Error).message}`, { cause: error });
  }
  try {
    check(pem);
  } catch (error) {
    const { message } = error as Error;
    throw new Error(`${what} for OTLP: can't use ${file}: ${message}`, { cause: error });
  }
  return pem;
}

/** TLS itself takes the certificates up to the first it can't read, be it none, and says nothing. */
function checkAuthorities(pem: Buffer): void {
  const certificates = pem.toString('latin1').match(CERTIFICATES);
  if (certificates === null) throw new Error('no PEM certificate in it');
  for (const certificate of certificates) new X509Certificate(certificate);
}

function grpcProblem(name: string, value: string): string | undefined {
  if (name.endsWith('-bin')) return 'gRPC keeps names that end in -bin for binary values';
  if (NOT_IN_HTTP2.has(name)) return 'gRPC has no such header';
  const metadata = new Metadata();
  return (
    httpProblem(name, value) ??
    problemOf('name', () => metadata.set(name, '')) ??
    problemOf('value', () => metadata.set(name, value))
  );
}

function httpProblem(name: string, value: string): string | undefined {
  return (
    problemOf('name', () => validateHeaderName(name)) ??
    problemOf('value', () => validateHeaderValue(name, value))
  );
}

/** Not in the words of the error, which may have a secret in them. */
function problemOf(part: 'name' | 'value', check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch {
    return part === 'name'
      ? 'its name is empty or has a character that no name may have'
      : 'its value has a line break or another character that is not plain ASCII';
  }
}

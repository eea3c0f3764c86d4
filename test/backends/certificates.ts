/** Certificates for mutual TLS between processes of this machine, made with openssl; removed with `remove`. */
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { serverDirectory } from './server-process.ts';

/** Paths of PEM files, under the names that the shipped Collector configurations ask for. */
export interface TlsFiles extends Readonly<Record<string, string>> {
  readonly TLS_CA: string;
  readonly TLS_CERT: string;
  readonly TLS_KEY: string;
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' });
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export class Certificates {
  readonly #directory = serverDirectory('tls');

  /** A certificate for localhost, for client and server, signed by the CA of that name. */
  of(authority: string): TlsFiles {
    const file = (kind: string) => path.join(this.#directory, `${authority}-${kind}.pem`);
    const files = { TLS_CA: file('ca'), TLS_CERT: file('cert'), TLS_KEY: file('key') };
    if (existsSync(files.TLS_CERT)) return files;
    const authoritySubject = ['-subj', `/CN=${authority} CA`, '-days', '2'];
    const authorityFiles = ['-keyout', file('ca-key'), '-out', files.TLS_CA];
    openssl('req', '-x509', ...newKey, ...authoritySubject, ...authorityFiles);
    const requestFiles = ['-keyout', files.TLS_KEY, '-out', file('request')];
    openssl('req', ...newKey, '-subj', '/CN=localhost', ...requestFiles);
    const extensions = file('extensions');
    writeFileSync(extensions, 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
    const signer = ['-CA', files.TLS_CA, '-CAkey', file('ca-key'), '-CAcreateserial'];
    const request = ['-in', file('request'), '-days', '2', '-extfile', extensions];
    openssl('x509', '-req', ...request, ...signer, '-out', files.TLS_CERT);
    return files;
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

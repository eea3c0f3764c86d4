import { readFileSync } from 'node:fs';

interface Manifest {
  readonly version: string;
}

/** Version of this package. */
export function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  const manifest: Manifest = JSON.parse(readFileSync(file, 'utf8'));
  return manifest.version;
}

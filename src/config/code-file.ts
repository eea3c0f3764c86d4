/** Configuration files that are code: run only when nobody but root could have written them. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { writableByOthers } from './trust.ts';

const timeoutMs = 10_000;

export type CodeResult =
  | { readonly ok: true; readonly value: unknown; readonly files: readonly string[] }
  | { readonly ok: false; readonly message: string; readonly files: readonly string[] };

export function isCode(file: string): boolean {
  return ['.js', '.mjs', '.ts'].includes(extname(file));
}

/** The default export, or what it returns when it is a function; or why the file was refused or failed. */
export async function runCodeFile(file: string): Promise<CodeResult> {
  const reason = writableByOthers(file, 'strict');
  if (reason !== undefined) {
    const message = `refused, as it runs code and not only root can write it: ${reason}`;
    return { ok: false, files: [file], message };
  }
  // dist/ holds .js, the sources .ts: the neighbour has the extension of this file.
  const script = new URL(`./code-worker${extname(import.meta.url)}`, import.meta.url);
  const worker = new Worker(script, { workerData: { file }, stdout: false, stderr: false });
  const answer = new Promise<CodeResult>((settle) => {
    const fail = (message: string) => settle({ ok: false, files: [file], message });
    const timer = setTimeout(() => fail(`did not end within ${timeoutMs / 1000} s`), timeoutMs);
    worker.once('message', (result: CodeResult) => settle(result));
    worker.once('messageerror', () => fail('the default export holds something that is not data'));
    worker.once('error', (error: Error) => fail(error.message));
    worker.once('exit', () => {
      clearTimeout(timer);
      fail('left before it gave a configuration');
    });
  });
  try {
    return await answer;
  } finally {
    await worker.terminate();
  }
}

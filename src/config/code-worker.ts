/**
 * The thread that runs a configuration file that is code (`.js`, `.mjs`, `.ts`). A thread of its own: modules are loaded
 * anew on every reload, and a file that never ends can be ended. It refuses every module that others than root can write.
 */
import { registerHooks } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import { writableByOthers } from './trust.ts';

const { file } = workerData as { file: string };
const files: string[] = [];

registerHooks({
  load(url, context, nextLoad) {
    if (url.startsWith('file:')) {
      const path = fileURLToPath(url);
      const reason = writableByOthers(path, 'strict');
      if (reason !== undefined) throw new Error(`refused to run ${path}: ${reason}`);
      files.push(path);
    } else if (!url.startsWith('node:')) {
      throw new Error(`refused to run ${url}: only files and node: modules`);
    }
    return nextLoad(url, context);
  },
});

try {
  const module: { default?: unknown } = await import(pathToFileURL(file).href);
  const exported = module.default;
  const value: unknown = typeof exported === 'function' ? await exported() : exported;
  parentPort?.postMessage({ ok: true, files, value });
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  parentPort?.postMessage({ ok: false, files, message });
}

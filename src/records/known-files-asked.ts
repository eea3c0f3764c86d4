/**
 * The worker of the known files as known-files.ts sees it: one question, one answer. Owns the thread; what it is asked
 * and what it hands back is in known-files-messages.ts, and what it does in known-files-worker.ts. A question that
 * failed leaves the worker as it is; when the thread itself has ended, every question fails with the reason.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Question, Questions, Reply } from './known-files-messages.ts';

export class Asked {
  readonly #worker: Worker;
  #settle: { resolve: (answer: object) => void; reject: (error: unknown) => void } | undefined;
  #ended: unknown;

  constructor(file: string) {
    // dist/ holds .js, the sources .ts: the neighbour has the extension of this file.
    const script = new URL(`./known-files-worker${extname(import.meta.url)}`, import.meta.url);
    this.#worker = new Worker(script, {
      workerData: { file },
      // It makes little but garbage.
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    this.#worker.on('message', (reply: Reply) => {
      if ('error' in reply) this.#settle?.reject(reply.error);
      else this.#settle?.resolve(reply.answer);
    });
    const end = (error: unknown): void => {
      this.#ended ??= error;
      this.#settle?.reject(this.#ended);
    };
    this.#worker.on('error', end);
    this.#worker.on('exit', () => end(new Error('the worker of the known files has ended')));
  }

  get hasEnded(): boolean {
    return this.#ended !== undefined;
  }

  async ask<Q extends Question>(
    question: Q,
    ask: Questions[Q]['ask'],
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<Questions[Q]['answer']> {
    if (this.#ended !== undefined) throw this.#ended;
    const answer = new Promise<object>((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#worker.postMessage({ question, ask }, [...transfer]);
    });
    return (await answer) as Questions[Q]['answer'];
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}

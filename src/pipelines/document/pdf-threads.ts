/*
 * The threads in which PDFium runs. One that has done its work waits for the next document, which gets a PDFium with a
 * memory of its own: nothing is left of the document before.
 */
import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../contract/failure.ts';
import type { FromThread, ToThread } from './pdf-messages.ts';
import { type CompiledCode, compilePdfium } from './pdfium.ts';

/** Why a thread has no answer; it cannot be used any more. */
export class PdfThreadError extends Error {
  override readonly name = 'PdfThreadError';
  readonly isLate: boolean;
  constructor(isLate: boolean, message: string) {
    super(message);
    this.isLate = isLate;
  }
}

export class PdfThreads {
  #code: Promise<CompiledCode> | null = null;
  #idle: PdfThread | null = null;

  constructor() {
    // Node 20 aborts when a thread is ended while V8 optimizes its code in another one.
    setFlagsFromString('--no-concurrent-recompilation');
  }

  async take(): Promise<PdfThread> {
    const idle = this.#idle;
    this.#idle = null;
    if (idle !== null) return idle;
    this.#code ??= compilePdfium();
    const code = await this.#code.catch((error: unknown) => {
      this.#code = null;
      throw error;
    });
    return new PdfThread(code);
  }

  /** For the next document; one thread waits for it. */
  async giveBack(thread: PdfThread): Promise<void> {
    if (this.#idle !== null) {
      await thread.end();
      return;
    }
    thread.forget();
    this.#idle = thread;
  }
}

export class PdfThread {
  readonly #worker: Worker;

  constructor(code: CompiledCode) {
    const file = new URL('./pdf-thread.js', import.meta.url);
    this.#worker = new Worker(file, { workerData: code, execArgv: [], env: {} });
    this.#worker.on('error', () => {}); // whoever asks it is told; nobody does while it waits
    this.#worker.unref(); // a process that ends need not wait for it
  }

  /** Throws `PdfThreadError` and the reason of the signal; then the thread must be ended. */
  async ask(message: ToThread, timeoutMs: number, signal: AbortSignal): Promise<FromThread> {
    const over = new AbortController();
    const late = AbortSignal.timeout(timeoutMs);
    const stop = AbortSignal.any([over.signal, late, signal]);
    const answered = once(this.#worker, 'message', { signal: stop });
    const ended = once(this.#worker, 'exit', { signal: stop });
    try {
      this.#worker.postMessage(message, []);
      const first = await Promise.race([answered, ended.then(() => null)]); // an `error` event rejects both
      if (first === null) throw new PdfThreadError(false, 'its thread has ended');
      return first[0] as FromThread;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof PdfThreadError) throw error;
      throw new PdfThreadError(late.aborted, messageOf(error));
    } finally {
      over.abort();
      await Promise.allSettled([answered, ended]);
    }
  }

  /** Has it let go of its document. */
  forget(): void {
    this.#worker.postMessage({ type: 'close' } satisfies ToThread, []);
  }

  /** Whatever it does. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

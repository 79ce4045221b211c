/*
 * How many bytes of inputs a worker holds at once. It takes more predictions than it can run, so many
 * large inputs could otherwise be far more than its memory.
 */

interface Waiting {
  readonly bytes: number;
  readonly admit: () => void;
}

export class InputBudget {
  readonly #maxBytes: number;
  #usedBytes = 0;
  #waiting: readonly Waiting[] = [];

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Resolves when there is room, in the order of asking, with what gives the room back. One that is
   * larger than everything is let in when nobody else is. Rejects with the signal's reason.
   */
  async take(bytes: number, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#waiting.length > 0 || !this.#hasRoom(bytes)) await this.#wait(bytes, signal);
    else this.#usedBytes += bytes;
    let isHeld = true;
    return () => {
      if (isHeld) this.#usedBytes -= bytes;
      isHeld = false;
      this.#admit();
    };
  }

  #hasRoom(bytes: number): boolean {
    return this.#usedBytes === 0 || this.#usedBytes + bytes <= this.#maxBytes;
  }

  async #wait(bytes: number, signal: AbortSignal): Promise<void> {
    let onAbort = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        const waiting: Waiting = { bytes, admit: resolve };
        this.#waiting = [...this.#waiting, waiting];
        onAbort = () => {
          this.#waiting = this.#waiting.filter((other) => other !== waiting);
          reject(signal.reason as Error);
          this.#admit();
        };
        signal.addEventListener('abort', onAbort, { once: true });
      });
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #admit(): void {
    for (const next of this.#waiting) {
      if (!this.#hasRoom(next.bytes)) return;
      this.#usedBytes += next.bytes;
      this.#waiting = this.#waiting.slice(1);
      next.admit();
    }
  }
}

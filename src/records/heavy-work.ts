import { setImmediate } from 'node:timers/promises';
import { Refusal } from '../contract/refusal.ts';

/** Parsing or writing less JSON takes a millisecond. */
const LIGHT_BYTES = 64 * 1024;
/** So much JSON at once may be values in memory, where it takes about six times as much. */
const MAX_PARSED_BYTES = 12 * 1024 ** 2;
const MAX_WAIT_MS = 5000;

/**
 * Large JSON keeps the event loop busy while it is parsed, checked and written, and takes much memory as
 * values. So its pieces of work are done one at a time, with a turn of the event loop for everybody else
 * between two of them, and only so much of it is in memory as values.
 */
export class HeavyWork {
  #line: Promise<void> = Promise.resolve();
  #parsedBytes = 0;
  readonly #waiting = new Set<() => void>();

  /** Waits until so many bytes of JSON may be parsed; what it returns is called when they are done with. */
  async begin(bytes: number): Promise<() => void> {
    if (bytes < LIGHT_BYTES) return () => {};
    const lateAtMs = Date.now() + MAX_WAIT_MS;
    while (this.#parsedBytes > 0 && this.#parsedBytes + bytes > MAX_PARSED_BYTES) {
      if (Date.now() >= lateAtMs) {
        const detail = 'other large requests are being worked on: send it again in a moment';
        throw new Refusal('overloaded', detail);
      }
      await this.#room(lateAtMs - Date.now());
    }
    this.#parsedBytes += bytes;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#parsedBytes -= bytes;
      const [first] = this.#waiting;
      first?.();
    };
  }

  /** Waits for a turn to do one piece of work on so many bytes. */
  async turn(bytes: number): Promise<void> {
    if (bytes < LIGHT_BYTES) return;
    this.#line = this.#line.then(async () => await setImmediate());
    await this.#line;
  }

  /** Resolves when there is less in memory, or after so long. */
  async #room(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#waiting.add(done);
    });
  }
}

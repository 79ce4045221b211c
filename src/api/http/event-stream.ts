/* Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html */
import { once } from 'node:events';
import type { Response } from 'express';

/** Proxies cut a connection that is silent for about a minute. */
const KEEP_ALIVE_MS = 15_000;

export class EventStream {
  readonly #response: Response;
  readonly #keepAlive: NodeJS.Timeout;

  /**
   * The status goes out with the first event, or with the first comment that keeps the connection alive: until then an
   * error can be answered with a status of its own.
   */
  constructor(response: Response) {
    this.#response = response;
    this.#keepAlive = setInterval(() => {
      this.begin();
      response.write(': keep-alive\n\n');
    }, KEEP_ALIVE_MS);
    response.once('close', () => clearInterval(this.#keepAlive));
  }

  /** Whether the status has been sent. */
  get isBegun(): boolean {
    return this.#response.headersSent;
  }

  /** Whether its client reads what it is sent. */
  get isRead(): boolean {
    return !this.#response.writableNeedDrain;
  }

  /** Sends the status. */
  begin(): void {
    if (this.isBegun || this.#isOver) return;
    this.#response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
    });
  }

  /** Sends an event, whether its client reads or not. */
  send(
    data: object | null,
    { event, id }: { readonly event?: string; readonly id?: string } = {},
  ): void {
    const lines = [
      ...(id === undefined ? [] : [`id: ${id}`]),
      ...(event === undefined ? [] : [`event: ${event}`]),
      `data: ${JSON.stringify(data)}`,
    ];
    this.#write(`${lines.join('\n')}\n\n`);
  }

  /** Sends data that is no JSON. */
  sendText(text: string): void {
    this.#write(`data: ${text}\n\n`);
  }

  /** Waits until its client has read what it was sent, or has hung up. */
  async drained(): Promise<void> {
    if (this.#isOver || this.isRead) return;
    const either = new AbortController();
    const { signal } = either;
    const waits = ['drain', 'close'].map(
      async (event) => await once(this.#response, event, { signal }),
    );
    try {
      await Promise.race(waits);
    } finally {
      either.abort();
      await Promise.allSettled(waits);
    }
  }

  /** Nothing is sent any more; the response is somebody else's to end. */
  release(): void {
    clearInterval(this.#keepAlive);
  }

  /** Ends the stream. */
  end(): void {
    this.release();
    this.#response.end();
  }

  get #isOver(): boolean {
    return this.#response.destroyed || this.#response.writableEnded;
  }

  #write(text: string): void {
    if (this.#isOver) return;
    this.begin();
    this.#response.write(text);
  }
}

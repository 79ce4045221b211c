/* Server-sent events as OpenAI's clients read them. */
import { once } from 'node:events';
import type { Response } from 'express';
import type { Logger } from '../../telemetry/logger.ts';
import { problemOf } from '../http/problems.ts';
import { OPENAI } from './dialect.ts';

/** Proxies cut a connection that is silent for about a minute. */
const KEEP_ALIVE_MS = 15_000;

export class EventStream {
  readonly #response: Response;
  #keepAlive: NodeJS.Timeout | undefined;

  constructor(response: Response) {
    this.#response = response;
  }

  /** Whether its client can still be answered with a status. */
  get isBegun(): boolean {
    return this.#response.headersSent;
  }

  /** Sends an event; waits while the client does not read. */
  async send(data: object, event?: string): Promise<void> {
    this.#begin();
    const name = event === undefined ? '' : `event: ${event}\n`;
    await this.#write(`${name}data: ${JSON.stringify(data)}\n\n`);
  }

  /** The last line of those streams that have one. */
  async done(): Promise<void> {
    await this.#write('data: [DONE]\n\n');
  }

  /** Ends the stream. */
  end(): void {
    clearInterval(this.#keepAlive);
    this.#response.end();
  }

  /** Tells of an error that came when the status was sent already, and ends the stream. */
  async fail(error: unknown, logger: Logger): Promise<void> {
    const { code, message, status } = problemOf(error);
    if (code === 'internal') logger.error({ err: error }, 'a stream failed');
    await this.send(OPENAI.errorBody({ detail: message, status, code }), 'error');
    this.end();
  }

  #begin(): void {
    if (this.isBegun) return;
    this.#response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
    });
    this.#keepAlive = setInterval(() => this.#response.write(': keep-alive\n\n'), KEEP_ALIVE_MS);
    this.#response.once('close', () => clearInterval(this.#keepAlive));
  }

  async #write(text: string): Promise<void> {
    if (this.#response.destroyed || this.#response.writableEnded) return;
    if (this.#response.write(text)) return;
    await Promise.race([once(this.#response, 'drain'), once(this.#response, 'close')]);
  }
}

/* What a pipeline is told of one item of a batch and tells of it, in the model process. */
import type { TokenCount } from '../contract/prediction.ts';
import { joined, pagesOf, type Part } from '../contract/work.ts';
import type { InferenceContext } from '../pipelines/index.ts';
import type { FromProcess } from './protocol.ts';

/** Parts are gathered, so that the supervisor gets at most twenty messages a second. Pages are told at once. */
const GATHER_MS = 50;

export class ItemContext implements InferenceContext {
  readonly before: Part | null;
  readonly #item: number;
  readonly #send: (message: FromProcess) => void;
  readonly #stop = new AbortController();
  #gathered: Part | null = null;
  #sentAtMs = -GATHER_MS;
  #timer: NodeJS.Timeout | undefined;
  #tokens: TokenCount | null = null;

  constructor(item: number, before: Part | null, send: (message: FromProcess) => void) {
    this.#item = item;
    this.before = before;
    this.#send = send;
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** What the pipeline has counted; null: nothing. */
  get tokens(): TokenCount | null {
    return this.#tokens;
  }

  report(fraction: number, message: string): void {
    this.#send({ type: 'progress', item: this.#item, progress: { fraction, message } });
  }

  emit(part: Part): void {
    this.#gathered = joined(this.#gathered, part);
    const waitMs = this.#sentAtMs + GATHER_MS - performance.now();
    if (waitMs <= 0 || pagesOf(part) !== null) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), waitMs);
  }

  count(tokens: TokenCount): void {
    this.#tokens = tokens;
  }

  /** Nobody wants the item any more. */
  stop(): void {
    this.#stop.abort(new Error('it was stopped'));
  }

  /** Sends what was gathered. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#gathered === null) return;
    const part = this.#gathered;
    this.#gathered = null;
    this.#sentAtMs = performance.now();
    this.#send({ type: 'partial', item: this.#item, part });
  }
}

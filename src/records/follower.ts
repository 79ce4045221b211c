/*
 * Watching records for whoever listens: one watch for each prediction or batch, however many listen. It
 * follows Temporal's result event for the end, and looks now and then for what changes before.
 */
import type { AcceptedRequest } from '../contract/accepted-request.ts';
import type { Logger } from '../telemetry/logger.ts';
import { EngineUnavailableError } from '../temporal/timely-calls.ts';

/** Unless very many are watched: all looks together are at most so many a second. */
const MAX_LOOKS_PER_S = 200;
/** How long the engine may be away between two looks; it is asked again for as long as somebody listens. */
const PAUSE_WHEN_AWAY_MS = 2000;

export interface FollowListener<Seen> {
  /** What was seen, when it has changed; the last one is final. */
  onRecord(seen: Seen): void;
  /** There is nothing more to come: it was deleted, or cannot be read any more. */
  onError(error: unknown): void;
}

/** How records of one kind are watched. */
export interface FollowerDependencies<Seen> {
  /** One look. */
  readonly observe: (id: string, tenant: string) => Promise<Seen>;
  /** Resolves when it has ended, or the signal aborts. */
  readonly waitForEnd: (id: string, signal: AbortSignal) => Promise<unknown>;
  /** Equal for two looks between which nothing has changed that a listener would want to know. */
  readonly stateOf: (seen: Seen) => string;
  readonly isFinal: (seen: Seen) => boolean;
  /** How late a listener may learn of what changes. */
  readonly everyMs: (seen: Seen) => number;
  readonly logger: Logger;
}

interface Watch<Seen> {
  readonly listeners: Set<FollowListener<Seen>>;
  readonly stop: AbortController;
  /** The state that all who listen know of; empty when somebody may not. */
  shown: string;
}

export class Follower<Seen> {
  readonly #dependencies: FollowerDependencies<Seen>;
  readonly #watches = new Map<string, Watch<Seen>>();

  constructor(dependencies: FollowerDependencies<Seen>) {
    this.#dependencies = dependencies;
  }

  /** How many records are being watched. */
  get size(): number {
    return this.#watches.size;
  }

  /** Listens until the final record has come, or what it returns is called. */
  listen(
    { id, tenant }: Pick<AcceptedRequest, 'id' | 'tenant'>,
    listener: FollowListener<Seen>,
  ): () => void {
    let watch = this.#watches.get(id);
    if (watch === undefined) {
      watch = { listeners: new Set(), stop: new AbortController(), shown: '' };
      this.#watches.set(id, watch);
      void this.#follow(id, tenant, watch);
    }
    watch.shown = ''; // it may have missed a change: the next look is for everybody
    const { listeners, stop } = watch;
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0) return;
      stop.abort();
      if (this.#watches.get(id)?.stop === stop) this.#watches.delete(id);
    };
  }

  async #follow(id: string, tenant: string, watch: Watch<Seen>): Promise<void> {
    const { listeners, stop } = watch;
    const { waitForEnd, stateOf, isFinal, logger } = this.#dependencies;
    const { signal } = stop;
    const pause = new Pause();
    signal.addEventListener('abort', () => pause.end(), { once: true });
    // Its end is worth a look at once; should the engine have gone away instead, looking goes on.
    void waitForEnd(id, signal).then(
      () => pause.end(),
      () => {},
    );
    try {
      while (!signal.aborted) {
        const seen = await this.#observe(id, tenant);
        const state = seen === null ? watch.shown : stateOf(seen);
        if (seen !== null && state !== watch.shown) {
          watch.shown = state;
          for (const listener of listeners) listener.onRecord(seen);
          if (isFinal(seen)) break;
        }
        await pause.begin(seen === null ? PAUSE_WHEN_AWAY_MS : this.#pauseMs(seen));
      }
    } catch (error) {
      logger.debug({ err: error, id }, 'a watch ended');
      for (const listener of listeners) listener.onError(error);
    } finally {
      stop.abort();
      if (this.#watches.get(id)?.stop === stop) this.#watches.delete(id);
    }
  }

  #pauseMs(seen: Seen): number {
    const everyMs = this.#dependencies.everyMs(seen);
    return Math.max(everyMs, (1000 * this.#watches.size) / MAX_LOOKS_PER_S);
  }

  /** Null: the engine is away. */
  async #observe(id: string, tenant: string): Promise<Seen | null> {
    try {
      return await this.#dependencies.observe(id, tenant);
    } catch (error) {
      if (error instanceof EngineUnavailableError) return null;
      throw error;
    }
  }
}

/** A pause that something may end early, also before it has begun. */
class Pause {
  #isOver = false;
  #finish = () => {};

  async begin(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    if (!this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#finish = resolve;
        timer = setTimeout(resolve, ms);
      });
    }
    clearTimeout(timer);
    this.#isOver = false;
  }

  end(): void {
    this.#isOver = true;
    this.#finish();
  }
}

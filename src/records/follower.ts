/*
 * Watching predictions for whoever listens: one watch for each prediction, however many listen. It
 * follows Temporal's result event for the end, and looks now and then for what changes before.
 */
import { type Accepted, isFinal, type Prediction } from '../contract/prediction.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import { EngineUnavailableError } from '../temporal/timely-calls.ts';
import type { PredictionReader } from './prediction-reader.ts';

/** How late a listener may learn of progress … */
const LOOK_EVERY_MS = 500;
/** … unless very many predictions are watched: all looks together are at most so many a second. */
const MAX_LOOKS_PER_S = 200;
/** How long the engine may be away between two looks; it is asked again for as long as somebody listens. */
const PAUSE_WHEN_AWAY_MS = 2000;

export interface FollowListener {
  /**
   * The record, when its status or its progress has changed; the last one is final. An output that
   * lies in the store is a reference.
   */
  onRecord(record: Prediction): void;
  /** There is nothing more to come: it was deleted, or cannot be read any more. */
  onError(error: unknown): void;
}

export interface FollowerDependencies {
  readonly reader: Pick<PredictionReader, 'read'>;
  readonly predictions: Pick<PredictionEngine, 'waitForEnd'>;
  readonly logger: Logger;
}

interface Watch {
  readonly listeners: Set<FollowListener>;
  readonly stop: AbortController;
  /** The state that all who listen know of; empty when somebody may not. */
  shown: string;
}

export class Follower {
  readonly #dependencies: FollowerDependencies;
  readonly #watches = new Map<string, Watch>();

  constructor(dependencies: FollowerDependencies) {
    this.#dependencies = dependencies;
  }

  /** How many predictions are being watched. */
  get size(): number {
    return this.#watches.size;
  }

  /** Listens until the final record has come, or what it returns is called. */
  listen({ id, tenant }: Pick<Accepted, 'id' | 'tenant'>, listener: FollowListener): () => void {
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

  async #follow(id: string, tenant: string, watch: Watch): Promise<void> {
    const { listeners, stop } = watch;
    const { predictions, logger } = this.#dependencies;
    const { signal } = stop;
    const pause = new Pause();
    signal.addEventListener('abort', () => pause.end(), { once: true });
    // Its end is worth a look at once; should the engine have gone away instead, looking goes on.
    void predictions.waitForEnd(id, signal).then(
      () => pause.end(),
      () => {},
    );
    try {
      while (!signal.aborted) {
        const record = await this.#read(id, tenant);
        const state = record === null ? watch.shown : stateOf(record);
        if (record !== null && state !== watch.shown) {
          watch.shown = state;
          for (const listener of listeners) listener.onRecord(record);
          if (isFinal(record)) break;
        }
        const pauseMs = record === null ? PAUSE_WHEN_AWAY_MS : this.#pauseMs();
        await pause.begin(pauseMs);
      }
    } catch (error) {
      logger.debug({ err: error, prediction: id }, 'a watch ended');
      for (const listener of listeners) listener.onError(error);
    } finally {
      stop.abort();
      if (this.#watches.get(id)?.stop === stop) this.#watches.delete(id);
    }
  }

  #pauseMs(): number {
    return Math.max(LOOK_EVERY_MS, (1000 * this.#watches.size) / MAX_LOOKS_PER_S);
  }

  /** Null: the engine is away. */
  async #read(id: string, tenant: string): Promise<Prediction | null> {
    try {
      return await this.#dependencies.reader.read(id, tenant, null); // many may listen, few want it
    } catch (error) {
      if (error instanceof EngineUnavailableError) return null;
      throw error;
    }
  }
}

/** What a look may find changed. */
const stateOf = (record: Prediction): string => {
  const { status, attempt, progress, queue, priority, queue_ttl: queueTtl, deadline } = record;
  return JSON.stringify([status, attempt, progress, queue?.reason, priority, queueTtl, deadline]);
};

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

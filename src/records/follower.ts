/*
 * Watching predictions for whoever listens: one watch for each prediction, however many listen. It
 * follows Temporal's result event for the end, and looks now and then for what changes before.
 */
import { type ModelRef, modelRefOf } from '../contract/model.ts';
import { type Accepted, isFinal, type Prediction } from '../contract/prediction.ts';
import { endOf } from '../contract/work.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import { EngineUnavailableError } from '../temporal/timely-calls.ts';
import type { Observation, PredictionReader } from './prediction-reader.ts';

/** How late a listener may learn of progress … */
const LOOK_EVERY_MS = 500;
/** … or of a text that a model tells while it writes it … */
const LOOK_AT_TEXT_EVERY_MS = 200;
/** … unless very many predictions are watched: all looks together are at most so many a second. */
const MAX_LOOKS_PER_S = 200;
/** How long the engine may be away between two looks; it is asked again for as long as somebody listens. */
const PAUSE_WHEN_AWAY_MS = 2000;

export interface FollowListener {
  /**
   * The record, when its status, its progress or its text has changed; the last one is final.
   */
  onRecord(observation: Observation): void;
  /** There is nothing more to come: it was deleted, or cannot be read any more. */
  onError(error: unknown): void;
}

export interface FollowerDependencies {
  readonly reader: Pick<PredictionReader, 'observe'>;
  /** Whether a model tells its text while it writes it. */
  readonly isStreaming: (model: ModelRef) => boolean;
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
        const seen = await this.#observe(id, tenant);
        const state = seen === null ? watch.shown : stateOf(seen);
        if (seen !== null && state !== watch.shown) {
          watch.shown = state;
          for (const listener of listeners) listener.onRecord(seen);
          if (isFinal(seen.record)) break;
        }
        await pause.begin(seen === null ? PAUSE_WHEN_AWAY_MS : this.#pauseMs(seen.record));
      }
    } catch (error) {
      logger.debug({ err: error, prediction: id }, 'a watch ended');
      for (const listener of listeners) listener.onError(error);
    } finally {
      stop.abort();
      if (this.#watches.get(id)?.stop === stop) this.#watches.delete(id);
    }
  }

  #pauseMs(record: Prediction): number {
    const isStreaming = this.#dependencies.isStreaming(modelRefOf(record));
    const everyMs = isStreaming ? LOOK_AT_TEXT_EVERY_MS : LOOK_EVERY_MS;
    return Math.max(everyMs, (1000 * this.#watches.size) / MAX_LOOKS_PER_S);
  }

  /** Null: the engine is away. */
  async #observe(id: string, tenant: string): Promise<Observation | null> {
    try {
      return await this.#dependencies.reader.observe(id, tenant);
    } catch (error) {
      if (error instanceof EngineUnavailableError) return null;
      throw error;
    }
  }
}

/** What a look may find changed. */
const stateOf = ({ record, work }: Observation): string => {
  const { status, attempt, progress, queue, priority, queue_ttl: queueTtl, deadline } = record;
  const text = work && [work.attempt, endOf(work)];
  return JSON.stringify([
    status,
    attempt,
    progress,
    queue?.reason,
    priority,
    queueTtl,
    deadline,
    text,
  ]);
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

/*
 * Watching predictions for whoever listens: one watch for each prediction, however many listen. It
 * follows Temporal's result event for the end, and looks now and then for what changes before.
 */
import { isFinal, type Prediction } from '../contract/prediction.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import { EngineUnavailableError } from '../temporal/timely-calls.ts';
import type { PredictionReader } from './prediction-reader.ts';

/** How late a listener may learn of progress. */
const LOOK_EVERY_MS = 500;
/** How long the engine may be away between two looks; it is asked again for as long as somebody listens. */
const PAUSE_WHEN_AWAY_MS = 2000;

export interface WatchListener {
  /** The record, when its status or its progress has changed; the last one is final. */
  onRecord(record: Prediction): void;
  /** There is nothing more to come: it was deleted, or cannot be read any more. */
  onError(error: unknown): void;
}

export interface WatchDependencies {
  readonly reader: Pick<PredictionReader, 'read'>;
  readonly engine: Pick<PredictionEngine, 'waitForEnd'>;
  readonly logger: Logger;
}

interface Watch {
  readonly listeners: Set<WatchListener>;
  readonly stop: AbortController;
  /** What was seen last; null before the first look. */
  latest: Prediction | null;
}

export class Watches {
  readonly #dependencies: WatchDependencies;
  readonly #watches = new Map<string, Watch>();

  constructor(dependencies: WatchDependencies) {
    this.#dependencies = dependencies;
  }

  /** How many predictions are being watched. */
  get size(): number {
    return this.#watches.size;
  }

  /** Listens until the final record has come, or what it returns is called. */
  listen(id: string, listener: WatchListener): () => void {
    let watch = this.#watches.get(id);
    if (watch === undefined) {
      watch = { listeners: new Set(), stop: new AbortController(), latest: null };
      this.#watches.set(id, watch);
      void this.#follow(id, watch);
    }
    const { listeners, stop, latest } = watch;
    listeners.add(listener);
    if (latest !== null) listener.onRecord(latest); // it may have missed a change
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0) return;
      stop.abort();
      if (this.#watches.get(id)?.stop === stop) this.#watches.delete(id);
    };
  }

  async #follow(id: string, watch: Watch): Promise<void> {
    const { listeners, stop } = watch;
    const { engine, logger } = this.#dependencies;
    const { signal } = stop;
    // Its end is worth a look at once; should the engine have gone away instead, looking goes on.
    let hint: Promise<unknown> | null = engine.waitForEnd(id, signal).catch(() => null);
    let shown = '';
    try {
      while (!signal.aborted) {
        const record = await this.#read(id);
        const state = record === null ? shown : stateOf(record);
        if (record !== null && state !== shown) {
          shown = state;
          watch.latest = record;
          for (const listener of listeners) listener.onRecord(record);
          if (isFinal(record)) break;
        }
        const pauseMs = record === null ? PAUSE_WHEN_AWAY_MS : LOOK_EVERY_MS;
        const pause = elapsed(pauseMs, signal);
        if (hint === null) await pause;
        else if ((await Promise.race([hint.then(() => 'ended'), pause])) === 'ended') hint = null;
      }
    } catch (error) {
      logger.debug({ err: error, prediction: id }, 'a watch ended');
      for (const listener of listeners) listener.onError(error);
    } finally {
      stop.abort();
      if (this.#watches.get(id)?.stop === stop) this.#watches.delete(id);
    }
  }

  /** Null: the engine is away. */
  async #read(id: string): Promise<Prediction | null> {
    try {
      return await this.#dependencies.reader.read(id);
    } catch (error) {
      if (error instanceof EngineUnavailableError) return null;
      throw error;
    }
  }
}

const stateOf = ({ status, attempt, progress, queue }: Prediction): string =>
  JSON.stringify([status, attempt, progress, queue?.reason]);

async function elapsed(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}

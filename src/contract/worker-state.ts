/** The state of one model version on an inference worker. */
export interface ServedModelState {
  readonly model: string;
  readonly version: number;
  /** `idle`: no process yet, the first request loads it. `unavailable`: see `reason`. */
  readonly state: 'idle' | 'loading' | 'ready' | 'unavailable';
  readonly reason: string | null;
  readonly device: string;
  readonly replicas: number;
  /** How many predictions this worker takes at once. */
  readonly slots: number;
  /** Inferences that a model process has been handed. */
  readonly running: number;
  /** Inferences that wait for a model process, or for others to share a batch. */
  readonly waiting: number;
  /** Resident memory of its model processes together; null where that cannot be read. */
  readonly rss_bytes: number | null;
  /** Median of the latest inferences, in milliseconds; null before the first. */
  readonly inference_ms: number | null;
}

/** `workers/<worker id>.json` in the payload store. */
export interface WorkerState {
  readonly worker: string;
  /** RFC 3339; a file older than `WORKER_STATE_STALE_MS` is of a worker that is gone. */
  readonly updated_at: string;
  readonly models: readonly ServedModelState[];
}

export const WORKER_STATE_INTERVAL_MS = 10_000;
export const WORKER_STATE_STALE_MS = 30_000;

/* One model version on one device: its replicas, and the inferences that wait for one of them. */
import { fileURLToPath } from 'node:url';
import { formatModelRef } from '../contract/model.ts';
import type { ServedModelState } from '../contract/worker-state.ts';
import type { Logger } from '../telemetry/logger.ts';
import { type BatchEntry, Batcher } from './batcher.ts';
import { batchKeyOf } from './batch-key.ts';
import type { BatchItem, BatchRun } from './batch-run.ts';
import type { Confinement } from './confinement.ts';
import type { ModelVersion } from '../models/repository.ts';
import {
  type BatchFacts,
  type Inference,
  type InferenceRequest,
  InferenceStoppedError,
  type ManyRequest,
  ModelUnavailableError,
  type RuntimeObserver,
} from './runtime.ts';
import { Supervisor, type SupervisorStatus } from './supervisor.ts';

/**
 * How many inferences a worker takes of a version: a full batch running and one ready to follow for
 * each replica, so that the device never waits for the engine's round trip between two of them.
 */
export const slotsOf = ({ manifest: { resources, batching } }: ModelVersion): number =>
  2 * resources.replicas * batching.max_size;

/** How soon a model that failed to load is asked for again, at the earliest. */
const RELOAD_PATIENCE_MS = 1000;
const LATEST_RUNS = 20;
/** Behind every priority that a single inference can have. */
const LAST = { priority: 6, before: null, onProgress: () => {}, onPart: () => {} } as const;

export interface PoolOptions {
  readonly device: string;
  readonly maxPixels: number;
  readonly maxOutputBytes: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
  readonly observer?: RuntimeObserver;
  /** The compiled entry point of a model process; by default the one beside this file. */
  readonly processFile?: string;
  readonly loadTimeoutMs?: number;
  readonly takePatienceMs?: number;
  readonly confinement?: Confinement;
}

/** An inference in the pool: in the batcher first, then in a run. */
interface Waiting extends BatchEntry, BatchItem {
  run: BatchRun | null;
}

export class ModelPool {
  readonly version: ModelVersion;
  /** When an inference last came or ended; milliseconds since the epoch. */
  lastUsedMs = 0;
  readonly #options: PoolOptions;
  readonly #replicas: readonly Supervisor[];
  readonly #batcher: Batcher<Waiting>;
  readonly #onChange: () => void;
  readonly #latestMs: number[] = [];
  #told: Pick<ServedModelState, 'state' | 'reason'> | null = null;
  #timer: NodeJS.Timeout | undefined;
  /** Files whose hash was found right: the next process does not read them for that. */
  readonly #checkedFiles = new Set<string>();
  #isAskedFor = false;
  #isClosed = false;

  constructor(version: ModelVersion, options: PoolOptions, onChange: () => void) {
    this.version = version;
    this.#options = options;
    this.#onChange = onChange;
    const { manifest } = version;
    const { max_size: maxSize, max_delay_ms: maxDelayMs } = manifest.batching;
    this.#batcher = new Batcher({ maxSize, maxDelayMs });
    this.#replicas = Array.from({ length: manifest.resources.replicas }, () =>
      this.#newSupervisor(),
    );
  }

  async infer(request: InferenceRequest): Promise<Inference> {
    const [settled] = await this.#enter([request], request.signal);
    if (settled?.status === 'fulfilled') return settled.value;
    throw settled?.reason;
  }

  /** Whatever has a priority of its own comes before these. */
  async inferMany({
    items,
    ...same
  }: ManyRequest): Promise<readonly PromiseSettledResult<Inference>[]> {
    const requests = items.map((item): InferenceRequest => ({ ...item, ...same, ...LAST }));
    return await this.#enter(requests, same.signal);
  }

  async #enter(
    requests: readonly InferenceRequest[],
    signal: AbortSignal,
  ): Promise<readonly PromiseSettledResult<Inference>[]> {
    signal.throwIfAborted();
    if (this.#isClosed) throw new ModelUnavailableError(`${this.#label} is closing`, 0);
    this.lastUsedMs = Date.now();
    const entered: Waiting[] = [];
    const results = requests.map(async (request) => {
      return await new Promise<Inference>((resolve, reject) => {
        entered.push({
          request,
          key: request.isAlone ? null : batchKeyOf(this.version, request),
          priority: request.priority,
          arrivedAtMs: Date.now(),
          run: null,
          resolve,
          reject,
        });
      });
    });
    const onAbort = () => {
      for (const waiting of entered) {
        if (this.#batcher.remove(waiting)) waiting.reject(signal.reason);
        else waiting.run?.drop(waiting);
      }
    };
    signal.addEventListener('abort', onAbort, { once: true });
    for (const waiting of entered) this.#batcher.add(waiting);
    this.#dispatchSoon();
    try {
      return await Promise.allSettled(results);
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.lastUsedMs = Date.now();
    }
  }

  /** Loads the model before its first request. */
  start(): void {
    for (const replica of this.#replicas) replica.start();
  }

  /** Whether it can serve, and if not, why. */
  condition(): Pick<ServedModelState, 'state' | 'reason'> {
    const statuses = this.#replicas.map((replica) => replica.status);
    const problem = unavailability(statuses);
    const isReady = statuses.some(({ state }) => state === 'ready' || state === 'running');
    const isIdle = statuses.every(({ state }) => state === 'stopped');
    return {
      state: problem ? 'unavailable' : isReady ? 'ready' : isIdle ? 'idle' : 'loading',
      reason: problem?.reason ?? null,
    };
  }

  state(): ServedModelState {
    const { name, version } = this.version.ref;
    const rss = this.#replicas.flatMap(({ rssBytes }) => rssBytes ?? []);
    return {
      model: name,
      version,
      ...this.condition(),
      device: this.#options.device,
      replicas: this.#replicas.length,
      slots: slotsOf(this.version),
      running: this.#replicas.reduce((sum, { running }) => sum + running, 0),
      waiting: this.#batcher.size,
      inference_ms: this.#latestMs.toSorted((a, b) => a - b)[this.#latestMs.length >> 1] ?? null,
      rss_bytes: rss.length === 0 ? null : rss.reduce((sum, bytes) => sum + bytes, 0),
    };
  }

  /** Ends its processes and waits until they are gone; what is in it is rejected. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    const message = `its worker stopped serving ${this.#label} before it ran`;
    const error = new InferenceStoppedError(message);
    for (const { reject } of this.#batcher.takeAll()) reject(error);
    await Promise.all(this.#replicas.map(async (replica) => await replica.close()));
  }

  get #label(): string {
    return formatModelRef(this.version.ref);
  }

  #newSupervisor(): Supervisor {
    const { manifest, files, graphs, configs, ref, schema } = this.version;
    const { device, maxPixels, maxOutputBytes, environment, logger } = this.#options;
    const { observer, processFile, loadTimeoutMs, takePatienceMs, confinement } = this.#options;
    return new Supervisor({
      label: this.#label,
      settings: { manifest, files, graphs, configs, device, maxPixels, maxOutputBytes },
      stopsWhenAsked: schema.streaming !== null,
      checkedFiles: this.#checkedFiles,
      processFile: processFile ?? fileURLToPath(new URL('./process.js', import.meta.url)),
      environment,
      logger,
      onChange: () => this.#dispatch(),
      onReplaced: (cause) => observer?.processReplaced(ref, cause),
      ...(loadTimeoutMs === undefined ? {} : { loadTimeoutMs }),
      ...(takePatienceMs === undefined ? {} : { takePatienceMs }),
      ...(confinement === undefined ? {} : { confinement }),
    });
  }

  /** Deferred, so that inferences which come in the same moment can run as one batch. */
  #dispatchSoon(): void {
    if (this.#isAskedFor) return;
    this.#isAskedFor = true;
    queueMicrotask(() => {
      this.#isAskedFor = false;
      this.#dispatch();
    });
  }

  #dispatch(): void {
    if (this.#isClosed) return;
    this.#startAsNeeded();
    clearTimeout(this.#timer);
    for (const replica of this.#replicas) {
      if (replica.status.state !== 'ready') continue;
      const batch = this.#batcher.take(Date.now());
      if (batch.length === 0) break;
      this.#run(replica, batch);
    }
    const isFree = this.#replicas.some(({ status }) => status.state === 'ready');
    const nextAtMs = isFree ? this.#batcher.nextAtMs() : null;
    if (nextAtMs !== null) {
      clearTimeout(this.#timer); // running a batch dispatches within this
      this.#timer = setTimeout(() => this.#dispatch(), nextAtMs - Date.now());
    }
    this.#rejectIfUnavailable();
    this.#tellIfChanged();
  }

  /** Starts as many replicas as batches are waiting. */
  #startAsNeeded(): void {
    const { max_size: maxSize } = this.version.manifest.batching;
    const isComing = ({ status: { state } }: Supervisor) =>
      state === 'loading' || state === 'ready';
    let missing = Math.ceil(this.#batcher.size / maxSize) - this.#replicas.filter(isComing).length;
    for (const replica of this.#replicas) {
      if (missing <= 0) return;
      if (replica.status.state !== 'stopped') continue;
      missing -= 1;
      replica.start();
    }
  }

  #tellIfChanged(): void {
    const condition = this.condition();
    const { state, reason } = this.#told ?? {};
    if (condition.state === state && condition.reason === reason) return;
    this.#told = condition;
    this.#onChange();
  }

  #run(replica: Supervisor, batch: readonly Waiting[]): void {
    const startedAtMs = Date.now();
    const queueMs = batch.map(({ arrivedAtMs }) => startedAtMs - arrivedAtMs);
    const loadMs = batch.map(({ arrivedAtMs }) => replica.loadMsSince(arrivedAtMs));
    const onDone = (facts: Omit<BatchFacts, 'queueMs'>) => this.#count({ queueMs, ...facts });
    const run = replica.run(batch, { onDone, loadMs });
    for (const waiting of batch) waiting.run = run;
  }

  #count(facts: BatchFacts): void {
    this.#latestMs.push(facts.inferenceMs);
    if (this.#latestMs.length > LATEST_RUNS) this.#latestMs.shift();
    this.#options.observer?.batchDone(this.version.ref, facts);
  }

  #rejectIfUnavailable(): void {
    const problem = unavailability(this.#replicas.map((replica) => replica.status));
    if (problem === undefined) return;
    const error = new ModelUnavailableError(
      `${this.#label} cannot be loaded: ${problem.reason}`,
      Math.max(RELOAD_PATIENCE_MS, problem.retryAtMs - Date.now()),
    );
    for (const { reject } of this.#batcher.takeAll()) reject(error);
  }
}

/** A version is unavailable when no replica works and at least one has failed to load. */
function unavailability(statuses: readonly SupervisorStatus[]) {
  const isWell = statuses.some(({ state }) => state === 'ready' || state === 'running');
  if (isWell) return undefined;
  return statuses.find((status) => status.state === 'unavailable');
}

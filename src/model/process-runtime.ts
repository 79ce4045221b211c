/*
 * The ModelRuntime that runs each model version in processes of its own. A pool per version: its
 * replicas (each a supervisor) and the inferences that wait for one, first come, first served.
 */
import { fileURLToPath } from 'node:url';
import { formatModelRef, type ModelRef } from '../contract/model.ts';
import type { ServedModelState } from '../contract/worker-state.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ModelVersion } from './repository.ts';
import {
  type Inference,
  type InferenceRequest,
  ModelCrashedError,
  type ModelRuntime,
  ModelUnavailableError,
} from './runtime.ts';
import { Supervisor, type SupervisorStatus } from './supervisor.ts';

/**
 * One inference running and one ready to follow for each replica: the device never waits for the
 * engine's round trip between two of them.
 */
export const slotsOf = (version: ModelVersion): number => 2 * version.manifest.resources.replicas;

/** How soon a model that failed to load is asked for again, at the earliest. */
const RELOAD_PATIENCE_MS = 1000;

export interface ProcessRuntimeOptions {
  readonly versions: readonly ModelVersion[];
  readonly device: string;
  readonly maxPixels: number;
  readonly maxOutputBytes: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
  /** The compiled entry point of a model process; by default the one beside this file. */
  readonly processFile?: string;
}

export class ProcessModelRuntime implements ModelRuntime {
  readonly #pools: ReadonlyMap<string, ModelPool>;
  readonly #listeners: (() => void)[] = [];

  constructor(options: ProcessRuntimeOptions) {
    const onChange = () => {
      for (const listener of this.#listeners) listener();
    };
    this.#pools = new Map(
      options.versions.map((version) => [
        formatModelRef(version.ref),
        new ModelPool(version, options, onChange),
      ]),
    );
  }

  async infer(model: ModelRef, request: InferenceRequest): Promise<Inference> {
    const pool = this.#pools.get(formatModelRef(model));
    if (pool !== undefined) return await pool.infer(request);
    throw new ModelUnavailableError(`${formatModelRef(model)} is not served here`, 10_000);
  }

  states(): readonly ServedModelState[] {
    return [...this.#pools.values()].map((pool) => pool.state());
  }

  onStateChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  preload(): void {
    for (const pool of this.#pools.values()) pool.preload();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map(async (pool) => await pool.close()));
  }
}

interface Waiting {
  readonly request: InferenceRequest;
  readonly resolve: (inference: Promise<Inference>) => void;
  readonly reject: (error: unknown) => void;
}

class ModelPool {
  readonly #version: ModelVersion;
  readonly #device: string;
  readonly #replicas: readonly Supervisor[];
  readonly #onChange: () => void;
  readonly #latestMs: number[] = [];
  #waiting: readonly Waiting[] = [];

  constructor(version: ModelVersion, options: ProcessRuntimeOptions, onChange: () => void) {
    this.#version = version;
    this.#device = options.device;
    this.#onChange = onChange;
    const { manifest, files, graphs } = version;
    const { device, maxPixels, maxOutputBytes, environment, logger } = options;
    this.#replicas = Array.from(
      { length: manifest.resources.replicas },
      () =>
        new Supervisor({
          label: formatModelRef(version.ref),
          settings: { manifest, files, graphs, device, maxPixels, maxOutputBytes },
          processFile:
            options.processFile ?? fileURLToPath(new URL('./process.js', import.meta.url)),
          environment,
          logger,
          onChange: () => this.#dispatch(),
        }),
    );
  }

  async infer(request: InferenceRequest): Promise<Inference> {
    request.signal.throwIfAborted();
    const inference = await new Promise<Inference>((resolve, reject) => {
      const onAbort = () => {
        if (!this.#waiting.includes(waiting)) return; // it runs: its supervisor stops it
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        reject(request.signal.reason);
      };
      const waiting: Waiting = {
        request,
        resolve: (inference) => {
          request.signal.removeEventListener('abort', onAbort);
          resolve(inference);
        },
        reject,
      };
      request.signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting = [...this.#waiting, waiting];
      this.#dispatch();
    });
    this.#latestMs.push(inference.inferenceMs);
    if (this.#latestMs.length > 20) this.#latestMs.shift();
    return inference;
  }

  preload(): void {
    if (this.#version.manifest.resources.preload) this.#startAll();
  }

  state(): ServedModelState {
    const { name, version } = this.#version.ref;
    const statuses = this.#replicas.map((replica) => replica.status);
    const problem = unavailability(statuses);
    const isReady = statuses.some(({ state }) => state === 'ready' || state === 'running');
    const isIdle = statuses.every(({ state }) => state === 'stopped');
    return {
      model: name,
      version,
      state: problem ? 'unavailable' : isReady ? 'ready' : isIdle ? 'idle' : 'loading',
      reason: problem?.reason ?? null,
      device: this.#device,
      replicas: this.#replicas.length,
      slots: slotsOf(this.#version),
      running: statuses.filter(({ state }) => state === 'running').length,
      inference_ms: this.#latestMs.toSorted((a, b) => a - b)[this.#latestMs.length >> 1] ?? null,
    };
  }

  async close(): Promise<void> {
    for (const { reject } of this.#waiting) reject(new ModelCrashedError('the worker shuts down'));
    this.#waiting = [];
    await Promise.all(this.#replicas.map(async (replica) => await replica.close()));
  }

  #startAll(): void {
    for (const replica of this.#replicas) replica.start();
  }

  #dispatch(): void {
    if (this.#waiting.length > 0) this.#startAll();
    for (const replica of this.#replicas) {
      const [next, ...rest] = this.#waiting;
      if (next === undefined || replica.status.state !== 'ready') continue;
      this.#waiting = rest;
      next.resolve(replica.run(next.request));
    }
    const problem = unavailability(this.#replicas.map((replica) => replica.status));
    if (problem !== undefined) {
      const label = formatModelRef(this.#version.ref);
      const error = new ModelUnavailableError(
        `${label} cannot be loaded: ${problem.reason}`,
        Math.max(RELOAD_PATIENCE_MS, problem.retryAtMs - Date.now()),
      );
      for (const { reject } of this.#waiting) reject(error);
      this.#waiting = [];
    }
    this.#onChange();
  }
}

/** A version is unavailable when no replica is well, and one has failed to load. */
function unavailability(statuses: readonly SupervisorStatus[]) {
  const isWell = statuses.some(({ state }) => state === 'ready' || state === 'running');
  if (isWell) return undefined;
  return statuses.find((status) => status.state === 'unavailable');
}

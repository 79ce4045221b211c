/* The ModelRuntime that runs each model version in processes of its own: one pool per version. */
import { formatModelRef, type ModelRef } from '../contract/model.ts';
import type { ServedModelState } from '../contract/worker-state.ts';
import { ModelPool, type PoolOptions } from './model-pool.ts';
import { identityOf, type ModelVersion } from '../models/repository.ts';
import {
  type Inference,
  type InferenceRequest,
  type ManyRequest,
  type ModelRuntime,
  notServed,
  type VersionFacts,
} from './runtime.ts';

export class ProcessModelRuntime implements ModelRuntime {
  readonly #options: PoolOptions;
  readonly #pools = new Map<string, ModelPool>();
  readonly #listeners: (() => void)[] = [];

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Serves a version from now on; one that is already served is replaced (see `retire`). */
  async serve(version: ModelVersion): Promise<void> {
    await this.retire(version.ref);
    const pool = new ModelPool(version, this.#options, () => this.#changed());
    this.#pools.set(formatModelRef(version.ref), pool);
    if (version.manifest.resources.preload) pool.start();
    this.#changed();
  }

  /** Serves a version no longer; ends its processes, whatever they run. */
  async retire(model: ModelRef): Promise<void> {
    const pool = this.#pools.get(formatModelRef(model));
    if (pool === undefined) return;
    this.#pools.delete(formatModelRef(model));
    await pool.close();
    this.#changed();
  }

  /** When an inference of a version (`ocr@1`) last came or ended; 0 when none ever did. */
  lastUsedMs(label: string): number {
    return this.#pools.get(label)?.lastUsedMs ?? 0;
  }

  async infer(model: ModelRef, request: InferenceRequest): Promise<Inference> {
    const pool = this.#pools.get(formatModelRef(model));
    if (pool !== undefined) return await pool.infer(request);
    throw notServed(model);
  }

  async inferMany(
    model: ModelRef,
    request: ManyRequest,
  ): Promise<readonly PromiseSettledResult<Inference>[]> {
    const pool = this.#pools.get(formatModelRef(model));
    if (pool !== undefined) return await pool.inferMany(request);
    throw notServed(model);
  }

  factsOf(model: ModelRef): VersionFacts | null {
    const version = this.#pools.get(formatModelRef(model))?.version;
    if (version === undefined) return null;
    const isStreaming = version.schema.streaming !== null;
    return { version, identity: identityOf(version), isStreaming };
  }

  /** False while a version cannot be loaded, or is not served at all. */
  canServe(model: ModelRef): boolean {
    const pool = this.#pools.get(formatModelRef(model));
    return pool !== undefined && pool.condition().state !== 'unavailable';
  }

  states(): readonly ServedModelState[] {
    return [...this.#pools.values()].map((pool) => pool.state());
  }

  onStateChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Ends every model process; waits until they are gone. */
  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map(async (pool) => await pool.close()));
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

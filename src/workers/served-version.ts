/* One model version on this worker: in the runtime, and polled on Temporal Workers of its own. */
import type { Worker } from '@temporalio/worker';
import { formatModelRef } from '../contract/model.ts';
import type { ProcessModelRuntime } from '../runtime/process-runtime.ts';
import type { ModelVersion } from '../models/repository.ts';
import type { Logger } from '../telemetry/logger.ts';

export interface ServingDependencies {
  readonly runtime: ProcessModelRuntime;
  /** The Temporal Workers on the queues of a version; not yet running. */
  readonly createWorkers: (version: ModelVersion) => Promise<readonly Worker[]>;
  readonly logger: Logger;
  /** A Temporal Worker failed for good: this process can do no work any more. */
  readonly onFatal: (error: unknown) => void;
}

interface Polling {
  readonly workers: readonly Worker[];
  readonly ended: Promise<unknown>;
}

/** Brings the version to the wanted state, one step after the other. */
export class ServedVersion {
  readonly #dependencies: ServingDependencies;
  readonly #label: string;
  /** Null: the version is no longer to be served. */
  #wanted: ModelVersion | null;
  #served: ModelVersion | null = null;
  #polling: Polling | null = null;
  #mayPoll = true;
  #isStepping = false;
  #work: Promise<void> = Promise.resolve();

  constructor(version: ModelVersion, dependencies: ServingDependencies) {
    this.#label = formatModelRef(version.ref);
    this.#wanted = version;
    this.#dependencies = dependencies;
    this.update();
  }

  /** Whether it is to be served. */
  get isWanted(): boolean {
    return this.#wanted !== null;
  }

  /** Sets what is to be served from now on: the version, perhaps with changed files, or nothing. */
  want(version: ModelVersion | null): void {
    this.#wanted = version;
    this.update();
  }

  /** Its state in the runtime may have changed. */
  update(): void {
    if (this.#isStepping) return; // the next step will see the change
    this.#isStepping = true;
    this.#work = this.#stepAfter(this.#work);
  }

  /** Resolves when everything known so far is done. */
  async settled(): Promise<void> {
    await this.#work;
  }

  /** Takes no further task; resolves when what runs has ended or its grace time has passed. */
  async stop(): Promise<void> {
    this.#mayPoll = false;
    this.update();
    await this.#work;
  }

  async #stepAfter(previous: Promise<void>): Promise<void> {
    await previous;
    this.#isStepping = false;
    try {
      await this.#step();
    } catch (error) {
      this.#dependencies.onFatal(error);
    }
  }

  async #step(): Promise<void> {
    const { runtime, logger } = this.#dependencies;
    const wanted = this.#wanted;
    if (this.#served !== null && this.#served !== wanted) {
      await this.#stopPolling(); // the runs under way may end first
      await runtime.retire(this.#served.ref);
      logger.info({ model: this.#label }, wanted === null ? 'no longer served' : 'it has changed');
    }
    if (wanted !== null && this.#served !== wanted) {
      await runtime.serve(wanted);
      logger.info({ model: this.#label }, 'serving');
    }
    this.#served = wanted;
    const canServe = wanted !== null && runtime.canServe(wanted.ref);
    if (!canServe || !this.#mayPoll) await this.#stopPolling();
    else if (this.#polling === null) await this.#startPolling(wanted);
  }

  async #startPolling(version: ModelVersion): Promise<void> {
    const workers = await this.#dependencies.createWorkers(version);
    const running = workers.map(async (worker) => await worker.run());
    const ended = Promise.all(running).catch((error: unknown) => this.#dependencies.onFatal(error));
    this.#polling = { workers, ended };
  }

  async #stopPolling(): Promise<void> {
    if (this.#polling === null) return;
    const { workers, ended } = this.#polling;
    this.#polling = null;
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
    await ended;
  }
}

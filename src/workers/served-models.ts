/*
 * Which model versions this worker serves: those in its repository.
 *
 *  V1  A version's queue is polled exactly while the version can be served. One that cannot be
 *      loaded leaves its tasks to healthy workers, and is polled again once it is loaded: its
 *      supervisor keeps trying.
 *  V2  A new version is served without a restart. One whose files change is replaced when what runs
 *      has ended; one whose folder is gone is served until nothing has come for it for a while.
 *  V3  No version disturbs another, nor waits for another.
 */
import { formatModelRef } from '../contract/model.ts';
import type { ModelRepository } from '../models/repository.ts';
import { ServedVersion, type ServingDependencies } from './served-version.ts';

/** Longer than the pause between two attempts of a prediction (at most 10 s). */
const LEAVE_AFTER_IDLE_MS = 20_000;
const TICK_MS = 1000;

export class ServedModels {
  readonly #repository: ModelRepository;
  readonly #dependencies: ServingDependencies;
  readonly #versions = new Map<string, ServedVersion>();
  /** Versions whose folder is gone, and since when. */
  readonly #leaving = new Map<string, number>();
  /** Problems that were logged already. */
  #reported: ReadonlySet<unknown> = new Set();
  readonly #timer: NodeJS.Timeout;
  readonly #stopWatching: () => void;

  /** Begins to serve what the repository holds. */
  constructor(repository: ModelRepository, dependencies: ServingDependencies) {
    this.#repository = repository;
    this.#dependencies = dependencies;
    this.#refresh();
    dependencies.runtime.onStateChange(() => {
      for (const version of this.#versions.values()) version.update();
    });
    this.#stopWatching = repository.watch(() => this.#refresh());
    this.#timer = setInterval(() => this.#letGo(), TICK_MS);
  }

  /** Resolves when everything known so far is served. */
  async settled(): Promise<void> {
    await Promise.all([...this.#versions.values()].map(async (each) => await each.settled()));
  }

  /** Stops taking tasks; resolves when what runs has ended or its grace time has passed. */
  async close(): Promise<void> {
    this.#stopWatching();
    clearInterval(this.#timer);
    await Promise.all([...this.#versions.values()].map(async (each) => await each.stop()));
  }

  #refresh(): void {
    const { logger } = this.#dependencies;
    const broken = this.#repository.broken();
    for (const version of broken) {
      if (this.#reported.has(version)) continue;
      const { ref, folder, problems } = version;
      logger.error({ model: formatModelRef(ref), folder, problems }, 'cannot be served');
    }
    const misplaced = this.#repository.problems();
    for (const problem of misplaced) if (!this.#reported.has(problem)) logger.warn(problem);
    this.#reported = new Set<unknown>([...broken, ...misplaced]);
    const gone = new Set(this.#versions.keys());
    for (const version of this.#repository.all()) {
      const label = formatModelRef(version.ref);
      gone.delete(label);
      this.#leaving.delete(label);
      const served = this.#versions.get(label);
      if (served === undefined) {
        this.#versions.set(label, new ServedVersion(version, this.#dependencies));
      } else {
        served.want(version);
      }
    }
    const brokenLabels = new Set(broken.map(({ ref }) => formatModelRef(ref)));
    for (const label of gone) {
      if (this.#versions.get(label)?.isWanted !== true) continue; // it is being removed
      if (brokenLabels.has(label)) this.#drop(label);
      else if (!this.#leaving.has(label)) this.#leaving.set(label, Date.now());
    }
  }

  #letGo(): void {
    if (this.#leaving.size === 0) return;
    for (const [label, goneSinceMs] of this.#leaving) {
      const lastUsedMs = this.#dependencies.runtime.lastUsedMs(label);
      if (Date.now() - Math.max(goneSinceMs, lastUsedMs) >= LEAVE_AFTER_IDLE_MS) this.#drop(label);
    }
  }

  /** The version stays known until it has stopped. If its folder comes back before that, it is served on. */
  #drop(label: string): void {
    this.#leaving.delete(label);
    const version = this.#versions.get(label);
    if (version === undefined || !version.isWanted) return;
    version.want(null);
    void this.#forget(label, version);
  }

  async #forget(label: string, version: ServedVersion): Promise<void> {
    await version.settled();
    if (!version.isWanted) this.#versions.delete(label);
  }
}

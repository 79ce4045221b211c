/*
 * Which model versions this worker serves: what its repository holds.
 *
 *  V1  A version's queue is polled exactly while the version can be served. One that cannot be
 *      loaded leaves its tasks to healthy workers, and is polled again once it is loaded: its
 *      supervisor keeps trying.
 *  V2  A new version is served without a restart. One whose files change is replaced when what runs
 *      has ended; one whose folder is gone is served until nothing has come for it for a while.
 *  V3  No version disturbs another, nor waits for another.
 */
import { formatModelRef } from '../contract/model.ts';
import type { ModelRepository } from '../model/repository.ts';
import { ServedVersion, type ServingDependencies } from './served-version.ts';

/** Longer than a task may need from its queue to us. */
const LEAVE_AFTER_IDLE_MS = 10_000;
const TICK_MS = 1000;

export class ServedModels {
  readonly #repository: ModelRepository;
  readonly #dependencies: ServingDependencies;
  readonly #versions = new Map<string, ServedVersion>();
  /** Versions whose folder is gone, and since when nothing has come for them. */
  readonly #leaving = new Map<string, number>();
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
    for (const { ref, folder, problems } of broken) {
      logger.error({ model: formatModelRef(ref), folder, problems }, 'cannot be served');
    }
    for (const problem of this.#repository.folderProblems()) logger.error(problem);
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
      if (brokenLabels.has(label)) this.#drop(label);
      else if (!this.#leaving.has(label)) this.#leaving.set(label, Date.now());
    }
  }

  #letGo(): void {
    if (this.#leaving.size === 0) return;
    const now = Date.now();
    for (const { model, version, running, waiting } of this.#dependencies.runtime.states()) {
      const label = formatModelRef({ name: model, version });
      if (running + waiting > 0 && this.#leaving.has(label)) this.#leaving.set(label, now);
    }
    for (const [label, idleSinceMs] of this.#leaving) {
      if (now - idleSinceMs >= LEAVE_AFTER_IDLE_MS) this.#drop(label);
    }
  }

  #drop(label: string): void {
    this.#leaving.delete(label);
    const version = this.#versions.get(label);
    this.#versions.delete(label);
    version?.want(null);
  }
}

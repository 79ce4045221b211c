import { cutMessage } from '../contract/failure.ts';
import { JSON_MEDIA_TYPE, payloadKeys } from '../contract/payload.ts';
import { WORKER_STATE_INTERVAL_MS, type WorkerState } from '../contract/worker-state.ts';
import type { ModelRuntime } from '../runtime/runtime.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';

const JSON_PAYLOAD = { mediaType: JSON_MEDIA_TYPE };

export interface StateFileOptions {
  readonly runtime: ModelRuntime;
  readonly store: PayloadStore;
  readonly worker: string;
  readonly logger: Logger;
}

/**
 * Keeps `workers/<worker>.json` in the payload store up to date: after every change of a model's
 * state, and every 10 s. `close` removes it.
 */
export function startStateFile({ runtime, store, worker, logger }: StateFileOptions) {
  const key = payloadKeys.worker(worker);
  let writing: Promise<unknown> = Promise.resolve();
  const write = () => {
    const state: WorkerState = {
      worker,
      updated_at: new Date().toISOString(),
      models: runtime.states().map((model) => ({
        ...model,
        reason: model.reason === null ? null : cutMessage(model.reason),
      })),
    };
    writing = writing
      .then(async () => await store.put(key, Buffer.from(JSON.stringify(state)), JSON_PAYLOAD))
      .catch((error: unknown) => logger.warn({ err: error }, 'cannot write the worker state'));
  };
  runtime.onStateChange(write);
  write();
  const timer = setInterval(write, WORKER_STATE_INTERVAL_MS);
  return {
    async close(): Promise<void> {
      clearInterval(timer);
      await writing;
      await store.delete(key);
    },
  };
}

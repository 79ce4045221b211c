import type { ModelRef } from './model.ts';

/** Workflows only: no activity ever waits behind a model. */
export const ORCHESTRATION_QUEUE = 'orchestration';

/** Webhook deliveries: a receiver that hangs takes a slot here, and nowhere else. */
export const DELIVERY_QUEUE = 'delivery';

/** Inputs that are given by URL. */
export const FETCH_QUEUE = 'fetch';

/** One queue per model version: a backlog of one never delays another. */
export const inferenceQueue = (model: ModelRef): string =>
  `inference.${model.name}.${model.version}`;

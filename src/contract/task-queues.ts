import type { ModelRef } from './model.ts';

/** Workflows only: no activity ever waits behind a model. */
export const ORCHESTRATION_QUEUE = 'orchestration';

/** Webhook deliveries: a receiver that hangs takes a slot here, and nowhere else. */
export const DELIVERY_QUEUE = 'delivery';

/**
 * How long a lost delivery worker goes unnoticed. Longer than an attempt: one that outlasts four fifths
 * of it has to tell the engine that it is still at work, which 200 hanging ones made felt.
 */
export const DELIVERY_TASK_TIMEOUT = '20s';

/** Inputs that are given by URL. */
export const FETCH_QUEUE = 'fetch';

/** The inputs and results of batches, as files: joined, copied, removed. */
export const BATCH_QUEUE = 'batches';

/** Removing what has expired, one at a time. */
export const SWEEP_QUEUE = 'sweep';

/** The chunks of batches of one model version: they never wait among its predictions. */
export const batchQueue = (model: ModelRef): string => `batch.${model.name}.${model.version}`;

/** One queue per model version: a backlog of one never delays another. */
export const inferenceQueue = (model: ModelRef): string =>
  `inference.${model.name}.${model.version}`;

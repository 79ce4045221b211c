import type { ModelRef } from './model.ts';

/** Workflows only: no activity ever waits behind a model. */
export const ORCHESTRATION_QUEUE = 'orchestration';

/** One queue per model version: a backlog of one never delays another. */
export const inferenceQueue = (model: ModelRef): string =>
  `inference.${model.name}.${model.version}`;

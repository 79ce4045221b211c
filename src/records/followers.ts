/* How predictions and batches are watched. */
import { isFinalBatch, type Batch } from '../contract/batch.ts';
import { type ModelRef, modelRefOf } from '../contract/model.ts';
import { isFinal } from '../contract/prediction.ts';
import { endOf } from '../contract/work.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { BatchEngine } from '../temporal/batch-engine.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import type { BatchReader } from './batch-reader.ts';
import { Follower } from './follower.ts';
import type { Observation, PredictionReader } from './prediction-reader.ts';

/** How late a listener may learn of progress … */
const LOOK_EVERY_MS = 500;
/** … or of a text that a model tells while it writes it. */
const LOOK_AT_TEXT_EVERY_MS = 200;

export interface PredictionFollowing {
  readonly reader: Pick<PredictionReader, 'observe'>;
  /** Whether a model tells its text while it writes it. */
  readonly isStreaming: (model: ModelRef) => boolean;
  readonly predictions: Pick<PredictionEngine, 'waitForEnd'>;
  readonly logger: Logger;
}

export const predictionFollower = ({
  reader,
  isStreaming,
  predictions,
  logger,
}: PredictionFollowing): Follower<Observation> =>
  new Follower<Observation>({
    observe: async (id, tenant) => await reader.observe(id, tenant),
    waitForEnd: async (id, signal) => await predictions.waitForEnd(id, signal),
    stateOf,
    isFinal: ({ record }) => isFinal(record),
    everyMs: ({ record }) =>
      isStreaming(modelRefOf(record)) ? LOOK_AT_TEXT_EVERY_MS : LOOK_EVERY_MS,
    logger,
  });

/** What a look may find changed. */
const stateOf = ({ record, work }: Observation): string => {
  const { status, attempt, progress, queue, priority, queue_ttl: queueTtl, deadline } = record;
  const told = work && [work.attempt, endOf(work), work.pages, work.preview];
  return JSON.stringify([
    status,
    attempt,
    progress,
    queue?.reason,
    priority,
    queueTtl,
    deadline,
    told,
  ]);
};

export const batchFollower = ({
  batchReader,
  batches,
  logger,
}: {
  readonly batchReader: Pick<BatchReader, 'read'>;
  readonly batches: Pick<BatchEngine, 'waitForEnd'>;
  readonly logger: Logger;
}): Follower<Batch> =>
  new Follower<Batch>({
    observe: async (id, tenant) => await batchReader.read(id, tenant),
    waitForEnd: async (id, signal) => await batches.waitForEnd(id, signal),
    stateOf: ({ status, request_counts: counts, queue }) =>
      JSON.stringify([status, counts, queue?.reason]),
    isFinal: isFinalBatch,
    everyMs: () => LOOK_EVERY_MS,
    logger,
  });

import type { Response } from 'express';
import type { Accepted } from '../../contract/prediction.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { PredictionEngine } from '../../temporal/prediction-engine.ts';

/**
 * Cancels a prediction when its client hangs up before it has been answered. Not one with an Idempotency-Key: the
 * client may be sending its request again, or another one may wait for the same.
 */
export function cancelOnHangUp(
  response: Response,
  { id, fingerprint }: Accepted,
  {
    predictions,
    logger,
    stop,
  }: {
    readonly predictions: PredictionEngine;
    readonly logger: Logger;
    readonly stop: AbortSignal;
  },
): void {
  if (fingerprint !== undefined) return;
  const cancel = () => {
    if (response.writableFinished || stop.aborted) return;
    predictions.cancel(id).catch((error: unknown) => {
      logger.warn({ err: error, prediction: id }, 'a prediction whose client hung up goes on');
    });
  };
  if (response.destroyed) cancel();
  else response.once('close', cancel);
}

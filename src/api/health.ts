/* /healthz: the process answers. /readyz: it can accept predictions. */
import { Router } from 'express';
import { messageOf } from '../contract/failure.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';

export function healthRouter(dependencies: {
  readonly engine: PredictionEngine;
  readonly store: PayloadStore;
}): Router {
  const router = Router();
  router.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' });
  });
  router.get('/readyz', async (_request, response) => {
    const [engine, storage] = await Promise.all([
      verdict(dependencies.engine.check()),
      verdict(dependencies.store.check()),
    ]);
    const isReady = engine === 'ok' && storage === 'ok';
    response
      .status(isReady ? 200 : 503)
      .json({ status: isReady ? 'ready' : 'not_ready', checks: { engine, storage } });
  });
  return router;
}

const verdict = async (check: Promise<void>): Promise<string> =>
  await check.then(
    () => 'ok',
    (error: unknown) => messageOf(error),
  );

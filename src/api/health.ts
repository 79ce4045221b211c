/* /healthz: the process answers. /readyz: it can accept predictions. */
import { Router } from 'express';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Engine } from '../temporal/engine.ts';
import { messageOf } from '../contract/failure.ts';
import { remember } from '../records/remember.ts';

/** Anybody may ask, and each check writes to the store. */
const FRESH_MS = 1000;

export function healthRouter(dependencies: {
  readonly engine: Engine;
  readonly store: PayloadStore;
  readonly logger: Logger;
}): Router {
  const { engine, store, logger } = dependencies;
  const checks = {
    engine: verdictOf('the engine does not answer', async () => await engine.check(), logger),
    storage: verdictOf('the payload store cannot be used', async () => await store.check(), logger),
  };
  const router = Router();
  router.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' });
  });
  router.get('/readyz', async (_request, response) => {
    const [engineVerdict, storage] = await Promise.all([checks.engine(), checks.storage()]);
    const isReady = engineVerdict === 'ok' && storage === 'ok';
    response.status(isReady ? 200 : 503).json({
      status: isReady ? 'ready' : 'not_ready',
      checks: { engine: engineVerdict, storage },
    });
  });
  return router;
}

/** `ok`, or what is wrong: for strangers without a detail, which is logged once instead. */
function verdictOf(problem: string, check: () => Promise<void>, logger: Logger) {
  let latest = 'ok';
  return remember(async () => {
    const before = latest;
    latest = await check().then(
      () => 'ok',
      (error: unknown) => {
        if (before === 'ok') logger.warn({ reason: messageOf(error) }, problem);
        return problem;
      },
    );
    return latest;
  }, FRESH_MS);
}

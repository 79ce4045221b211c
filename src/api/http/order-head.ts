import type { Request, Response } from 'express';
import type { ModelVersion } from '../../models/repository.ts';
import type { OrderHead } from '../../submission/order.ts';
import { tenantOf } from './access.ts';
import { contextOf } from './context.ts';
import { idempotencyKey } from './idempotency-key.ts';
import { traceparentOf } from './traceparent.ts';

/** What the headers of a request say of an order. */
export const orderHead = (
  request: Request,
  response: Response,
  version: ModelVersion,
): OrderHead => ({
  tenant: tenantOf(response),
  traceparent: traceparentOf(request),
  version,
  bodyBytes: contextOf(response).bodyBytes ?? 0,
  idempotencyKey: idempotencyKey(request),
});

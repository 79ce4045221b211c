/* GET /v1/batches: a page of records, in Temporal's order. */
import { Router } from 'express';
import type { AcceptedBatch } from '../../contract/batch.ts';
import type { BatchReader } from '../../records/batch-reader.ts';
import type { BatchEngine } from '../../temporal/batch-engine.ts';
import type { ListFilter } from '../../temporal/record-queries.ts';
import { tenantOf } from '../http/access.ts';
import type { Cursors } from '../http/cursor.ts';
import { parseQuery } from '../http/queries.ts';
import { pageFrom, recordFilterOf } from './listing.ts';
import { batchListQuerySchema } from './schemas.ts';

/** Temporal knows when the latest run of a batch began, which may be later. */
const isOfTime = (
  { created_at }: AcceptedBatch,
  { createdAfterMs: after = -Infinity, createdBeforeMs: before = Infinity }: ListFilter,
): boolean => Date.parse(created_at) > after && Date.parse(created_at) < before;

export function batchListRouter(dependencies: {
  readonly batches: BatchEngine;
  readonly batchReader: BatchReader;
  readonly cursors: Cursors;
}): Router {
  const { batches, batchReader, cursors } = dependencies;
  const router = Router();
  router.get('/batches', async (request, response) => {
    const { cursor, limit, ...filters } = parseQuery(batchListQuerySchema, request.query);
    const tenant = tenantOf(response);
    const filter = recordFilterOf(filters, tenant);
    const list = ['batches', tenant, filters];
    const answer = await pageFrom(list, { cursor, cursors }, async (token) => {
      const page = await batches.list(filter, { pageSize: limit, token });
      const rows = page.rows.filter(({ accepted }) => isOfTime(accepted, filter));
      await batchReader.prepareListed(rows);
      const reading = rows.map(async (row) => await batchReader.readListed(row));
      return { records: await Promise.all(reading), nextPageToken: page.nextPageToken };
    });
    response.json(answer);
  });
  return router;
}

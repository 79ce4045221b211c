/* GET /v1/predictions: a page of records, in Temporal's order. */
import { Router } from 'express';
import type { z } from 'zod';
import type { Prediction } from '../../contract/prediction.ts';
import { parseModelRef } from '../../contract/model.ts';
import type { PredictionEngine, PredictionPage } from '../../temporal/prediction-engine.ts';
import type { ListFilter } from '../../temporal/prediction-queries.ts';
import { roomFor } from '../http/answers.ts';
import { tenantOf } from '../http/access.ts';
import type { Cursors } from '../http/cursor.ts';
import { listOf } from './lists.ts';
import type { OutputRoom, PredictionReader } from '../../records/prediction-reader.ts';
import { Problem } from '../http/problems.ts';
import { listQuerySchema } from './schemas.ts';
import { parseQuery } from '../http/queries.ts';
import { abridged, type Included } from '../../records/shown-record.ts';

/** When a page has this many bytes, further rows come without `include`: writing more JSON would hold others up. */
const MAX_PAGE_BYTES = 4 * 1024 ** 2;

type ListQuery = z.infer<typeof listQuerySchema>;

export function predictionListRouter(dependencies: {
  readonly predictions: PredictionEngine;
  readonly reader: PredictionReader;
  readonly cursors: Cursors;
}): Router {
  const { predictions, reader, cursors } = dependencies;
  const router = Router();
  router.get('/predictions', async (request, response) => {
    const query = parseQuery(listQuerySchema, request.query);
    const { cursor, limit, include, ...filters } = query;
    const list = ['predictions', tenantOf(response), filters];
    const token = cursor === undefined ? null : cursors.read(list, cursor);
    const filter = filterOf(query, tenantOf(response));
    const page = await cursors.page(token, async (from) => {
      return await predictions.list(filter, { pageSize: limit, token: from });
    });
    const records = await readRows(page.predictions, include, reader, roomFor(response));
    const seen = new Set<string>(); // a reset leaves an earlier run behind
    const data = records.filter((record) => {
      if (record === null || seen.has(record.id)) return false;
      seen.add(record.id);
      return true;
    });
    const next = page.nextPageToken;
    response.json(listOf(data, next === null ? null : cursors.write(list, next)));
  });
  return router;
}

/** The records of a page, with what is to be included, as long as the page does not become too large. */
async function readRows(
  rows: PredictionPage['predictions'],
  include: Included,
  reader: PredictionReader,
  room: OutputRoom,
): Promise<readonly (Prediction | null)[]> {
  await reader.prepareListed(rows);
  if (!include.includes('output')) {
    const reading = rows.map(async (row) => await reader.readListed(row, null));
    return (await Promise.all(reading)).map((record) => record && abridged(record, include));
  }
  const records: (Prediction | null)[] = [];
  let roomBytes = MAX_PAGE_BYTES;
  for (const row of rows) {
    const record = await reader.readListed(row, roomBytes > 0 ? room : null);
    const shown = record && abridged(record, roomBytes > 0 ? include : []);
    roomBytes -= Buffer.byteLength(JSON.stringify(shown));
    records.push(shown);
  }
  return records;
}

function filterOf(query: ListQuery, tenant: string): ListFilter {
  const { model, tag, status, created_after: after, created_before: before } = query;
  const ref = model === undefined ? undefined : parseModelRef(model);
  if (ref === null) throw new Problem('malformed_request', `query: ${model} is not a model`);
  return {
    tenant,
    ...(ref === undefined ? {} : { model: ref }),
    ...(tag === undefined ? {} : { tag }),
    ...(status === undefined ? {} : { status }),
    ...(after === undefined ? {} : { createdAfterMs: Date.parse(after) }),
    ...(before === undefined ? {} : { createdBeforeMs: Date.parse(before) }),
  };
}

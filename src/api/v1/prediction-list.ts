/* GET /v1/predictions: a page of records, in Temporal's order. */
import { Router } from 'express';
import type { Prediction } from '../../contract/prediction.ts';
import type { ListedPrediction, PredictionEngine } from '../../temporal/prediction-engine.ts';
import { roomFor } from '../http/answers.ts';
import { tenantOf } from '../http/access.ts';
import type { Cursors } from '../http/cursor.ts';
import type { OutputRoom, PredictionReader } from '../../records/prediction-reader.ts';
import { pageFrom, recordFilterOf } from './listing.ts';
import { listQuerySchema } from './schemas.ts';
import { parseQuery } from '../http/queries.ts';
import { abridged, type Included } from '../../records/shown-record.ts';

/** When a page has this many bytes, further rows come without `include`: writing more JSON would hold others up. */
const MAX_PAGE_BYTES = 4 * 1024 ** 2;

export function predictionListRouter(dependencies: {
  readonly predictions: PredictionEngine;
  readonly reader: PredictionReader;
  readonly cursors: Cursors;
}): Router {
  const { predictions, reader, cursors } = dependencies;
  const router = Router();
  router.get('/predictions', async (request, response) => {
    const { cursor, limit, include, ...filters } = parseQuery(listQuerySchema, request.query);
    const tenant = tenantOf(response);
    const filter = recordFilterOf(filters, tenant);
    const list = ['predictions', tenant, filters];
    const answer = await pageFrom(list, { cursor, cursors }, async (token) => {
      const { rows, nextPageToken } = await predictions.list(filter, { pageSize: limit, token });
      const records = await readRows(rows, include, reader, roomFor(response));
      return { records, nextPageToken };
    });
    response.json(answer);
  });
  return router;
}

/** The records of a page, with what is to be included, as long as the page does not become too large. */
async function readRows(
  rows: readonly ListedPrediction[],
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

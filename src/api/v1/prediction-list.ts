/* GET /v1/predictions: a page of records, in Temporal's order. */
import { Router } from 'express';
import type { z } from 'zod';
import { PREDICTION_WORKFLOW } from '../../contract/messages.ts';
import type { Prediction } from '../../contract/prediction.ts';
import { SEARCH_ATTRIBUTES } from '../../contract/search-attributes.ts';
import { parseModelRef } from '../../contract/model.ts';
import type { ExecutionPage, PredictionEngine } from '../../temporal/prediction-engine.ts';
import { tenantOf } from '../http/access.ts';
import type { Cursors } from '../http/cursor.ts';
import { listOf } from './lists.ts';
import type { PredictionReader } from '../../records/prediction-reader.ts';
import { Problem } from '../http/problems.ts';
import { listQuerySchema } from './schemas.ts';
import { parseQuery } from '../http/queries.ts';
import { abridged, type Included } from '../../records/shown-record.ts';

/** Behind so much, `include` is no longer heeded: making JSON of more holds everybody up. */
const MAX_PAGE_BYTES = 4 * 1024 ** 2;

type ListQuery = z.infer<typeof listQuerySchema>;

export function predictionListRouter(dependencies: {
  readonly engine: PredictionEngine;
  readonly reader: PredictionReader;
  readonly cursors: Cursors;
}): Router {
  const { engine, reader, cursors } = dependencies;
  const router = Router();
  router.get('/predictions', async (request, response) => {
    const query = parseQuery(listQuerySchema, request.query);
    const { cursor, limit, include, ...filters } = query;
    const list = ['predictions', tenantOf(response), filters];
    const token = cursor === undefined ? null : cursors.read(list, cursor);
    const visibility = visibilityQuery(query, tenantOf(response));
    const read = async (from: Uint8Array | null) => await engine.list(visibility, limit, from);
    const page = await cursors.page(token, read);
    const records = await readRows(page.executions, include, reader);
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
  rows: ExecutionPage['executions'],
  include: Included,
  reader: PredictionReader,
): Promise<readonly (Prediction | null)[]> {
  if (!include.includes('output')) {
    const reading = rows.map(async (row) => await reader.readListed(row, false));
    return (await Promise.all(reading)).map((record) => record && abridged(record, include));
  }
  const records: (Prediction | null)[] = [];
  let roomBytes = MAX_PAGE_BYTES;
  for (const row of rows) {
    const record = await reader.readListed(row, roomBytes > 0);
    const shown = record && abridged(record, roomBytes > 0 ? include : []);
    roomBytes -= Buffer.byteLength(JSON.stringify(shown));
    records.push(shown);
  }
  return records;
}

/** Values reach the query only as quoted literals of checked shape. */
function visibilityQuery({ status, model, tag, ...created }: ListQuery, tenant: string): string {
  const clauses = [
    `WorkflowType = '${PREDICTION_WORKFLOW}'`,
    `${SEARCH_ATTRIBUTES.tenant.name} = '${tenant}'`,
  ];
  if (model !== undefined) {
    const ref = parseModelRef(model);
    if (ref === null) throw new Problem('malformed_request', `query: ${model} is not a model`);
    clauses.push(`${SEARCH_ATTRIBUTES.model.name} = '${ref.name}'`);
    if (ref.version !== null) {
      clauses.push(`${SEARCH_ATTRIBUTES.version.name} = '${ref.version}'`);
    }
  }
  if (tag !== undefined) clauses.push(`${SEARCH_ATTRIBUTES.tags.name} = '${tag}'`);
  if (created.created_after !== undefined) {
    clauses.push(`StartTime > '${new Date(created.created_after).toISOString()}'`);
  }
  if (created.created_before !== undefined) {
    clauses.push(`StartTime < '${new Date(created.created_before).toISOString()}'`);
  }
  const clause = status === undefined ? null : statusClause(status);
  return [...clauses, ...(clause === null ? [] : [clause])].join(' AND ');
}

function statusClause(status: NonNullable<ListQuery['status']>): string {
  const outcome = SEARCH_ATTRIBUTES.outcome.name;
  switch (status) {
    case 'active':
      return "ExecutionStatus = 'Running'";
    case 'succeeded':
      return "ExecutionStatus = 'Completed'";
    case 'failed':
      return `ExecutionStatus IN ('Failed', 'Terminated', 'TimedOut') AND ${outcome} IS NULL`;
    case 'canceled':
      return "ExecutionStatus = 'Canceled'";
    case 'aborted':
      return `${outcome} = 'aborted'`;
  }
}

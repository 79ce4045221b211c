/* GET /v1/predictions: a page of records, in Temporal's order. */
import { Router } from 'express';
import type { z } from 'zod';
import { PREDICTION_WORKFLOW } from '../contract/messages.ts';
import { SEARCH_ATTRIBUTES } from '../contract/search-attributes.ts';
import { parseModelRef } from '../contract/model.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import { tenantOf } from './access.ts';
import { readCursor } from './cursor.ts';
import { listOf } from './lists.ts';
import type { PredictionReader } from './prediction-reader.ts';
import { Problem } from './problems.ts';
import { listQuerySchema, parseQuery } from './schemas.ts';

type ListQuery = z.infer<typeof listQuerySchema>;

export function predictionListRouter(dependencies: {
  readonly engine: PredictionEngine;
  readonly reader: PredictionReader;
}): Router {
  const { engine, reader } = dependencies;
  const router = Router();
  router.get('/predictions', async (request, response) => {
    const query = parseQuery(listQuerySchema, request.query);
    const token = query.cursor === undefined ? null : readCursor(query.cursor);
    const page = await engine.list(visibilityQuery(query, tenantOf(response)), query.limit, token);
    const records = await Promise.all(
      page.executions.map(async (execution) => await reader.readListed(execution)),
    );
    const seen = new Set<string>(); // a reset leaves an earlier run behind
    const data = records.filter((record) => {
      if (record === null || seen.has(record.id)) return false;
      seen.add(record.id);
      return true;
    });
    response.json(listOf(data, page.nextPageToken));
  });
  return router;
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

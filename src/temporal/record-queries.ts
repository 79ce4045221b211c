/*
 * Queries for predictions and batches in the language of Temporal's visibility store. Values reach a query as
 * quoted literals, so none of them may contain a quote: names, times and tags were checked before.
 */
import { BATCH_WORKFLOW } from '../contract/batch-messages.ts';
import { PREDICTION_WORKFLOW } from '../contract/messages.ts';
import type { ModelRef } from '../contract/model.ts';
import { SEARCH_ATTRIBUTES } from '../contract/search-attributes.ts';

const WORKFLOWS = { prediction: PREDICTION_WORKFLOW, batch: BATCH_WORKFLOW } as const;

export type RecordKind = keyof typeof WORKFLOWS;

/** What is counted: a tenant's, a model version's, or both. */
export interface RecordFilter {
  readonly kinds: readonly RecordKind[];
  readonly tenant?: string;
  readonly model?: ModelRef;
}

export type CountQuery = RecordFilter & {
  /** Only those that have not ended. */
  readonly isRunning: boolean;
  /** Only those that started before this, and not before that. */
  readonly beforeMs: number;
  readonly sinceMs?: number;
};

/** A record that has not ended is `active`, whatever it says in detail. */
type ListedStatus = 'active' | 'succeeded' | 'failed' | 'canceled' | 'aborted';

export interface ListFilter {
  readonly tenant?: string;
  /** A model; with null as its version, all versions of it. */
  readonly model?: { readonly name: string; readonly version: number | null };
  readonly tag?: string;
  readonly status?: ListedStatus;
  readonly createdAfterMs?: number;
  readonly createdBeforeMs?: number;
  /** Only those that have ended before this. */
  readonly endedBeforeMs?: number;
}

const { tenant, model, version, tags, outcome } = SEARCH_ATTRIBUTES;

export function countQuery(query: CountQuery): string {
  return clauses([
    ofKinds(query.kinds),
    equal(tenant.name, query.tenant),
    equal(model.name, query.model?.name),
    equal(version.name, query.model?.version),
    // What is to start later does not count.
    query.model && `ExecutionTime <= ${time(Date.now())}`,
    query.isRunning && "ExecutionStatus = 'Running'",
    `StartTime < ${time(query.beforeMs)}`,
    query.sinceMs !== undefined && `StartTime >= ${time(query.sinceMs)}`,
  ]);
}

export function listQuery(kind: RecordKind, filter: ListFilter): string {
  const { createdAfterMs: afterMs, createdBeforeMs: beforeMs, endedBeforeMs: endedMs } = filter;
  return clauses([
    ofKinds([kind]),
    // A batch may take several runs: the latest is the one that is listed.
    kind === 'batch' && "ExecutionStatus != 'ContinuedAsNew'",
    equal(tenant.name, filter.tenant),
    equal(model.name, filter.model?.name),
    equal(version.name, filter.model?.version ?? undefined),
    equal(tags.name, filter.tag),
    // The latest run of a batch began after it was created: whoever reads the list looks at the rows as well.
    afterMs !== undefined && `StartTime > ${time(afterMs)}`,
    beforeMs !== undefined && kind !== 'batch' && `StartTime < ${time(beforeMs)}`,
    filter.status && statusClause(filter.status),
    endedMs !== undefined && `ExecutionStatus != 'Running' AND CloseTime < ${time(endedMs)}`,
  ]);
}

const clauses = (wanted: readonly (string | false | undefined)[]): string =>
  wanted.filter((clause) => !!clause).join(' AND ');

function ofKinds(kinds: readonly RecordKind[]): string {
  const types = kinds.map((kind) => `'${WORKFLOWS[kind]}'`);
  return types.length === 1
    ? `WorkflowType = ${types[0]}`
    : `WorkflowType IN (${types.join(', ')})`;
}

const equal = (name: string, value: string | number | undefined): string | false =>
  value !== undefined && `${name} = '${value}'`;

const time = (ms: number): string => `'${new Date(ms).toISOString()}'`;

function statusClause(status: ListedStatus): string {
  switch (status) {
    case 'active':
      return "ExecutionStatus = 'Running'";
    case 'succeeded':
      return "ExecutionStatus = 'Completed'";
    case 'failed':
      return `ExecutionStatus IN ('Failed', 'Terminated', 'TimedOut') AND ${outcome.name} IS NULL`;
    case 'canceled':
      return "ExecutionStatus = 'Canceled'";
    case 'aborted':
      return `${outcome.name} = 'aborted'`;
  }
}

import type { Client } from '@temporalio/client';
import type { TimelyCall } from './timely-calls.ts';

type Executions = Awaited<
  ReturnType<Client['workflowService']['listWorkflowExecutions']>
>['executions'];

/** One page of executions that match a visibility query, in Temporal's order. */
export async function listExecutions(
  client: Client,
  timely: TimelyCall,
  query: string,
  { pageSize, token }: { readonly pageSize: number; readonly token: Uint8Array | null },
): Promise<{ executions: Executions; nextPageToken: Uint8Array | null }> {
  const { namespace } = client.options;
  const nextPage = token === null ? {} : { nextPageToken: token };
  const page = await timely(
    async () =>
      await client.workflowService.listWorkflowExecutions({
        namespace,
        query,
        pageSize,
        ...nextPage,
      }),
  );
  const isLast = (page.nextPageToken?.length ?? 0) === 0;
  return { executions: page.executions, nextPageToken: isLast ? null : page.nextPageToken };
}

import type { Client } from '@temporalio/client';

/**
 * The result of a workflow; throws what it failed with, or the reason of `signal`. (The client itself
 * does not see a signal that was aborted before its call, or between two of its polls.)
 */
export async function resultOf(client: Client, id: string, signal: AbortSignal): Promise<unknown> {
  signal.throwIfAborted();
  const aborted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  const result = client.withAbortSignal(signal, async () => {
    return (await client.workflow.getHandle(id).result()) as unknown;
  });
  return await Promise.race([result, aborted]);
}

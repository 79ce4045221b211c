import { Context } from '@temporalio/activity';
import { chunkFailure } from './failures.ts';

const HEARTBEAT_INTERVAL_MS = 1000;

/**
 * Runs the work of an activity. Meanwhile it says once a second that it lives, with what `details` tells then. What the
 * work throws becomes a failure as the activities of a batch throw it.
 */
export async function heartbeating<T>(
  details: () => unknown,
  work: (context: Context) => Promise<T>,
): Promise<T> {
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(details()), HEARTBEAT_INTERVAL_MS);
  try {
    return await work(context);
  } catch (error) {
    throw chunkFailure(error, context);
  } finally {
    clearInterval(timer);
  }
}

/*
 * Every call to Temporal has a deadline of its own: with the server down, the SDK would otherwise
 * retry for 20 seconds.
 */
import {
  type Client,
  isGrpcServiceError,
  ServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';

/** The gRPC status for something that does not exist. */
export const GRPC_NOT_FOUND = 5;
/** The gRPC status for an argument that is never valid. */
export const GRPC_INVALID_ARGUMENT = 3;
/** Invalid argument, permission denied, unimplemented. */
const GRPC_REFUSALS: readonly number[] = [GRPC_INVALID_ARGUMENT, 7, 12];
const CALL_DEADLINE_MS = 4000; // answers "the engine is down" within five seconds

/** Temporal did not answer, or not in time. */
export class EngineUnavailableError extends Error {
  override readonly name: string = 'EngineUnavailableError';
}

/** Temporal has refused the call and would refuse it again. */
class EngineRefusedError extends EngineUnavailableError {
  override readonly name = 'EngineRefusedError';
}

/** There is no such workflow, or Temporal no longer remembers it. */
export class WorkflowMissingError extends Error {
  override readonly name = 'WorkflowMissingError';
  /** The prediction's or delivery's id. */
  readonly id: string;
  constructor(id: string) {
    super(`there is no ${id}`);
    this.id = id;
  }
}

/** Runs a call; throws `EngineUnavailableError` and `WorkflowMissingError`. */
export type TimelyCall = <T>(call: () => Promise<T>, deadlineMs?: number) => Promise<T>;

export const timelyCalls =
  (client: Client): TimelyCall =>
  async (call, deadlineMs = CALL_DEADLINE_MS) => {
    const answer = client.withDeadline(Date.now() + deadlineMs, call).catch(rethrow);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      // The race is needed because the SDK sleeps between its retries beyond the deadline.
      const error = new EngineUnavailableError(`the engine did not answer within ${deadlineMs} ms`);
      timer = setTimeout(() => reject(error), deadlineMs);
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  };

function rethrow(error: unknown): never {
  if (error instanceof WorkflowNotFoundError) throw new WorkflowMissingError(error.workflowId);
  if (error instanceof WorkflowExecutionAlreadyStartedError) throw error;
  if (isGrpcServiceError(error) && GRPC_REFUSALS.includes(error.code)) {
    throw new EngineRefusedError(`the engine refused: ${error.message}`, { cause: error });
  }
  const isLate = error instanceof WorkflowUpdateRPCTimeoutOrCancelledError;
  if (isLate || error instanceof ServiceError || isGrpcServiceError(error)) {
    throw new EngineUnavailableError(`the engine did not answer: ${error.message}`, {
      cause: error,
    });
  }
  throw error;
}

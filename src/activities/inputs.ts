/* The fetchInput activity: an input that was given by URL, brought into the store like an upload. */
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { FailureCode } from '../contract/failure.ts';
import { FETCH_DEADLINE_MS, type FetchInputRequest } from '../contract/messages.ts';
import type { InputSource } from '../contract/prediction.ts';
import { type Claim, payloadKeys } from '../contract/payload.ts';
import { InvalidMediaError, mediaField, storeMedia } from '../media/media-upload.ts';
import { originOf } from '../outbound/address-policy.ts';
import type { OutboundTurns } from '../outbound/turns.ts';
import type { Logger } from '../telemetry/logger.ts';
import {
  type GuardedClient,
  type OutboundAnswer,
  OutboundError,
} from '../outbound/guarded-client.ts';
import {
  type PayloadStore,
  PayloadTooLargeError,
  StorageError,
  StorageLimitError,
} from '../storage/payload-store.ts';
import { originBusy, plainFailure, stoppedFailure } from './failures.ts';

const MAX_REDIRECTS = 3;
const HEARTBEAT_INTERVAL_MS = 1000;
/** How often a server is asked that does not answer, within 15 seconds. Then the client decides. */
const MAX_ASKED = 5;
/** After so long without a byte the request is given up, so that others get its slot. */
const MAX_SILENCE_MS = 30_000;

export interface InputDependencies {
  readonly client: GuardedClient;
  readonly store: PayloadStore;
  readonly turns: OutboundTurns;
  /** `User-Agent`. */
  readonly agent: string;
  readonly maxUploadBytes: number;
  readonly maxPixels: number;
  readonly logger: Logger;
}

export type InputActivities = ReturnType<typeof createInputActivities>;

export const createInputActivities = (dependencies: InputDependencies) => ({
  /** Answers with the claim on what it stored. */
  async fetchInput(request: FetchInputRequest): Promise<Claim> {
    const { id, tenant, field, source } = request;
    const context = Context.current();
    const { info, cancellationSignal: signal } = context;
    let asked = (info.heartbeatDetails as number | undefined) ?? 0; // by the attempts before
    const timer = setInterval(() => context.heartbeat(asked), HEARTBEAT_INTERVAL_MS);
    let endTurn = () => {};
    try {
      const origin = originOf(source.url);
      const turn = await dependencies.turns.take({ tenant, origin }, signal);
      if (turn.kind === 'busy') throw originBusy(origin, turn.retryInMs);
      endTurn = turn.end;
      context.heartbeat((asked += 1));
      const runId = info.workflowExecution?.runId ?? 'none';
      const key = payloadKeys.fetchedInput(request, field, runId, info.attempt);
      return await fetchMedia({ source, key, signal }, dependencies);
    } catch (error) {
      if (signal.aborted) throw stoppedFailure(context);
      if (error instanceof ApplicationFailure) throw error;
      dependencies.logger.debug({ err: error, prediction: id }, 'an input could not be fetched');
      throw fetchFailure(error, field, asked < MAX_ASKED);
    } finally {
      endTurn();
      clearInterval(timer);
    }
  },
});

/** Where media comes from and where it goes. */
export interface MediaFetch {
  readonly source: InputSource;
  /** Its key in the store. */
  readonly key: string;
  readonly signal: AbortSignal;
}

/** Fetches media into the store. What it throws, `fetchFailure` makes a failure of. */
export async function fetchMedia(
  { source, key, signal }: MediaFetch,
  dependencies: InputDependencies,
): Promise<Claim> {
  const headers = {
    'User-Agent': dependencies.agent,
    Accept: '*/*',
    'Accept-Encoding': 'identity',
  };
  return await dependencies.client.send(
    {
      url: source.url,
      method: 'GET',
      headers,
      deadlineMs: FETCH_DEADLINE_MS,
      maxSilenceMs: MAX_SILENCE_MS,
      maxRedirects: MAX_REDIRECTS,
      signal,
    },
    async (answer) => await storeAnswer(answer, key, source.media, dependencies),
  );
}

/** The server answered, but not with the input. */
class AnswerStatusError extends Error {
  override readonly name = 'AnswerStatusError';
  readonly status: number;
  constructor(status: number) {
    super(`its server answered ${status}`);
    this.status = status;
  }
}

async function storeAnswer(
  { status, body }: OutboundAnswer,
  key: string,
  media: string,
  { store, maxUploadBytes, maxPixels }: InputDependencies,
): Promise<Claim> {
  if (status !== 200) throw new AnswerStatusError(status);
  const limits = { maxBytes: maxUploadBytes, maxPixels };
  return await storeMedia(store, { key, body, field: mediaField(media), limits });
}

/** An unusable answer fails the input for good; a missing answer is asked for again. */
export function fetchFailure(
  error: unknown,
  field: string,
  mayAskAgain: boolean,
): ApplicationFailure {
  const failure = (code: FailureCode, message: string, isRetried = false) =>
    plainFailure(code, `${field}: ${message}`, isRetried);
  if (error instanceof InvalidMediaError) return failure('invalid_input', error.message);
  if (error instanceof PayloadTooLargeError) {
    return failure('invalid_input', `it is larger than ${error.maxBytes} bytes`);
  }
  if (error instanceof AnswerStatusError) {
    return failure('input_unavailable', error.message, mayAskAgain && isTemporary(error.status));
  }
  if (error instanceof OutboundError) {
    if (error.code === 'forbidden') return failure('invalid_input', error.message);
    const isTemporary = error.code === 'unreachable' || error.code === 'timeout';
    return failure('input_unavailable', error.message, mayAskAgain && isTemporary);
  }
  const isNoRoom = error instanceof StorageError || error instanceof StorageLimitError;
  if (isNoRoom) return failure('storage_unavailable', error.message, true);
  return failure('internal', String(error));
}

const isTemporary = (status: number): boolean =>
  status >= 500 || status === 429 || status === 408 || status === 425;

/* One durable request, from acceptance to its end. Its record's two halves lie in its memo. */
import {
  defaultFailureConverter,
  defaultPayloadConverter,
  RetryState,
  TimeoutType,
} from '@temporalio/common';
import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  setHandler,
  TimeoutFailure,
  upsertMemo,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { parseDurationMs } from '../contract/duration.ts';
import {
  type AttemptReport,
  type EarlierAttempts,
  type FailureCode,
  isFailureCode,
} from '../contract/failure.ts';
import {
  type InferRequest,
  type InferResult,
  MEMO_ATTEMPTS,
  MEMO_ENDED,
  predictionQuery,
  type PredictionRequest,
} from '../contract/messages.ts';
import { SEARCH_ATTRIBUTES } from '../contract/search-attributes.ts';
import { formatModelRef, modelRefOf } from '../contract/model.ts';
import type { Stored } from '../contract/payload.ts';
import {
  type Accepted,
  DEFAULT_PRIORITY,
  type Ended,
  predictionError,
  startsAt,
} from '../contract/prediction.ts';
import { inferOn } from './activities.ts';
import { fetchInputs } from './fetch-inputs.ts';
import { notify } from './notify.ts';
import { Terms } from './terms.ts';

const FIRST: EarlierAttempts = { attempts: 0, deaths: 0 };

/** What is known of the latest attempt: not when it began, if its worker died before it could say. */
type LatestAttempt = Pick<AttemptReport, 'attempt' | 'deaths' | 'alone'> & {
  readonly started_at: string | null;
};

export async function predictionWorkflow(request: PredictionRequest): Promise<Ended> {
  const terms = new Terms(request);
  terms.listen();
  let ended: Ended | null = null;
  setHandler(predictionQuery, () => {
    const { accepted } = terms;
    return {
      id: accepted.id,
      model: formatModelRef(modelRefOf(accepted)),
      status: ended?.status ?? 'queued',
      accepted,
      ended,
    };
  });
  ended = await run(request, terms); // succeeded, failed, canceled or aborted; never throws
  publish(ended); // readable with every worker down
  await terms.end();
  await notify(terms.accepted, ended);
  return outcomeOf(ended); // a failed prediction is a Failed workflow, a canceled one Canceled
}

/** Fetches what is given by URL, and infers. */
async function run(request: PredictionRequest, terms: Terms): Promise<Ended> {
  let fetched: Fetched;
  try {
    fetched = await fetchInputs(request);
  } catch (error) {
    return notFetched(error);
  }
  const ended = await infer(terms, fetched);
  return Object.keys(fetched).length === 0 ? ended : { ...ended, fetched };
}

type Fetched = Awaited<ReturnType<typeof fetchInputs>>;

/** Infers until there is a result, a failure that no retry can mend, or no time left. */
async function infer(terms: Terms, fetched: Fetched): Promise<Ended> {
  let latest: LatestAttempt | null = null;
  for (;;) {
    const { accepted } = terms;
    const left = terms.left();
    if (left.deadlineMs <= 0) return deadlineEnd(latest);
    if (latest === null && left.queueTtlMs <= 0) return queueEnd(accepted);
    if (latest !== null) upsertMemo({ [MEMO_ATTEMPTS]: latest.attempt }); // Temporal counts anew
    const attempt = inferOn(modelRefOf(accepted), terms.schedule({ hasStarted: latest !== null }));
    try {
      return succeeded(await attempt(inferRequest(accepted, fetched, latest)));
    } catch (error) {
      latest = latestIn(error, latest);
      if (CancellationScope.current().consideredCancelled) return canceledEnd(latest);
      const isLate = isTimeout(error, TimeoutType.SCHEDULE_TO_START);
      if ((isLate || isDeadline(error)) && !haveSameTimes(terms.accepted, accepted)) continue;
      if (!isLate) return failed(error, latest);
      // Temporal applies the time to the first start to every attempt: one that had started before
      // is scheduled again without it.
      if (latest === null && terms.left().deadlineMs > 0) return queueEnd(accepted);
    }
  }
}

/** What was late by its old terms may have time by the new ones. */
const haveSameTimes = (now: Accepted, before: Accepted): boolean =>
  now.deadline_at === before.deadline_at && now.queue_ttl === before.queue_ttl;

function inferRequest(
  accepted: Accepted,
  fetched: Fetched,
  latest: LatestAttempt | null,
): InferRequest {
  const { id, tenant, model, version, options, priority = DEFAULT_PRIORITY } = accepted;
  return {
    id,
    tenant,
    model,
    version,
    input: storedInput(accepted, fetched),
    options,
    created_at: startsAt(accepted),
    priority,
    runTimeoutMs: parseDurationMs(accepted.run_timeout) ?? 0,
    earlier: latest === null ? FIRST : earlierOf(latest),
  };
}

/** Nothing has run: a deadline that passed here aborts. */
function notFetched(error: unknown): Ended {
  return CancellationScope.current().consideredCancelled ? canceledEnd(null) : failed(error, null);
}

const storedInput = (accepted: Accepted, fetched: Fetched): Readonly<Record<string, Stored>> =>
  Object.fromEntries(
    Object.entries(accepted.input).flatMap(([field, input]) => {
      if (!('fetch' in input)) return [[field, input]];
      const claim = fetched[field];
      return claim === undefined ? [] : [[field, { claim }]];
    }),
  );

const earlierOf = ({ attempt, deaths, alone = false }: LatestAttempt): EarlierAttempts => ({
  attempts: attempt,
  deaths,
  alone,
});

const succeeded = ({ output, report, metrics }: InferResult): Ended => ({
  status: 'succeeded',
  output,
  ...end(report),
  metrics,
});

function failed(error: unknown, latest: LatestAttempt | null): Ended {
  if (isDeadline(error)) return deadlineEnd(latest);
  if (isTimeout(error, TimeoutType.START_TO_CLOSE)) {
    return failure(
      'run_timeout',
      'the attempt was given up: its worker no longer answered',
      latest,
    );
  }
  const cause = error instanceof ActivityFailure ? error.cause : error;
  const message = cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof ApplicationFailure ? (cause.type ?? '') : '';
  return failure(isFailureCode(code) ? code : 'internal', message, latest);
}

function failure(code: FailureCode, message: string, latest: LatestAttempt | null): Ended {
  const error = predictionError(code, message, latest?.attempt ?? 0);
  return { status: 'failed', error, ...end(latest) };
}

function canceledEnd(latest: LatestAttempt | null): Ended {
  return { status: 'canceled', ...end(latest) };
}

/** The deadline passed: an end of its own when nothing ever ran. */
function deadlineEnd(latest: LatestAttempt | null): Ended {
  const message = 'the deadline passed before there was a result';
  if (latest !== null) return failure('deadline_exceeded', message, latest);
  return {
    status: 'aborted',
    error: predictionError('deadline_exceeded', message, 0),
    ...end(null),
  };
}

function queueEnd(accepted: Accepted): Ended {
  const message = `no worker started it within its queue_ttl of ${accepted.queue_ttl}`;
  return { status: 'aborted', error: predictionError('queue_timeout', message, 0), ...end(null) };
}

const end = (latest: LatestAttempt | null) => ({
  attempt: latest?.attempt ?? 0,
  started_at: latest?.started_at ?? null,
  completed_at: new Date().toISOString(),
});

/** What the failed activity tells of its latest attempt, `before` if it never started one. */
function latestIn(error: unknown, before: LatestAttempt | null): LatestAttempt | null {
  if (!(error instanceof ActivityFailure)) return before;
  const { cause } = error;
  const report = reportIn(cause);
  if (report !== null) return report;
  if (!(cause instanceof TimeoutFailure) || !hasStarted(error, cause)) return before;
  const { attempt = 0, deaths = 0, alone = false } = before ?? {};
  return { attempt: attempt + 1, deaths, alone, started_at: null };
}

/**
 * Whether a worker took what timed out: the attempt that was open then, or one before it, which has
 * left its failure behind.
 */
function hasStarted({ failure }: ActivityFailure, timeout: TimeoutFailure): boolean {
  const startedEventId = Number(failure?.activityFailureInfo?.startedEventId ?? 0);
  return startedEventId > 0 || failureBehind(timeout) !== undefined;
}

/** What the latest attempt told of itself, in its failure or in its last heartbeat. */
function reportIn(cause: unknown): AttemptReport | null {
  if (cause instanceof TimeoutFailure) {
    return (
      (cause.lastHeartbeatDetails as AttemptReport | undefined) ?? reportIn(failureBehind(cause))
    );
  }
  if (cause instanceof ApplicationFailure || cause instanceof CancelledFailure) {
    return (cause.details?.[0] as AttemptReport | undefined) ?? null;
  }
  return null;
}

/** How the attempt before it failed: the SDK leaves that out of a timeout's `cause`. */
function failureBehind(timeout: TimeoutFailure): Error | undefined {
  const behind = timeout.failure?.cause ?? undefined;
  return behind && defaultFailureConverter.failureToError(behind, defaultPayloadConverter);
}

const isTimeout = (error: unknown, type: TimeoutType): boolean =>
  error instanceof ActivityFailure &&
  error.cause instanceof TimeoutFailure &&
  error.cause.timeoutType === type;

/** Every shape a passed deadline takes. */
const isDeadline = (error: unknown): boolean =>
  isTimeout(error, TimeoutType.SCHEDULE_TO_CLOSE) ||
  (error instanceof ActivityFailure && error.retryState === RetryState.TIMEOUT);

function publish(ended: Ended): void {
  upsertMemo({ [MEMO_ENDED]: ended });
  if (ended.status === 'aborted') {
    upsertSearchAttributes({ [SEARCH_ATTRIBUTES.outcome.name]: ['aborted'] });
  }
}

function outcomeOf(ended: Ended): Ended {
  switch (ended.status) {
    case 'succeeded':
      return ended;
    case 'canceled':
      throw new CancelledFailure('canceled');
    case 'failed':
    case 'aborted':
      throw ApplicationFailure.create({
        type: ended.error.code,
        message: ended.error.message,
        nonRetryable: true,
        details: [ended],
      });
  }
}

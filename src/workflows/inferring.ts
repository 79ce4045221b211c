/* The infer activity, scheduled until there is an end. */
import { TimeoutType } from '@temporalio/common';
import { CancellationScope } from '@temporalio/workflow';
import { parseDurationMs } from '../contract/duration.ts';
import type { EarlierAttempts } from '../contract/failure.ts';
import type { InferRequest } from '../contract/messages.ts';
import { modelRefOf } from '../contract/model.ts';
import type { Stored } from '../contract/payload.ts';
import { type Accepted, type Ended, startsAt } from '../contract/prediction.ts';
import { inferOn } from './activities.ts';
import { isDeadline, isTimeout, latestIn, type LatestAttempt } from './attempts.ts';
import { canceled, deadlinePassed, failed, neverStarted, succeeded } from './endings.ts';
import type { FetchedInputs } from './fetch-inputs.ts';
import type { ChangeableTerms } from './changeable-terms.ts';

const FIRST: EarlierAttempts = { attempts: 0, deaths: 0, alone: false, partial: null };

/**
 * Infers until there is a result, a failure that no retry can mend, or no time left. `reportAttempts` is told
 * of the attempts so far each time the activity is scheduled anew.
 */
export async function infer(
  terms: ChangeableTerms,
  fetched: FetchedInputs,
  reportAttempts: (attempts: number) => void,
): Promise<Ended> {
  let latest: LatestAttempt | null = null;
  for (;;) {
    const { accepted } = terms;
    const left = terms.left();
    if (left.deadlineMs <= 0) return deadlinePassed(latest);
    if (latest === null && left.queueTtlMs <= 0) return neverStarted(accepted);
    if (latest !== null) reportAttempts(latest.attempt); // Temporal counts attempts from 1 again
    const attempt = inferOn(modelRefOf(accepted), terms.schedule({ hasStarted: latest !== null }));
    try {
      return succeeded(await attempt(inferRequest(accepted, fetched, latest)));
    } catch (error) {
      latest = latestIn(error, latest);
      if (CancellationScope.current().consideredCancelled) return canceled(latest);
      const isLate = isTimeout(error, TimeoutType.SCHEDULE_TO_START);
      if ((isLate || isDeadline(error)) && !haveSameTimes(terms.accepted, accepted)) continue;
      if (!isLate) return failed(error, latest);
      // Temporal applies schedule-to-start to every attempt. When one had started before, infer is
      // scheduled again without it.
      if (latest === null && terms.left().deadlineMs > 0) return neverStarted(accepted);
    }
  }
}

/** A prediction that was late by its old terms may have time left by the new ones. */
const haveSameTimes = (now: Accepted, before: Accepted): boolean =>
  now.deadline_at === before.deadline_at && now.queue_ttl === before.queue_ttl;

function inferRequest(
  accepted: Accepted,
  fetched: FetchedInputs,
  latest: LatestAttempt | null,
): InferRequest {
  const { id, tenant, model, version, options, secrets, priority } = accepted;
  return {
    id,
    tenant,
    model,
    version,
    input: storedInput(accepted, fetched),
    options,
    ...(secrets === undefined ? {} : { secrets }),
    created_at: startsAt(accepted),
    priority,
    runTimeoutMs: parseDurationMs(accepted.run_timeout) ?? 0,
    earlier: latest === null ? FIRST : earlierOf(latest),
  };
}

const storedInput = (
  accepted: Accepted,
  fetched: FetchedInputs,
): Readonly<Record<string, Stored>> =>
  Object.fromEntries(
    Object.entries(accepted.input).flatMap(([field, input]) => {
      if (input.kind !== 'url') return [[field, input]];
      const claim = fetched[field];
      return claim === undefined ? [] : [[field, { kind: 'claim', claim }]];
    }),
  );

const earlierOf = ({ attempt, deaths, alone, partial }: LatestAttempt): EarlierAttempts => ({
  attempts: attempt,
  deaths,
  alone,
  partial,
});

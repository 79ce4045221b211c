/* The infer activity: load the input, run the model, heartbeat, store the output. */
import { type ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { type AttemptReport, type FailureCode, POISON_DEATHS } from '../contract/failure.ts';
import type { InferRequest, InferResult } from '../contract/messages.ts';
import { type ModelRef, modelRefOf } from '../contract/model.ts';
import type { Metrics } from '../contract/prediction.ts';
import {
  type Claim,
  type Json,
  JSON_MEDIA_TYPE,
  payloadKeys,
  type Stored,
} from '../contract/payload.ts';
import type { FieldValue } from '../runtime/protocol.ts';
import {
  type Inference,
  ModelCrashedError,
  type ModelRuntime,
  OutOfMemoryError,
} from '../runtime/runtime.ts';
import type { SecretBox } from '../secrets/secret-box.ts';
import { openOptions } from '../secrets/secret-options.ts';
import { readClaim } from '../storage/claims.ts';
import { LARGE_BYTES } from '../storage/local-file.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { Attempt } from './attempt.ts';
import { applicationFailure, detailsOf, toApplicationFailure, wasShared } from './failures.ts';
import type { InputBudget } from './input-budget.ts';
import { ReadInputs } from './media-input.ts';

/** Records the attempts in flight, so that another worker can report them when this one dies. */
export interface InFlightAttempts {
  /** Returns what to call when the attempt has ended. */
  enter(taskToken: Uint8Array, predictionId: string): Promise<() => Promise<void>>;
}

/** A folder of this worker alone, which another worker removes when this one dies. */
export interface OwnFolder {
  readonly folder: string;
}

export interface InferenceDependencies {
  readonly runtime: ModelRuntime;
  readonly store: PayloadStore;
  readonly inFlight: InFlightAttempts;
  /** This worker's identity, for records and people. */
  readonly worker: string;
  /** Outputs up to this many bytes of JSON travel in the history, larger ones in the store. */
  readonly engineInlineLimit: number;
  /** How much of its inputs the worker may hold. */
  readonly inputBudget: InputBudget;
  /** Where large inputs lie while they are needed, when the store is far away. */
  readonly spoolFolder: string;
  /** Opens what nobody else may see. */
  readonly openBox: () => Promise<SecretBox>;
  /** Told how each attempt has ended. */
  readonly onEnded: (model: ModelRef, outcome: AttemptOutcome) => void;
  /** Told how long after its acceptance the first part of a prediction's work was done. */
  readonly onFirstPart: (model: ModelRef, ms: number) => void;
}

/** How an attempt ended: well, or with the code of its failure. */
export type AttemptOutcome = 'succeeded' | 'canceled' | FailureCode;

export type InferenceActivities = ReturnType<typeof createInferenceActivities>;

export const createInferenceActivities = (dependencies: InferenceDependencies) => ({
  async infer(request: InferRequest): Promise<InferResult> {
    const leave = await dependencies.inFlight.enter(Context.current().info.taskToken, request.id);
    const model = modelRefOf(request);
    const attempt = new Attempt(request, dependencies);
    try {
      const result = await inferAndStore(request, attempt, dependencies);
      dependencies.onEnded(model, 'succeeded');
      return result;
    } catch (error) {
      const failure = await failureOf(error, attempt);
      const isCanceled = failure instanceof CancelledFailure;
      dependencies.onEnded(model, isCanceled ? 'canceled' : (failure.type as FailureCode));
      throw failure;
    } finally {
      await attempt.stop();
      await leave();
    }
  },
});

async function inferAndStore(
  request: InferRequest,
  attempt: Attempt,
  dependencies: InferenceDependencies,
): Promise<InferResult> {
  const { runtime, store, engineInlineLimit, worker, inputBudget, spoolFolder } = dependencies;
  const { info, cancellationSignal: signal } = Context.current();
  const giveBack = await inputBudget.take(storedBytes(request.input), signal);
  const inputs = new ReadInputs(store, spoolFolder);
  let inference: Inference;
  try {
    const work = await attempt.openWork();
    inference = await runtime.infer(modelRefOf(request), {
      input: await loadInput(request, { store, runtime }, inputs),
      options: await openedOptions(request, dependencies),
      priority: request.priority,
      isAlone: attempt.report.alone,
      runTimeoutMs: request.runTimeoutMs,
      signal,
      before: work.all,
      onProgress: (progress) => attempt.update({ progress }),
      onPart: (part) => attempt.add(part),
    });
  } finally {
    await inputs.release();
    giveBack();
  }
  const runId = info.workflowExecution?.runId ?? 'none';
  const key = payloadKeys.output(request, runId, attempt.report.attempt);
  const { output: bytes, mediaType, files } = inference;
  const images: Claim[] = [];
  for (const [index, file] of files.entries()) {
    const at = payloadKeys.outputImage(request, runId, attempt.report.attempt, index);
    images.push(await store.put(at, file.bytes, { mediaType: file.mediaType }));
  }
  // What tells of images says nothing but a seed and their sizes, and gets their facts where it is shown.
  const isSmall = bytes.length <= engineInlineLimit || images.length > 0;
  const output: Stored =
    mediaType === JSON_MEDIA_TYPE && isSmall
      ? { kind: 'inline', value: JSON.parse(Buffer.from(bytes).toString('utf8')) as Json }
      : { kind: 'claim', claim: await store.put(key, bytes, { mediaType }) };
  return {
    output,
    ...(images.length === 0 ? {} : { images }),
    report: { ...attempt.report, progress: null },
    metrics: { ...timesOf(request, attempt.report, inference), worker, tokens: inference.tokens },
    ...sinceOf(attempt),
  };
}

const sinceOf = ({ since }: Attempt) => (since === null || since === 1 ? {} : { since });

/** How long each part of a prediction took; the parts add up to `total_ms`. */
function timesOf(
  { created_at: createdAt }: InferRequest,
  { started_at: startedAt }: AttemptReport,
  { loadMs, inferenceMs, batchSize, device }: Inference,
): Omit<Metrics, 'worker' | 'tokens'> {
  const startedAtMs = Date.parse(startedAt);
  const queueMs = Math.max(0, startedAtMs - Date.parse(createdAt)); // the clock of another machine may be ahead
  const inWorkerMs = Date.now() - startedAtMs;
  const waitMs = Math.max(0, inWorkerMs - (loadMs ?? 0) - inferenceMs);
  return {
    queue_ms: queueMs,
    load_ms: loadMs,
    wait_ms: Math.round(waitMs * 1000) / 1000,
    inference_ms: inferenceMs,
    total_ms: queueMs + inWorkerMs,
    batch_size: batchSize,
    device,
  };
}

/** The options with those that lie in the store. */
async function openedOptions(
  { tenant, options, secrets }: InferRequest,
  { store, openBox }: Pick<InferenceDependencies, 'store' | 'openBox'>,
): Promise<InferRequest['options']> {
  if (secrets === undefined) return options;
  const sealed = await readClaim(store, secrets);
  return { ...options, ...openOptions(await openBox(), tenant, sealed) };
}

const storedBytes = (input: InferRequest['input']): number =>
  Object.values(input).reduce(
    (sum, stored) => sum + (stored.kind === 'claim' ? heldBytes(stored.claim) : 0),
    0,
  );

/** Larger media is not held in memory. */
const heldBytes = ({ bytes, media_type }: Claim): number =>
  media_type === JSON_MEDIA_TYPE || bytes <= LARGE_BYTES ? bytes : 0;

async function loadInput(
  { input, model, version }: InferRequest,
  { store, runtime }: Pick<InferenceDependencies, 'store' | 'runtime'>,
  inputs: ReadInputs,
): Promise<Record<string, FieldValue>> {
  const media = runtime.factsOf({ name: model, version })?.version.schema.media ?? {};
  const fields = Object.entries(input).map(async ([field, stored]) => {
    if (stored.kind === 'inline') return [field, { kind: 'value', value: stored.value }] as const;
    const { claim } = stored;
    if (Object.hasOwn(media, field)) return [field, await inputs.media(claim)] as const;
    const kind = claim.media_type === JSON_MEDIA_TYPE ? 'json' : 'media';
    return [field, { kind, bytes: await readClaim(store, claim) }] as const;
  });
  return Object.fromEntries(await Promise.all(fields));
}

async function failureOf(
  error: unknown,
  attempt: Attempt,
): Promise<ApplicationFailure | CancelledFailure> {
  await attempt.settle();
  const { cancellationSignal, cancellationDetails } = Context.current();
  if (cancellationSignal.aborted) {
    if (cancellationDetails?.workerShutdown === true) {
      const message = 'its worker was shut down before the run was done';
      return applicationFailure('worker_lost', message, attempt);
    }
    return new CancelledFailure('canceled', detailsOf(attempt));
  }
  if (wasShared(error)) {
    attempt.update({ alone: true }); // the heartbeat carries it to the next attempt
    return toApplicationFailure(error, attempt);
  }
  if (error instanceof OutOfMemoryError && attempt.hasProgressed) {
    // The next attempt begins with what took the memory, and knows that it was begun before.
    return toApplicationFailure(error, attempt, { isRetried: true });
  }
  if (!(error instanceof ModelCrashedError)) return toApplicationFailure(error, attempt);
  const deaths = attempt.hasProgressed ? 1 : attempt.report.deaths + 1;
  attempt.update({ deaths });
  if (deaths < POISON_DEATHS) return toApplicationFailure(error, attempt);
  const message = `${error.message}, as ${deaths - 1} others did of this input; it is not tried again`;
  return applicationFailure('poison_input', message, attempt);
}

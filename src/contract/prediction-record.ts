/*
 * The record of a prediction from its two halves. What is the same whoever asks: a GET reads its
 * output from the store first, a webhook sends what is there.
 */
import { parseDurationMs } from './duration.ts';
import { factsOfClaim, withImageFacts } from './output-images.ts';
import type { Claim, Json, Stored } from './payload.ts';
import {
  type Accepted,
  type AcceptedInput,
  type Ended,
  type InputReference,
  type Metrics,
  type PartialOutput,
  type PartialText,
  type Prediction,
  type PredictionError,
  type RecordBase,
} from './prediction.ts';
import { type AcceptedRequest, requestMembers } from './accepted-request.ts';
import { isText, textOf, type WorkSoFar } from './work.ts';

export interface RecordSettings {
  /** Where clients reach the API; no slash at its end. */
  readonly publicUrl: string;
}

/** The output in a record: its value, or its URL. */
export interface OutputMembers {
  readonly output: Json;
  readonly output_url: string | null;
}

/** What a record shows of some work without reading the store; `url` is where the record is read. */
export function unreadPartial(work: WorkSoFar | null, url: string): PartialOutput | null {
  if (work === null) return null;
  const { attempt, pages, preview } = work;
  if (pages !== undefined) return { attempt, pages_done: pages, url: `${url}/partial_output` };
  if (preview !== undefined) return { attempt, ...preview, url: `${url}/partial_output` };
  return isText(work) ? unreadText(work) : null;
}

/** The end of a text that is being written. */
export const unreadText = ({ attempt, offset, tail }: WorkSoFar): PartialText => ({
  attempt,
  offset,
  text: textOf(tail),
});

/** What was done of a prediction that ended without a result; null: nothing. */
export const partialOf = (ended: Ended): WorkSoFar | null =>
  ended.status === 'succeeded' ? null : (ended.partial ?? null);

export const predictionUrl = (publicUrl: string, id: string): string =>
  `${publicUrl}/v1/predictions/${id}`;

/** The members that a prediction has whatever its status. */
export function recordBase(
  accepted: Accepted,
  ended: Ended | null,
  publicUrl: string,
): Omit<RecordBase, 'attempt' | 'started_at' | 'partial_output'> {
  const url = predictionUrl(publicUrl, accepted.id);
  const { id, model, version, ...others } = requestMembers(accepted, url);
  return {
    id,
    object: 'prediction',
    model,
    version,
    input: Object.fromEntries(
      Object.entries(accepted.input).map(([field, input]) => [
        field,
        inputMember(input, ended?.fetched?.[field], `${url}/input/${field}`),
      ]),
    ),
    ...others,
  };
}

function inputMember(
  input: AcceptedInput,
  fetched: Claim | undefined,
  url: string,
): Json | InputReference {
  switch (input.kind) {
    case 'inline':
      return input.value;
    case 'claim': {
      const { bytes, sha256, media_type } = input.claim;
      return { url, bytes, sha256, media_type };
    }
    case 'url':
      return {
        url,
        bytes: fetched?.bytes ?? null,
        sha256: fetched?.sha256 ?? null,
        media_type: fetched?.media_type ?? null,
        source_url: input.source.url,
      };
  }
}

/** The record of a prediction that has ended. */
export function finalRecord(
  accepted: Accepted,
  ended: Ended,
  output: OutputMembers,
  settings: RecordSettings,
  partial: PartialOutput | null = unreadPartial(
    partialOf(ended),
    predictionUrl(settings.publicUrl, accepted.id),
  ),
): Prediction {
  const base = {
    ...recordBase(accepted, ended, settings.publicUrl),
    attempt: ended.attempt,
    started_at: ended.started_at,
    completed_at: ended.completed_at,
    expires_at: new Date(expiresAtMs(accepted, ended)).toISOString(),
    progress: null,
    queue: null,
    partial_output: partial,
  };
  switch (ended.status) {
    case 'succeeded':
      return { ...base, status: ended.status, ...output, error: null, metrics: metricsOf(ended) };
    case 'failed':
    case 'aborted':
      return { ...base, status: ended.status, ...NO_OUTPUT, error: errorOf(ended) };
    case 'canceled':
      return { ...base, status: ended.status, ...NO_OUTPUT, error: null };
  }
}

// Memos of earlier releases lack these members.
const metricsOf = ({ metrics }: Extract<Ended, { status: 'succeeded' }>) => ({
  ...metrics,
  tokens: (metrics as Partial<Metrics>).tokens ?? null,
});
const errorOf = ({ error }: Extract<Ended, { status: 'failed' | 'aborted' }>) => ({
  ...error,
  reason: (error as Partial<PredictionError>).reason ?? null,
});

const NO_OUTPUT = { output: null, output_url: null, metrics: null } as const;

/** The output as clients see it: with the facts of its images. */
export function shownOutput(
  { output, images = [] }: Extract<Ended, { status: 'succeeded' }>,
  outputUrl: string,
): Stored {
  if (output.kind === 'claim' || images.length === 0) return output;
  const facts = images.map((claim, index) => factsOfClaim(claim, index, outputUrl));
  return { kind: 'inline', value: withImageFacts(output.value, facts) };
}

export const outputUrl = (publicUrl: string, id: string): string =>
  `${predictionUrl(publicUrl, id)}/output`;

/** The output as far as the memo holds it, without reading the store. */
export function unreadOutput({ id }: Accepted, ended: Ended, publicUrl: string): OutputMembers {
  const url = outputUrl(publicUrl, id);
  if (ended.status === 'succeeded' && ended.output.kind === 'inline') {
    const shown = shownOutput(ended, url);
    if (shown.kind === 'inline') return { output: shown.value, output_url: null };
  }
  return { output: null, output_url: ended.status === 'succeeded' ? url : null };
}

/** How long a prediction is kept after its end. */
export const resultTtlMsOf = ({ result_ttl: ttl }: Pick<AcceptedRequest, 'result_ttl'>): number =>
  parseDurationMs(ttl) ?? 0;

export const expiresAtMs = (
  accepted: Pick<AcceptedRequest, 'result_ttl'>,
  ended: Pick<Ended, 'completed_at'>,
): number => Date.parse(ended.completed_at) + resultTtlMsOf(accepted);

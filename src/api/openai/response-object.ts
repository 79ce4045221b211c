/* A prediction as a response of OpenAI: https://platform.openai.com/docs/api-reference/responses/object */
import { PREDICTION_ID } from '../../contract/ids.ts';
import type { Accepted, Ended, Prediction } from '../../contract/prediction.ts';
import { Problem } from '../http/problems.ts';
import { tierOf } from './orders.ts';
import { secondsOf, tokensOf } from './generated.ts';

/** What the request for a response said that its record repeats. */
export interface AskedResponse {
  readonly background: boolean;
  /** Whether the first message was `instructions`. */
  readonly hasInstructions: boolean;
  /** Null: none was asked for. */
  readonly maxOutputTokens: number | null;
}

const responseId = (predictionId: string): string => predictionId.replace('pred_', 'resp_');
export const messageId = (predictionId: string): string => predictionId.replace('pred_', 'msg_');

/** The prediction that a response is; throws a problem when it is no id of a response. */
export function predictionIdOf(id: string): string {
  const predictionId = id.replace(/^resp_/, 'pred_');
  if (id.startsWith('resp_') && PREDICTION_ID.test(predictionId)) return predictionId;
  throw new Problem('not_found', `there is no response ${id.slice(0, 100)}`, {
    members: { param: 'response_id' },
  });
}

/** What is asked about a response: its prediction as it is now. */
export interface ResponseState {
  readonly accepted: Accepted;
  /** Null: it has not ended. */
  readonly ended: Ended | null;
  /** While it has not ended. */
  readonly status?: Prediction['status'];
  /** The output, or the text so far; null: there is none, or its beginning cannot be shown. */
  readonly text: string | null;
  readonly instructions: string | null;
  /** Why its text has ended, when it has succeeded. */
  readonly finish?: 'stop' | 'length';
}

export function responseObject(state: ResponseState) {
  const { accepted, ended, text, instructions } = state;
  const { options } = accepted;
  const asked = accepted.asked as Partial<AskedResponse> | undefined;
  const status = statusOf(state);
  return {
    id: responseId(accepted.id),
    object: 'response',
    created_at: secondsOf(accepted.created_at),
    completed_at: ended?.status === 'succeeded' ? secondsOf(ended.completed_at) : null,
    status,
    background: asked?.background ?? false,
    error: errorOf(ended),
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions,
    max_output_tokens: asked?.maxOutputTokens ?? null,
    model: accepted.model,
    output: text === null ? [] : [messageOf(accepted.id, text, status)],
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    service_tier: tierOf(accepted.priority),
    store: true,
    temperature: options['temperature'] ?? null,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: [],
    top_p: options['top_p'] ?? null,
    truncation: 'disabled',
    usage: ended?.status === 'succeeded' ? usageOf(ended) : null,
    user: null,
    metadata: accepted.metadata,
  };
}

function statusOf({ ended, status, finish }: ResponseState): string {
  switch (ended?.status) {
    case undefined:
      return status === 'queued' ? 'queued' : 'in_progress';
    case 'succeeded':
      return finish === 'length' ? 'incomplete' : 'completed';
    case 'canceled':
      return 'cancelled';
    default:
      return 'failed';
  }
}

function errorOf(ended: Ended | null) {
  if (ended?.status !== 'failed' && ended?.status !== 'aborted') return null;
  const { code, message, reason } = ended.error;
  return {
    code: reason ?? (code === 'invalid_input' ? 'invalid_prompt' : 'server_error'),
    message,
  };
}

/** The message of a response, whole or so far. */
export const messageOf = (predictionId: string, text: string, status: string) => ({
  id: messageId(predictionId),
  type: 'message',
  status: itemStatus(status),
  role: 'assistant',
  content: [partOf(text)],
});

/** An item knows fewer states than its response. */
function itemStatus(status: string): string {
  if (status === 'queued') return 'in_progress';
  return status === 'in_progress' || status === 'completed' ? status : 'incomplete';
}

export const partOf = (text: string) => ({
  type: 'output_text',
  text,
  annotations: [],
  logprobs: [],
});

function usageOf({ metrics }: Extract<Ended, { status: 'succeeded' }>) {
  const { prompt, completion } = tokensOf(metrics);
  return {
    input_tokens: prompt,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: completion,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: prompt + completion,
  };
}

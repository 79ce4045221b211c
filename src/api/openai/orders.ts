/* What is asked for in OpenAI's dialect, as an order of ours. */
import type { Request, Response } from 'express';
import type { z } from 'zod';
import type { Json } from '../../contract/payload.ts';
import { DEFAULT_PRIORITY } from '../../contract/prediction.ts';
import { Refusal } from '../../contract/refusal.ts';
import type { ModelVersion } from '../../models/repository.ts';
import { MAX_NEW_TOKENS, taskOf } from '../../pipelines/index.ts';
import type { Acceptance, AcceptedOrder } from '../../submission/acceptance.ts';
import { jsonInputs } from '../../submission/order.ts';
import { INPUT, type IsLarge, parseBody } from '../../submission/parse.ts';
import { modelRequestSchema } from '../../submission/request-schema.ts';
import { type AnswerDependencies, submit } from '../http/answer-accepted.ts';
import { orderHead } from '../http/order-head.ts';
import { requireJson } from '../http/requests.ts';
import type { ChatRequest, ServiceTier } from './schemas.ts';

/** An order without its head. */
export interface Asked {
  readonly input: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly request: {
    readonly metadata?: Readonly<Record<string, string>> | undefined;
    readonly service_tier?: ServiceTier | undefined;
  };
  /** What its record here repeats. */
  readonly asked?: Readonly<Record<string, Json>>;
}

/** The tiers that wait longer, or not so long. */
const PRIORITIES: Readonly<Partial<Record<ServiceTier, number>>> = { flex: 5, priority: 1 };

/** The tier of a prediction, by its priority. */
export const tierOf = (priority: number): string =>
  Object.entries(PRIORITIES).find(([, each]) => each === priority)?.[0] ?? 'default';

/** The body of a request; refuses what is not as the schema says. `isLarge` says where the model measures it. */
export function bodyAs<T>(schema: z.ZodType<T>, request: Request, isLarge?: IsLarge): T {
  requireJson(request);
  return parseBody(schema, withoutNulls(request.body), [], isLarge);
}

/** Members that are null mean the same as absent ones, as deep as any member of ours lies. */
const NULLS_WITHIN = 5;
const MAX_ITEMS = 1000;

/** A value without the members that are null. */
export function withoutNulls(value: unknown, levels = NULLS_WITHIN): unknown {
  if (typeof value !== 'object' || value === null || levels === 0) return value;
  if (Array.isArray(value)) {
    const isLong = value.length > MAX_ITEMS; // of numbers, or of too many messages
    return isLong ? value : value.map((each) => withoutNulls(each, levels - 1));
  }
  const members = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(
    members.map(([name, member]) => [name, withoutNulls(member, levels - 1)]),
  );
}

/** The version that is meant; refuses one that does another task. */
export function versionFor(acceptance: Acceptance, model: string, task: string): ModelVersion {
  const version = acceptance.resolve(model);
  if (taskOf(version.manifest) === task) return version;
  throw new Refusal(
    'invalid_input',
    `${model} does no ${task}: GET /v1/models says what each model does`,
    {
      members: { param: 'model' },
    },
  );
}

/** For a key without the scope `read`. */
export const READER_ADVICE = 'this needs the scope read too';

export interface OrderDependencies extends AnswerDependencies {
  readonly acceptance: Acceptance;
}

/** Has a prediction accepted. Whatever is answered from now on, a client must not send its request again. */
export async function order(
  request: Request,
  response: Response,
  version: ModelVersion,
  { input, options, request: given, asked }: Asked,
  dependencies: OrderDependencies,
): Promise<AcceptedOrder> {
  const body = {
    input,
    options: defined(options),
    metadata: given.metadata ?? {},
    priority: PRIORITIES[given.service_tier ?? 'auto'] ?? DEFAULT_PRIORITY,
  };
  const { input: parsed, ...terms } = parseBody(modelRequestSchema, body, [], INPUT);
  const head = orderHead(request, response, version);
  const inputs = jsonInputs(version, parsed);
  const more = asked === undefined ? {} : { asked };
  try {
    return await submit(response, dependencies, async () => {
      const asSent: unknown = request.body;
      return await dependencies.acceptance.accept({ ...head, inputs, terms, asSent, ...more });
    });
  } catch (error) {
    // It may have been accepted although nobody has said so.
    const isDoubtful = error instanceof Refusal && error.options.members?.['prediction_id'];
    if (isDoubtful) forbidRetry(response);
    throw error;
  } finally {
    if (response.hasHeader('Location')) forbidRetry(response);
  }
}

/** OpenAI's clients send a request again when the answer is 408, 409, 429 or 5xx, unless it says so. */
const forbidRetry = (response: Response): void => {
  response.setHeader('X-Should-Retry', 'false');
};

type Knobs = Pick<
  ChatRequest,
  'temperature' | 'top_p' | 'top_k' | 'repetition_penalty' | 'seed' | 'stop'
>;

/** The options of a text generation; `maxTokens` undefined: as many as the context has room for. */
export function optionsFor(knobs: Knobs, maxTokens: number | undefined): Asked['options'] {
  const { temperature, top_p: topP, top_k: topK, repetition_penalty: penalty, seed } = knobs;
  return {
    max_new_tokens: maxTokens ?? MAX_NEW_TOKENS,
    temperature: topP === 0 ? 0 : temperature, // a share of nothing is the most probable token
    top_p: topP === 0 ? undefined : topP,
    top_k: topK,
    repetition_penalty: penalty,
    seed: seed === undefined ? undefined : Math.abs(seed),
  };
}

/** The member of an input that ends a text; empty when nothing does. */
export const stopOf = ({ stop }: Knobs): object =>
  stop === undefined ? {} : { stop: [stop].flat() };

const defined = (members: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));

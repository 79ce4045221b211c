/*
 * The lines of a batch in OpenAI's dialect, as lines of ours:
 * https://platform.openai.com/docs/api-reference/batch/request-input. What is wrong with a line as a line refuses the
 * batch; what is wrong with the request in it fails that request.
 */
import { z } from 'zod';
import type { OpenAiBatch } from '../../contract/batch.ts';
import { jsonFault } from '../../contract/json-fault.ts';
import { messageOf } from '../../contract/failure.ts';
import { invalidAt, Refusal } from '../../contract/refusal.ts';
import { type LineSource, linesIn } from '../../submission/lines.ts';
import { parseBody } from '../../submission/parse.ts';
import { type Asked, withoutNulls } from './orders.ts';
import { chatAsked, completionAsked, embeddingsAsked } from './requests.ts';
import { chatSchema, completionSchema, embeddingsSchema } from './schemas.ts';

const lineSchema = z.strictObject({
  custom_id: z.string(),
  method: z.literal('POST', 'must be POST'),
  url: z.string(),
  body: z.looseObject({ model: z.string('must name the model') }),
});

const isLargeInput = ([first]: readonly string[]) => first === 'input';

function askedIn(endpoint: OpenAiBatch['endpoint'], body: unknown): Asked {
  const given = withoutNulls(body);
  switch (endpoint) {
    case '/v1/chat/completions':
      return chatAsked(parseBody(chatSchema, given));
    case '/v1/completions':
      return completionAsked(parseBody(completionSchema, given));
    case '/v1/embeddings': {
      const parsed = parseBody(embeddingsSchema, given, [], isLargeInput);
      if (parsed.encoding_format !== 'base64') return embeddingsAsked(parsed);
      throw invalidAt('/encoding_format', 'must be float in a batch');
    }
  }
}

/** The model that the first line names; all others must name the same. */
export async function modelIn(lines: LineSource, maxLineBytes: number): Promise<string> {
  for await (const { number, line } of linesIn(lines, maxLineBytes)) {
    return parseLine(line, number).body.model;
  }
  throw invalidAt('/input_file_id', 'the file is empty: it must have a request in each line');
}

/** Our lines, in pieces. Refuses what is no batch. */
export async function* translated(
  lines: LineSource,
  { endpoint, model }: { readonly endpoint: OpenAiBatch['endpoint']; readonly model: string },
  maxLineBytes: number,
): AsyncGenerator<Uint8Array> {
  for await (const { number, line } of linesIn(lines, maxLineBytes)) {
    const { custom_id, url, body } = parseLine(line, number);
    if (url !== endpoint) throw atLine(number, `url must be ${endpoint}, as the batch says`);
    if (body.model !== model) {
      throw atLine(number, `model must be ${model}, as in the first line: a batch has one model`);
    }
    yield Buffer.from(`${JSON.stringify({ custom_id, ...itemOf(endpoint, body) })}\n`);
  }
}

function itemOf(endpoint: OpenAiBatch['endpoint'], body: unknown): object {
  try {
    const { input, options } = askedIn(endpoint, body);
    return { input, options };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { refused: error.message };
  }
}

function parseLine(line: Buffer, number: number): z.infer<typeof lineSchema> {
  try {
    const isLarge = ([first]: readonly string[]) => first === 'body';
    return parseBody(lineSchema, JSON.parse(line.toString('utf8')), [], isLarge);
  } catch (error) {
    throw atLine(
      number,
      error instanceof SyntaxError ? `is not JSON: ${jsonFault(error)}` : messageOf(error),
    );
  }
}

const atLine = (number: number, detail: string): Refusal =>
  new Refusal('invalid_input', `line ${number}: ${detail}`, {
    members: { param: 'input_file_id' },
  });

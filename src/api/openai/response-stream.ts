/* A response as server-sent events, from its beginning or from anywhere. */
import type { Response } from 'express';
import type { Accepted, Ended } from '../../contract/prediction.ts';
import { partialOf } from '../../contract/prediction-record.ts';
import { endOf } from '../../contract/work.ts';
import { EventStream } from '../http/event-stream.ts';
import { messageId, messageOf, partOf, responseObject } from './response-object.ts';
import { endedResponse, instructionsOf } from './response-reading.ts';
import { failStream } from './stream-error.ts';
import { textEvents } from './text-events.ts';
import type { TextDependencies } from './texts.ts';

/**
 * The sequence numbers of the events. That of a piece of text says where it ends: so a stream can be gone on with
 * anywhere, and nothing needs to be kept for it.
 */
const NUMBERS = { created: 0, in_progress: 1, item_added: 2, part_added: 3 } as const;

/** Sends the events of a response behind the sequence number `after`; -1: all of them. */
export async function streamResponse(
  response: Response,
  accepted: Accepted,
  after: number,
  dependencies: TextDependencies,
): Promise<void> {
  const stream = new EventStream(response);
  try {
    const instructions = await instructionsOf(accepted, response, dependencies);
    const events = new ResponseEvents(stream, accepted, instructions, after);
    events.created();
    const offset = Math.max(0, after - NUMBERS.part_added);
    for await (const event of textEvents(response, accepted, offset, dependencies)) {
      if (event.type === 'started') events.started();
      else if (event.type === 'piece') events.piece(event.text, event.end);
      else {
        const { ended, output } = event;
        const state = { accepted, ended, output, instructions };
        events.ended(ended, await endedResponse(state, response, dependencies));
      }
      await stream.drained();
    }
    stream.end();
  } catch (error) {
    failStream(stream, error, dependencies.logger);
  }
}

/** Sends the events of one response, as far as its client has not had them. */
class ResponseEvents {
  readonly #stream: EventStream;
  readonly #accepted: Accepted;
  readonly #instructions: string | null;
  readonly #after: number;
  readonly #at: object;
  #hasItem = false;

  constructor(stream: EventStream, accepted: Accepted, instructions: string | null, after: number) {
    this.#stream = stream;
    this.#accepted = accepted;
    this.#instructions = instructions;
    this.#after = after;
    this.#at = { item_id: messageId(accepted.id), output_index: 0, content_index: 0 };
  }

  created(): void {
    this.#send('created', NUMBERS.created, { response: this.#running('queued') });
  }

  started(): void {
    this.#send('in_progress', NUMBERS.in_progress, { response: this.#running('processing') });
  }

  piece(delta: string, end: number): void {
    this.#beginItem();
    const members = { ...this.#at, delta, logprobs: [] };
    this.#send('output_text.delta', NUMBERS.part_added + end, members);
  }

  ended(ended: Ended, object: ReturnType<typeof responseObject>): void {
    const [item] = object.output;
    const text = item?.content[0]?.text ?? '';
    const work = partialOf(ended);
    const length = work === null ? text.length : endOf(work); // its beginning may be lost
    const last = NUMBERS.part_added + length;
    if (ended.status === 'succeeded' && item !== undefined) {
      this.#beginItem();
      this.#send('output_text.done', last + 1, { ...this.#at, text, logprobs: [] });
      this.#send('content_part.done', last + 2, { ...this.#at, part: partOf(text) });
      this.#send('output_item.done', last + 3, { output_index: 0, item });
    }
    this.#send(lastType(object.status), last + 4, { response: object });
  }

  #beginItem(): void {
    if (this.#hasItem) return;
    this.#hasItem = true;
    const item = { ...messageOf(this.#accepted.id, '', 'in_progress'), content: [] };
    this.#send('output_item.added', NUMBERS.item_added, { output_index: 0, item });
    const part = partOf('');
    this.#send('content_part.added', NUMBERS.part_added, { ...this.#at, part });
  }

  #running(status: 'queued' | 'processing') {
    const [accepted, instructions] = [this.#accepted, this.#instructions];
    return responseObject({ accepted, ended: null, status, text: null, instructions });
  }

  #send(name: string, number: number, members: object): void {
    if (number <= this.#after) return;
    const type = `response.${name}`;
    this.#stream.send({ type, sequence_number: number, ...members }, { event: type });
  }
}

/** The last event of a response; OpenAI has none for one that was canceled. */
function lastType(status: string): string {
  if (status === 'completed' || status === 'failed') return status;
  return 'incomplete';
}

/* The pieces of a text that somebody who follows it has yet to see. */
import type { Json } from '../contract/payload.ts';
import type { Ended } from '../contract/prediction.ts';
import { endOf, textOf, type WorkSoFar } from '../contract/work.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Observation, OutputRoom } from './prediction-reader.ts';
import { readJson, readText } from './read-json.ts';

/** Up to where a text was seen. */
export interface TextPosition {
  /** The attempt that told it. */
  readonly attempt: number;
  /** In UTF-16 code units. */
  readonly offset: number;
}

export interface TextPiece {
  readonly attempt: number;
  /** Where the piece begins. */
  readonly offset: number;
  readonly text: string;
  /** The text has begun anew: what was seen before is not part of it. */
  readonly reset: boolean;
}

export interface TextPiecesOptions {
  readonly store: PayloadStore;
  /** The text in an output of the model. */
  readonly textOf: (output: Json) => string;
  /** For what is read from the store. */
  readonly room: OutputRoom;
}

/** The text of what was seen in one look, for each whom it was shown to. */
const TEXTS = new WeakMap<WorkSoFar, Promise<string>>();

export class TextPieces {
  readonly #options: TextPiecesOptions;
  #seen: TextPosition;
  #output: Json | null = null;

  /** `seen` is where the client goes on; null: it has seen nothing. */
  constructor(seen: TextPosition | null, options: TextPiecesOptions) {
    this.#options = options;
    this.#seen = seen ?? { attempt: 0, offset: 0 };
  }

  /** The output, once a piece has been made of it; null before, and when there is none. */
  get output(): Json | null {
    return this.#output;
  }

  /** The next piece; null when there is nothing new, or what was done is no longer in the store. */
  async next({ work, ended }: Observation): Promise<TextPiece | null> {
    if (ended?.status === 'succeeded') return await this.#rest(ended);
    if (work === null) return null;
    const from = this.#fromIn(work.since);
    if (endOf(work) <= from.offset) return null;
    const isInTail = from.offset >= work.offset;
    if (isInTail) {
      return this.#piece(work.attempt, from, textOf(work.tail).slice(from.offset - work.offset));
    }
    const text = (await this.#wholeText(work))?.slice(from.offset);
    if (text === undefined) return null;
    this.#options.room.take(text.length); // all pieces of a connection together are the text once
    return this.#piece(work.attempt, from, text);
  }

  async #rest(ended: Extract<Ended, { status: 'succeeded' }>): Promise<TextPiece | null> {
    const from = this.#fromIn(ended.since ?? 1);
    this.#output = await readJson(ended.output, this.#options);
    const text = this.#options.textOf(this.#output).slice(from.offset);
    return text === '' ? null : this.#piece(ended.attempt, from, text);
  }

  /** Read once for all who follow a prediction. Null: not to be had; the next look may find a later head. */
  async #wholeText(work: WorkSoFar): Promise<string | null> {
    let text = TEXTS.get(work);
    if (text === undefined) {
      text = readText(work, this.#options);
      TEXTS.set(work, text);
    }
    return await text.catch(() => null);
  }

  /** Where to go on in a text that began with attempt `since`. */
  #fromIn(since: number): { readonly offset: number; readonly reset: boolean } {
    const { attempt, offset } = this.#seen;
    const reset = offset > 0 && attempt < since;
    return { offset: reset ? 0 : offset, reset };
  }

  #piece(
    attempt: number,
    { offset, reset }: { readonly offset: number; readonly reset: boolean },
    text: string,
  ): TextPiece {
    this.#seen = { attempt, offset: offset + text.length };
    return { attempt, offset, text, reset };
  }
}

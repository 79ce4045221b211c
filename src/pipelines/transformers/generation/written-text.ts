/* A text while it is written: tokens in, certain text without stop strings out. */
import { StopStrings } from './stop-strings.ts';
import { type Decode, TokenText } from './token-text.ts';

export class WrittenText {
  readonly #tokens: TokenText;
  readonly #stops: StopStrings;
  /** Every token so far, with those of earlier attempts. */
  readonly ids: number[] = [];
  /** All certain text so far. */
  text = '';

  constructor(decode: Decode, stops: readonly string[]) {
    this.#tokens = new TokenText(decode);
    this.#stops = new StopStrings(stops);
  }

  /** Whether a stop string has ended it. */
  get isStopped(): boolean {
    return this.#stops.isFound;
  }

  /** Adds a token; returns the text that has become certain. */
  push(id: number): string {
    this.ids.push(id);
    return this.#add(this.#stops.push(this.#tokens.push(id)));
  }

  /** No more tokens come; returns the rest of the text, which is certain too. */
  end(): string {
    return this.#add(this.#stops.push(this.#tokens.flush()) + this.#stops.flush());
  }

  #add(piece: string): string {
    this.text += piece;
    return piece;
  }
}

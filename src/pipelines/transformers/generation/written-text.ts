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

  /** Adds a token. */
  push(id: number): void {
    this.ids.push(id);
    this.text += this.#stops.push(this.#tokens.push(id));
  }

  /** No more tokens come: the rest of the text is certain too. */
  end(): void {
    this.text += this.#stops.push(this.#tokens.flush()) + this.#stops.flush();
  }
}

/* The text of tokens that come one after the other, as far as it is certain. */

/** How the library makes a text of tokens; it takes no empty list. */
export type Decode = (ids: readonly number[]) => string;

/** A character whose bytes have not all come: several tokens may make one. */
const INCOMPLETE = '\u{FFFD}';
/** So many tokens without a certain text are no part of one character: they are special ones, or wrong bytes. */
const MAX_UNTOLD = 32;

export class TokenText {
  readonly #decode: Decode;
  #ids: number[] = [];
  /** The text of the tokens before `#told` is told. A token is decoded together with one that was told … */
  #told = 0;
  /** … from here on, because the spaces between words depend on what stands before. */
  #context = 0;

  constructor(decode: Decode) {
    this.#decode = decode;
  }

  /** The text that is certain with one more token; often empty. */
  push(id: number): string {
    this.#ids.push(id);
    const text = this.#untold();
    const isCertain = text !== '' && !text.endsWith(INCOMPLETE);
    if (!isCertain && this.#ids.length - this.#told < MAX_UNTOLD) return '';
    this.#context = this.#told;
    this.#told = this.#ids.length;
    return text;
  }

  /** The rest of the text: no more tokens come. */
  flush(): string {
    const text = this.#untold();
    this.#told = this.#ids.length;
    return text;
  }

  #untold(): string {
    const before = this.#textOf(this.#context, this.#told);
    return this.#textOf(this.#context, this.#ids.length).slice(before.length);
  }

  #textOf(from: number, to: number): string {
    return from === to ? '' : this.#decode(this.#ids.slice(from, to));
  }
}

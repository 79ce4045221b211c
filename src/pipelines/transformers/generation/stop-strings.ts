/* Looks for the first stop string in a text that comes in pieces. */

export class StopStrings {
  readonly #stops: readonly string[];
  /** What may be the beginning of a stop string. */
  #held = '';
  #isFound = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** Whether a stop string has come: nothing behind it counts. */
  get isFound(): boolean {
    return this.#isFound;
  }

  /** The text that has no stop string in it for certain, with one more piece. */
  push(piece: string): string {
    if (this.#isFound) return '';
    const text = this.#held + piece;
    const places = this.#stops.map((stop) => text.indexOf(stop)).filter((place) => place !== -1);
    if (places.length > 0) {
      this.#isFound = true;
      this.#held = '';
      return text.slice(0, Math.min(...places));
    }
    const heldLength = Math.max(0, ...this.#stops.map((stop) => beginningAtEnd(text, stop)));
    this.#held = text.slice(text.length - heldLength);
    return text.slice(0, text.length - heldLength);
  }

  /** What was held back: no more text comes. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }
}

/** How long the longest beginning of `stop` is with which the text ends. */
function beginningAtEnd(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length -= 1) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}

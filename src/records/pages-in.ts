/* The pages of a document out of JSON that may be too large to be parsed as a whole: `{"pages": [{…}, …], …}`. */
import type { Json } from '../contract/payload.ts';

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];
const MEMBER = 'pages';
/** The object, its list, and a page in it. */
const PAGE_DEPTH = 3;

/** The elements of `pages`, one after the other. The bytes are valid JSON, and each element is an object. */
export async function* pagesIn(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Json> {
  const splitter = new PageSplitter();
  for await (const chunk of bytes) {
    for (const page of splitter.push(chunk)) yield JSON.parse(page.toString('utf8')) as Json;
  }
}

class PageSplitter {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  /** The beginning of the latest string on the first level, which may be the name of a member. */
  #name = '';
  #isInPages = false;
  /** What has come of a page that is not complete. */
  #pieces: Uint8Array[] = [];

  /** Takes the next bytes; returns the pages that they complete. */
  push(chunk: Uint8Array): readonly Buffer[] {
    const pages: Buffer[] = [];
    let from = this.#isInPages && this.#depth >= PAGE_DEPTH ? 0 : -1;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      if (this.#isInString) this.#inString(byte);
      else if (byte === QUOTE) this.#beginString();
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (this.#depth === 1) this.#isInPages = byte === OPEN_BRACKET && this.#name === MEMBER;
        this.#depth += 1;
        if (this.#isInPages && this.#depth === PAGE_DEPTH) from = at;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        if (this.#isInPages && this.#depth === PAGE_DEPTH) {
          pages.push(Buffer.concat([...this.#pieces, chunk.subarray(from, at + 1)]));
          this.#pieces = [];
          from = -1;
        }
        this.#depth -= 1;
        if (this.#depth === 1) this.#isInPages = false;
      }
    }
    if (from !== -1) this.#pieces.push(chunk.subarray(from));
    return pages;
  }

  #beginString(): void {
    this.#isInString = true;
    if (this.#depth === 1) this.#name = '';
  }

  #inString(byte: number): void {
    if (this.#isEscaped) this.#isEscaped = false;
    else if (byte === BACKSLASH) this.#isEscaped = true;
    else if (byte === QUOTE) this.#isInString = false;
    else if (this.#depth === 1 && this.#name.length <= MEMBER.length) {
      this.#name += String.fromCharCode(byte);
    }
  }
}

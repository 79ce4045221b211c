/*
 * How many points a unit of a page is (UserUnit: ISO 32000-1, table 30), which PDFium does not tell: it is found in the
 * document's text. Only a page of more than 200 inches needs one, so nearly no document has any.
 */

const NAME = '/UserUnit';
/** Objects that are packed together (ISO 32000-1, section 7.5.7): what is in them cannot be searched. */
const PACKED = '/ObjStm';
/** Writing a copy takes a tenth of a second for a megabyte. What is larger has no user units. */
const MAX_BYTES = 64 * 1024 ** 2;
const MAX_PACKED_BYTES = 8 * 1024 ** 2;
/** They came with PDF 1.6. */
const FIRST_VERSION = 16;
const MAX_UNIT = 75_000; // the largest that any viewer takes

export class UserUnits {
  readonly #units = new Map<number, number>();

  /** `copy`: the document with every object in the clear; null: it has no user units. */
  constructor(copy: Buffer | null) {
    if (copy === null || !copy.includes(NAME)) return;
    const objects = /(?:^|[\r\n])(\d+) 0 obj\b([^]*?)\bendobj/g;
    for (const [, number, body = ''] of copy.toString('latin1').matchAll(objects)) {
      const unit = Number(/\/UserUnit\s*(\d*\.?\d+)/.exec(body)?.[1] ?? 1);
      if (unit > 0 && unit <= MAX_UNIT && unit !== 1) this.#units.set(Number(number), unit);
    }
  }

  /** Whether a document, as it lies in its file, may have any; its version is 17 for PDF 1.7. */
  static mayBeIn(bytes: Uint8Array, version: number): boolean {
    if (bytes.length > MAX_BYTES) return false;
    const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    if (file.includes(NAME)) return true;
    return version >= FIRST_VERSION && bytes.length <= MAX_PACKED_BYTES && file.includes(PACKED);
  }

  /** That of a page, by the number of its object. */
  of(objectNumber: number): number {
    return this.#units.get(objectNumber) ?? 1;
  }
}

/*
 * How much structure a text has that should be JSON. JSON.parse blocks every other request, and how long it takes
 * depends on how many objects, arrays and strings it has to make: so they are counted first, which takes 3 ms for a
 * megabyte, and text with too many of them is never parsed.
 */

/** A tensor has at most 32 dimensions; everything else that is taken here is flatter. */
const MAX_DEPTH = 100;
/** Members of all objects together: parsing 700,000 takes a second. */
const MAX_MEMBERS = 50_000;
/** Objects and arrays together: parsing a million takes half a second. */
const MAX_CONTAINERS = 250_000;
/** Parsing a million different strings takes half a second. */
const MAX_STRINGS = 250_000;
/** Elements of all arrays together: parsing a million decimal fractions takes an eighth of a second. */
const MAX_ELEMENTS = 1_000_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** What the text has too much of, whether it is JSON or not, such as `is nested …`; null: nothing. */
export function tooMuchIn(bytes: Uint8Array): string | null {
  let depth = 0;
  let members = 0;
  let containers = 0;
  let strings = 0;
  let commas = 0;
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at]) {
      case QUOTE:
        strings += 1;
        if (strings > MAX_STRINGS) {
          return `has more than ${MAX_STRINGS} strings: send tensors as bytes`;
        }
        at = endOfString(bytes, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth += 1;
        containers += 1;
        if (depth > MAX_DEPTH) return `is nested more than ${MAX_DEPTH} levels deep`;
        if (containers > MAX_CONTAINERS) {
          return `has more than ${MAX_CONTAINERS} arrays and objects: send tensors flat, or as bytes`;
        }
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1;
        break;
      case 0x2c: // ,
        commas += 1;
        if (commas > MAX_ELEMENTS) {
          return `has more than ${MAX_ELEMENTS} elements: send tensors as bytes`;
        }
        break;
      case 0x3a: // :
        members += 1;
        if (members > MAX_MEMBERS) return `has more than ${MAX_MEMBERS} members`;
        break;
      default:
    }
  }
  return null;
}

/** Where the string that begins at `start` ends; the end of the bytes when it does not. */
function endOfString(bytes: Uint8Array, start: number): number {
  let end = start;
  do {
    end = bytes.indexOf(QUOTE, end + 1);
    if (end === -1) return bytes.length;
  } while (isEscaped(bytes, end));
  return end;
}

/** Whether the quote at `at` is escaped: an odd number of backslashes stands before it. */
function isEscaped(bytes: Uint8Array, at: number): boolean {
  let before = at - 1;
  while (bytes[before] === BACKSLASH) before -= 1;
  return (at - 1 - before) % 2 === 1;
}

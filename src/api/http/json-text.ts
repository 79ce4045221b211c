/*
 * JSON that strangers send. JSON.parse blocks every other request, and how long it takes depends on
 * how many objects, arrays and strings it has to make: so they are counted first, which takes 3 ms
 * for a megabyte, and text with too many of them is never parsed.
 */
import { isUtf8 } from 'node:buffer';
import { messageOf } from '../../contract/failure.ts';
import { Problem } from './problems.ts';

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

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Parses JSON; `what` names it in the problems that this throws. */
export function parseJson(bytes: Buffer, what: string): unknown {
  if (!isUtf8(bytes)) throw new Problem('malformed_request', `${what} is not UTF-8`);
  requireModest(bytes, what);
  const isMarked = bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
  const text = bytes.toString('utf8', isMarked ? BYTE_ORDER_MARK.length : 0);
  try {
    return JSON.parse(text);
  } catch (error) {
    const detail = `${what} is not JSON: ${messageOf(error)}`;
    throw new Problem('malformed_request', detail, { cause: error });
  }
}

/** Throws a problem when the text has too much structure, whether it is JSON or not. */
function requireModest(bytes: Buffer, what: string): void {
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
          throw tooMuch(what, `has more than ${MAX_STRINGS} strings: send tensors as bytes`);
        }
        at = endOfString(bytes, at);
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth += 1;
        containers += 1;
        if (depth > MAX_DEPTH) throw tooMuch(what, `is nested more than ${MAX_DEPTH} levels deep`);
        if (containers > MAX_CONTAINERS) {
          const advice = 'send tensors flat, or as bytes';
          throw tooMuch(what, `has more than ${MAX_CONTAINERS} arrays and objects: ${advice}`);
        }
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1;
        break;
      case 0x2c: // ,
        commas += 1;
        if (commas > MAX_ELEMENTS) {
          throw tooMuch(what, `has more than ${MAX_ELEMENTS} elements: send tensors as bytes`);
        }
        break;
      case 0x3a: // :
        members += 1;
        if (members > MAX_MEMBERS) throw tooMuch(what, `has more than ${MAX_MEMBERS} members`);
        break;
      default:
    }
  }
}

/** Where the string that begins at `start` ends; the end of the bytes when it does not. */
function endOfString(bytes: Buffer, start: number): number {
  let end = start;
  do {
    end = bytes.indexOf(QUOTE, end + 1);
    if (end === -1) return bytes.length;
  } while (isEscaped(bytes, end));
  return end;
}

/** Whether the quote at `at` is escaped: an odd number of backslashes stands before it. */
function isEscaped(bytes: Buffer, at: number): boolean {
  let before = at - 1;
  while (bytes[before] === BACKSLASH) before -= 1;
  return (at - 1 - before) % 2 === 1;
}

const tooMuch = (what: string, why: string): Problem =>
  new Problem('invalid_input', `${what} ${why}`, { errors: [{ pointer: '', detail: why }] });

/* JSON that strangers send. */
import { isUtf8 } from 'node:buffer';
import { jsonFault } from '../../contract/json-fault.ts';
import { tooMuchIn } from '../../contract/json-structure.ts';
import { Problem } from './problems.ts';

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** Parses JSON; `what` names it in the problems that this throws. */
export function parseJson(bytes: Buffer, what: string): unknown {
  if (!isUtf8(bytes)) throw new Problem('malformed_request', `${what} is not UTF-8`);
  const problem = tooMuchIn(bytes);
  if (problem !== null) throw tooMuch(what, problem);
  const isMarked = bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
  const text = bytes.toString('utf8', isMarked ? BYTE_ORDER_MARK.length : 0);
  try {
    return JSON.parse(text);
  } catch (error) {
    const detail = `${what} is not JSON: ${jsonFault(error)}`;
    throw new Problem('malformed_request', detail, { cause: error });
  }
}

const tooMuch = (what: string, why: string): Problem =>
  new Problem('invalid_input', `${what} ${why}`, { errors: [{ pointer: '', detail: why }] });

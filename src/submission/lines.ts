/* The lines of JSON Lines that are translated before they become a batch. */
import { isUtf8 } from 'node:buffer';
import { isBlank, LineCutter, LineTooLongError } from '../batches/lines.ts';
import { tooMuchIn } from '../contract/json-structure.ts';
import { Refusal } from '../contract/refusal.ts';

export type LineSource = AsyncIterable<Uint8Array>;

/** Each line that is not blank, with its number, from 1. Refuses lines that may not be parsed. */
export async function* linesIn(
  source: LineSource,
  maxLineBytes: number,
): AsyncGenerator<{ readonly number: number; readonly line: Buffer }> {
  const cutter = new LineCutter(maxLineBytes);
  let number = 0;
  const next = (line: Buffer) => {
    number += 1;
    const problem = isUtf8(line) ? tooMuchIn(line) : 'is not UTF-8';
    if (problem === null) return isBlank(line) ? [] : [{ number, line }];
    throw new Refusal('invalid_input', `line ${number}: ${problem}`);
  };
  try {
    for await (const chunk of source) for (const line of cutter.cut(chunk)) yield* next(line);
    yield* next(cutter.rest());
  } catch (error) {
    if (!(error instanceof LineTooLongError)) throw error;
    throw new Refusal('invalid_input', `line ${number + 1}: has more than ${maxLineBytes} bytes`);
  }
}

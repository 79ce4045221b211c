/* The two lanes of a model process: one for the inputs of a batch, one for its outputs. */
import type { BatchResult } from './batch-run.ts';
import { type Bytes, Lane } from './lane.ts';
import type { DoneMessage, ItemOutcome } from './protocol.ts';

/** Large bytes on their way to and from the process. */
export interface Lanes {
  readonly inputs: Lane;
  readonly outputs: Lane;
}

/** Opens two new lanes. Call `closeLanes` when the process is gone. */
export const openLanes = (): Lanes => ({ inputs: Lane.open(), outputs: Lane.open() });

/** Closes what `openLanes` has opened. */
export function closeLanes({ inputs, outputs }: Lanes): void {
  inputs.close();
  outputs.close();
}

function takeFrom(lane: Lane, laid: readonly Bytes[]): readonly Uint8Array[] | null {
  try {
    return lane.take(laid);
  } catch {
    return null; // the lane holds less than was said
  }
}

/**
 * The outputs that lie in the lane, read before the process may write the next ones; null when the lane
 * holds less than the process said.
 */
export function takeOutputs(message: DoneMessage, lane: Lane): BatchResult | null {
  const laid = message.outcomes.flatMap((outcome) =>
    outcome.status === 'succeeded' ? [outcome.output] : [],
  );
  const bytes = takeFrom(lane, laid);
  if (bytes === null) return null;
  const taken = bytes.values();
  const outcomes = message.outcomes.map((outcome) =>
    outcome.status === 'succeeded' ? unpacked(outcome, taken.next().value as Uint8Array) : outcome,
  );
  return { outcomes, tokens: message.tokens, inferenceMs: message.inferenceMs };
}

/** The files stand before the output itself. */
function unpacked(
  { status, mediaType, files }: Extract<ItemOutcome, { status: 'succeeded' }>,
  bytes: Uint8Array,
): Extract<BatchResult['outcomes'][number], { status: 'succeeded' }> {
  let at = 0;
  const taken = files.map(({ length, ...file }) => {
    at += length;
    return { ...file, bytes: bytes.subarray(at - length, at) };
  });
  return { status, mediaType, files: taken, output: bytes.subarray(at) };
}

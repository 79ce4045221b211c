/* The results of items as JSON Lines. */
import type { ItemError, ItemResult } from '../contract/batch.ts';
import { JSON_MEDIA_TYPE } from '../contract/payload.ts';
import type { TokenCount } from '../contract/prediction.ts';

/** The media type of JSON Lines; there is no registered one. */
export const LINES_MEDIA_TYPE = 'application/jsonl';

/** What became of an item: its encoded output, or why it has none. */
export type ItemOutcome =
  | {
      readonly status: 'succeeded';
      readonly output: Uint8Array;
      readonly mediaType: string;
      /** Null: its model counts none. */
      readonly tokens: TokenCount | null;
    }
  | { readonly status: 'failed'; readonly error: ItemError }
  | { readonly status: 'canceled' };

export type ItemIdentity = Pick<ItemResult, 'custom_id' | 'index'>;

/** A line of the results, with its end. The output is put in as it is, because it is JSON already. */
export function resultLine({ custom_id, index }: ItemIdentity, outcome: ItemOutcome): Buffer {
  const head = `{"custom_id":${JSON.stringify(custom_id)},"index":${index},"status":"${outcome.status}","output":`;
  const error = outcome.status === 'failed' ? outcome.error : null;
  const tokens = outcome.status === 'succeeded' ? outcome.tokens : null;
  const counted = tokens === null ? '' : `,"tokens":${JSON.stringify(tokens)}`;
  const tail = `,"error":${JSON.stringify(error)}${counted}}\n`;
  return Buffer.concat([Buffer.from(head), outputOf(outcome), Buffer.from(tail)]);
}

const NOTHING = Buffer.from('null');

/** An output that is not JSON becomes a data URL. */
function outputOf(outcome: ItemOutcome): Uint8Array {
  if (outcome.status !== 'succeeded') return NOTHING;
  const { output, mediaType } = outcome;
  if (mediaType === JSON_MEDIA_TYPE) return output;
  const data = Buffer.from(output.buffer, output.byteOffset, output.byteLength).toString('base64');
  return Buffer.from(`"data:${mediaType};base64,${data}"`);
}

/* Reads the items of a batch from the store, checked piece by piece. */
import { createHash } from 'node:crypto';
import type { BatchItems, ItemRange } from '../contract/batch.ts';
import { readClaim } from '../storage/claims.ts';
import { PayloadCorruptError, type PayloadStore } from '../storage/payload-store.ts';
import { type ItemIndex, itemIndexSchema } from './item-index.ts';
import { isBlank, LineCutter } from './lines.ts';

export interface NumberedLine {
  readonly index: number;
  readonly line: Buffer;
}

/** The lines of a range of items. Throws `PayloadNotFoundError` and `PayloadCorruptError`. */
export async function* readItems(
  store: PayloadStore,
  items: BatchItems,
  { from, to }: ItemRange,
): AsyncGenerator<NumberedLine> {
  const index = await readIndex(store, items);
  const { pieces } = index;
  const after = pieces.findIndex(({ item }) => item > from);
  for (let at = (after === -1 ? pieces.length : after) - 1; at < pieces.length; at++) {
    const piece = pieces[at];
    if (piece === undefined || piece.item >= to) return;
    const end = pieces[at + 1]?.offset ?? index.bytes;
    const bytes = await readPiece(store, items.lines.key, { ...piece, end });
    let number = piece.item;
    for (const line of linesOf(bytes, piece.offset === 0)) {
      if (number >= to) return;
      if (number >= from) yield { index: number, line };
      number += 1;
    }
  }
}

async function readIndex(store: PayloadStore, { index: claim }: BatchItems): Promise<ItemIndex> {
  try {
    return itemIndexSchema.parse(JSON.parse((await readClaim(store, claim)).toString('utf8')));
  } catch (error) {
    const isOdd = error instanceof SyntaxError || (error as Error).name === 'ZodError';
    throw isOdd ? new PayloadCorruptError(claim.key, 'it is no index of items') : error;
  }
}

async function readPiece(
  store: PayloadStore,
  key: string,
  {
    offset,
    end,
    sha256,
  }: { readonly offset: number; readonly end: number; readonly sha256: string },
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  const hash = createHash('sha256');
  const stream = await store.open(key, { offset, bytes: end - offset });
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    hash.update(chunk);
    chunks.push(chunk);
  }
  if (hash.digest('hex') === sha256) return Buffer.concat(chunks);
  throw new PayloadCorruptError(key, `the piece at ${offset} has another sha256 than ${sha256}`);
}

function* linesOf(bytes: Buffer, isFirst: boolean): Generator<Buffer> {
  const cutter = new LineCutter(Number.POSITIVE_INFINITY, isFirst);
  for (const line of cutter.cut(bytes)) if (!isBlank(line)) yield line;
  const rest = cutter.rest();
  if (!isBlank(rest)) yield rest;
}

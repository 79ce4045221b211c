/*
 * The parts of a file that is being uploaded. The bytes of a part lie under `<number>.<nonce>`. When they are there, an
 * empty payload beside them says so, whose name holds all that is known of the part: so a list shows all parts, and
 * none of them is read.
 */
import { timedId } from '../contract/ids.ts';
import { randomBytes } from 'node:crypto';
import type { FilePart } from '../contract/file.ts';
import { type Claim, type Owner, payloadKeys } from '../contract/payload.ts';
import { openClaim } from '../storage/claims.ts';
import type { KeyRange, PayloadStore } from '../storage/payload-store.ts';

const MARKER = /\/(\d{5})\.(p_[0-9a-z]{26})\.(\d{1,15})\.([0-9a-f]{64})$/;

/** A part, and the name of its bytes. */
export interface NamedPart extends FilePart {
  readonly nonce: string;
}

/** The keys of one upload of a part. */
export class PartNames {
  readonly #owner: Owner;
  readonly #number: number;
  /** Later ones sort behind earlier ones. */
  readonly #nonce = timedId('p', Date.now(), randomBytes(10).toString('hex'));

  constructor(owner: Owner, number: number) {
    this.#owner = owner;
    this.#number = number;
  }

  get folder(): string {
    return payloadKeys.fileParts(this.#owner);
  }

  /** Where the bytes lie. */
  get content(): string {
    return contentKey(this.#owner, { number: this.#number, nonce: this.#nonce });
  }

  /** What says that they are there. */
  markerOf({ bytes, sha256 }: FilePart): string {
    return `${this.content}.${bytes}.${sha256}`;
  }

  /** What there is of uploads of the same part that began before this one. */
  get earlier(): KeyRange {
    const start = payloadKeys.filePart(this.#owner, `${digitsOf(this.#number)}.`);
    return { from: start, to: this.content.slice(0, -1) };
  }
}

/** The parts that a list of keys shows, in order; of several uploads of a part the latest. */
export async function partsIn(keys: AsyncIterable<string>): Promise<readonly NamedPart[]> {
  const found = new Map<number, NamedPart>();
  for await (const key of keys) {
    const [, digits, nonce = '', bytes, sha256 = ''] = MARKER.exec(key) ?? [];
    if (digits === undefined) continue;
    const number = Number(digits);
    const other = found.get(number);
    if (other !== undefined && other.nonce > nonce) continue;
    found.set(number, { number, bytes: Number(bytes), sha256, nonce });
  }
  return [...found.values()].sort((a, b) => a.number - b.number);
}

export const claimOfPart = (owner: Owner, { number, nonce, bytes, sha256 }: NamedPart): Claim => ({
  key: contentKey(owner, { number, nonce }),
  bytes,
  sha256,
  media_type: 'application/octet-stream',
});

/** The bytes of all parts, one after the other. */
export async function* joinedParts(
  store: PayloadStore,
  claims: readonly Claim[],
): AsyncGenerator<Uint8Array> {
  for (const claim of claims) yield* (await openClaim(store, claim)) as AsyncIterable<Uint8Array>;
}

const contentKey = (owner: Owner, { number, nonce }: Pick<NamedPart, 'number' | 'nonce'>): string =>
  payloadKeys.filePart(owner, `${digitsOf(number)}.${nonce}`);

/** Names sort like numbers. */
const digitsOf = (number: number): string => String(number).padStart(5, '0');

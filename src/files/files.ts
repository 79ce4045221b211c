/*
 * The files of tenants. Each lies in the payload store below `files/<tenant>/<id>/`: its bytes, and beside them
 * `file.json`, which is written when the bytes are there. So a file is there whole or not at all.
 *
 *  L1  A file belongs to one tenant: to any other it does not exist.
 *  L2  Its bytes never change: whoever holds a claim on them reads what was there when the claim was made, or nothing.
 *  L3  What has expired is not given out, also when the sweep has yet to remove it.
 */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { FilePart, StoredFile } from '../contract/file.ts';
import {
  type Claim,
  JSON_MEDIA_TYPE,
  type Owner,
  ownerOfKey,
  payloadKeys,
} from '../contract/payload.ts';
import { Refusal } from '../contract/refusal.ts';
import { leaveTombstone } from '../retention/tombstones.ts';
import { refuseRemovedData } from '../records/removed-data.ts';
import { openClaim, readSmall } from '../storage/claims.ts';
import { type PayloadStore, StorageError } from '../storage/payload-store.ts';

const claimSchema = z.object({
  key: z.string(),
  bytes: z.int().min(0),
  sha256: z.string(),
  media_type: z.string(),
}) satisfies z.ZodType<Claim>;

const fileSchema = z.object({
  id: z.string(),
  tenant: z.string(),
  filename: z.string(),
  purpose: z.string().nullable(),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  content: claimSchema.nullable(),
  media_type: z.string(),
}) satisfies z.ZodType<StoredFile>;

const partSchema = z.object({ claim: claimSchema });

export type NewFile = Pick<
  StoredFile,
  'id' | 'tenant' | 'filename' | 'purpose' | 'media_type' | 'expires_at'
>;

/** The hash that an upload was said to have is not the one it has. */
export class WrongHashError extends Error {
  override readonly name = 'WrongHashError';
}

interface FileListing {
  /** The id of the last one that was seen; null: none was. */
  readonly after: string | null;
  readonly limit: number;
  /** By time; the newest first when it is absent. */
  readonly order?: 'asc' | 'desc';
  /** Only those for this; absent: all. */
  readonly purpose?: string | undefined;
}

interface StoreLimits {
  readonly maxBytes: number;
  /** What the client says that the sha256 is, in lowercase hex; null: it does not say. */
  readonly sha256: string | null;
}

export class Files {
  readonly #store: PayloadStore;

  constructor(store: PayloadStore) {
    this.#store = store;
  }

  /** Stores a file. Throws `WrongHashError` and `PayloadTooLargeError`, and leaves nothing behind then. */
  async create(
    file: NewFile,
    body: AsyncIterable<Uint8Array>,
    limits: StoreLimits,
  ): Promise<StoredFile> {
    const content = await this.#content(file, body, limits);
    return await this.#write({ ...file, content, created_at: new Date().toISOString() });
  }

  /** Says more of a file than was known when its bytes came. */
  async describe(
    file: StoredFile,
    more: Pick<StoredFile, 'purpose' | 'expires_at'>,
  ): Promise<StoredFile> {
    return await this.#write({ ...file, ...more });
  }

  /** Begins a file whose bytes come in parts. */
  async begin(file: NewFile): Promise<StoredFile> {
    return await this.#write({ ...file, content: null, created_at: new Date().toISOString() });
  }

  /** Stores a part; another one with its number is replaced. Throws as `create`. */
  async putPart(
    file: StoredFile,
    number: number,
    body: AsyncIterable<Uint8Array>,
    { maxBytes, sha256 }: StoreLimits,
  ): Promise<FilePart> {
    requireUploading(file);
    const key = payloadKeys.filePart(file, `${number}.${randomBytes(6).toString('hex')}`);
    const options = { mediaType: 'application/octet-stream', maxBytes };
    const claim = await this.#store.put(key, body, options);
    try {
      requireHash(claim, sha256);
      const bytes = Buffer.from(JSON.stringify({ claim }));
      const list = payloadKeys.filePartList(file, number);
      await this.#store.put(list, bytes, { mediaType: JSON_MEDIA_TYPE });
    } catch (error) {
      await this.#store.delete(key).catch(() => {}); // it goes with the file
      throw error;
    }
    return { number, bytes: claim.bytes, sha256: claim.sha256 };
  }

  /** The parts that are there, in order. */
  async parts(file: StoredFile): Promise<readonly FilePart[]> {
    const claims = await this.#partClaims(file);
    return [...claims].map(([number, { bytes, sha256 }]) => ({ number, bytes, sha256 }));
  }

  /** Makes the file of its parts, which must be those from 1 on. Throws as `create`. */
  async complete(file: StoredFile, limits: StoreLimits): Promise<StoredFile> {
    requireUploading(file);
    const claims = await this.#partClaims(file);
    const missing = [...claims.keys()].findIndex((number, at) => number !== at + 1);
    if (claims.size === 0 || missing !== -1) {
      const which = claims.size === 0 ? 1 : missing + 1;
      throw new Refusal(
        'invalid_input',
        `${file.id} cannot be completed: part ${which} is missing`,
      );
    }
    const content = await this.#content(file, joined(this.#store, [...claims.values()]), limits);
    const whole = await this.#write({ ...file, content });
    await this.#store.delete(payloadKeys.fileParts(file)).catch(() => {}); // it goes with the file
    return whole;
  }

  /** Null: there is none. */
  async find(owner: Owner): Promise<StoredFile | null> {
    const file = await this.#read(payloadKeys.file(owner));
    return file?.id === owner.id && file.tenant === owner.tenant ? file : null;
  }

  /** Refuses as `not_found` what there is not, and as `data_removed` and `expired` what is gone. */
  async get(id: string, tenant: string): Promise<StoredFile> {
    const file = await this.find({ tenant, id });
    if (file === null) {
      await refuseRemovedData(id, tenant, this.#store);
      throw new Refusal('not_found', `there is no file ${id}`);
    }
    if (Date.parse(file.expires_at) > Date.now()) return file;
    throw new Refusal('expired', `the file ${id} expired at ${file.expires_at}`); // L3
  }

  /** The bytes of a file; refuses one that is still being uploaded. */
  async content(id: string, tenant: string): Promise<Claim> {
    const { content } = await this.get(id, tenant);
    if (content !== null) return content;
    throw new Refusal('invalid_input', `${id} is still being uploaded: complete it first`);
  }

  /** A page of files; those that are for something else are left out of it. */
  async list(
    tenant: string,
    { after, limit, order = 'desc', purpose }: FileListing,
  ): Promise<{ readonly files: readonly StoredFile[]; readonly next: string | null }> {
    const ids = new Set<string>();
    for await (const key of this.#store.list(payloadKeys.files(tenant))) {
      const id = ownerOfKey(key)?.id;
      if (id !== undefined && key === payloadKeys.file({ tenant, id })) ids.add(id);
    }
    // Ids begin with the time.
    const sorted = [...ids].toSorted();
    if (order === 'desc') sorted.reverse();
    const isBehind = (id: string) => after === null || (order === 'desc' ? id < after : id > after);
    const left = sorted.filter(isBehind);
    const page = left.slice(0, limit);
    const found = await Promise.all(
      page.map(async (id) => await this.#read(payloadKeys.file({ tenant, id }))),
    );
    const nowMs = Date.now();
    return {
      files: found.filter((file): file is StoredFile => {
        if (file === null || Date.parse(file.expires_at) <= nowMs) return false;
        return purpose === undefined || file.purpose === purpose;
      }),
      next: left.length > limit ? (page.at(-1) ?? null) : null,
    };
  }

  /** Removes a file of which nobody has heard. */
  async remove(file: StoredFile): Promise<void> {
    await this.#store.delete(payloadKeys.owned(file));
  }

  /** Removes a file; what still reads it finds that it is gone. */
  async delete(file: StoredFile, reason: 'deleted' | 'expired' = 'deleted'): Promise<void> {
    await leaveTombstone(file, reason, this.#store).catch((error: unknown) => {
      if (!(error instanceof StorageError && error.isFull)) throw error; // deleting makes room
    });
    await this.#store.delete(payloadKeys.owned(file));
  }

  async #content(
    file: Pick<StoredFile, 'tenant' | 'id' | 'media_type'>,
    body: AsyncIterable<Uint8Array>,
    { maxBytes, sha256 }: StoreLimits,
  ): Promise<Claim> {
    const key = payloadKeys.fileContent(file, randomBytes(6).toString('hex')); // L2
    const claim = await this.#store.put(key, body, { mediaType: file.media_type, maxBytes });
    try {
      requireHash(claim, sha256);
      return claim;
    } catch (error) {
      await this.#store.delete(key).catch(() => {}); // the sweep removes what belongs to no file
      throw error;
    }
  }

  async #write(file: StoredFile): Promise<StoredFile> {
    const bytes = Buffer.from(JSON.stringify(file));
    await this.#store.put(payloadKeys.file(file), bytes, { mediaType: JSON_MEDIA_TYPE });
    return file;
  }

  /** Null: there is none, or what lies in its place is none. */
  async #read(key: string): Promise<StoredFile | null> {
    return await this.#readJson(key, fileSchema);
  }

  async #readJson<T>(key: string, schema: z.ZodType<T>): Promise<T | null> {
    try {
      return schema.parse(JSON.parse((await readSmall(this.#store, key)).toString('utf8')));
    } catch (error) {
      if (error instanceof StorageError) throw error;
      return null; // also what somebody else has put there
    }
  }

  /** By number, in order. */
  async #partClaims(file: StoredFile): Promise<ReadonlyMap<number, Claim>> {
    const found: [number, Claim][] = [];
    for await (const key of this.#store.list(payloadKeys.fileParts(file))) {
      const [, digits] = /\/parts\/(\d{1,5})\.json$/.exec(key) ?? [];
      if (digits === undefined) continue;
      const part = await this.#readJson(key, partSchema);
      if (part !== null) found.push([Number(digits), part.claim]);
    }
    return new Map(found.sort(([a], [b]) => a - b));
  }
}

async function* joined(store: PayloadStore, claims: readonly Claim[]): AsyncGenerator<Uint8Array> {
  for (const claim of claims) yield* (await openClaim(store, claim)) as AsyncIterable<Uint8Array>;
}

function requireUploading({ id, content }: StoredFile): void {
  if (content === null) return;
  throw new Refusal('invalid_input', `${id} is complete: its bytes do not change any more`);
}

function requireHash(claim: Claim, sha256: string | null): void {
  if (sha256 === null || claim.sha256 === sha256) return;
  throw new WrongHashError(`the bytes that came have the sha256 ${claim.sha256}, not ${sha256}`);
}

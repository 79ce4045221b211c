/*
 * The files of tenants. Each lies in the payload store below `files/<tenant>/<id>/`: its bytes, and beside them
 * `file.json`, which is created when the bytes are there. So a file is there whole or not at all.
 *
 *  L1  A file belongs to one tenant: to any other it does not exist.
 *  L2  Its bytes never change: whoever holds a claim on them reads what was there when the claim was made, or nothing.
 *      Of several that complete a file at once, one creates `file.json`.
 *  L3  What has expired is not given out, also when the sweep has yet to remove it.
 *  L4  What was deleted does not come back: whoever adds to a file looks for its tombstone afterwards.
 */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { FilePart, StoredFile } from '../contract/file.ts';
import { isFileId } from '../contract/ids.ts';
import {
  type Claim,
  JSON_MEDIA_TYPE,
  type Owner,
  ownerOfKey,
  payloadKeys,
} from '../contract/payload.ts';
import { Refusal } from '../contract/refusal.ts';
import { refuseRemovedData } from '../records/removed-data.ts';
import { findTombstone, leaveTombstone } from '../retention/tombstones.ts';
import { readSmall } from '../storage/claims.ts';
import {
  isPayloadLost,
  PayloadNotFoundError,
  type PayloadStore,
  type PresignedUrl,
  type PutOptions,
  StorageError,
} from '../storage/payload-store.ts';
import { claimOfPart, joinedParts, PartNames, partsIn } from './parts.ts';

const fileSchema = z.object({
  id: z.string(),
  tenant: z.string(),
  filename: z.string(),
  purpose: z.string().nullable(),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  content: z
    .object({
      key: z.string(),
      bytes: z.int().min(0),
      sha256: z.string(),
      media_type: z.string(),
    })
    .nullable(),
  media_type: z.string(),
}) satisfies z.ZodType<StoredFile>;

/** For one page of a list. */
const MAX_LOOKED_AT = 1000;

const JSON_PAYLOAD = { mediaType: JSON_MEDIA_TYPE };

export type NewFile = Pick<
  StoredFile,
  'id' | 'tenant' | 'filename' | 'purpose' | 'media_type' | 'expires_at'
>;

/** A file whose bytes are there, and of which nobody knows yet. */
export type ReceivedFile = StoredFile & { readonly content: Claim };

/** The hash that an upload was said to have is not the one it has. */
export class WrongHashError extends Error {
  override readonly name = 'WrongHashError';
}

interface StoreLimits {
  readonly maxBytes: number;
  /** What the client says that the sha256 is, in lowercase hex; null: it does not say. */
  readonly sha256: string | null;
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
    return await this.record(await this.receive(file, body, limits));
  }

  /** Stores the bytes of a file; `record` or `drop` it. Throws as `create`. */
  async receive(
    file: NewFile,
    body: AsyncIterable<Uint8Array>,
    limits: StoreLimits,
  ): Promise<ReceivedFile> {
    const content = await this.#content(file, body, limits);
    return { ...file, content, created_at: new Date().toISOString() };
  }

  /** From now on a file that was received is there. */
  async record(file: ReceivedFile): Promise<StoredFile> {
    const bytes = Buffer.from(JSON.stringify(file));
    await this.#store.put(payloadKeys.file(file), bytes, JSON_PAYLOAD);
    return file;
  }

  /** Removes what was received, and not recorded. */
  async drop(file: ReceivedFile): Promise<void> {
    await this.#store.delete(payloadKeys.owned(file));
  }

  /** Begins a file whose bytes come in parts. */
  async begin(given: NewFile): Promise<StoredFile> {
    const file = { ...given, content: null, created_at: new Date().toISOString() };
    const bytes = Buffer.from(JSON.stringify(file));
    await this.#store.put(payloadKeys.fileUpload(file), bytes, JSON_PAYLOAD);
    return file;
  }

  /** Stores a part; another one with its number is replaced. Throws as `create`. */
  async putPart(
    file: StoredFile,
    number: number,
    body: AsyncIterable<Uint8Array>,
    { maxBytes, sha256 }: StoreLimits,
  ): Promise<FilePart> {
    requireUploading(file);
    const names = new PartNames(file, number);
    const { bytes, sha256: hash } = await this.#hashed(names.content, body, sha256, {
      mediaType: 'application/octet-stream',
      maxBytes,
    });
    const part: FilePart = { number, bytes, sha256: hash };
    const none = Buffer.alloc(0);
    await this.#store.put(names.markerOf(part), none, { mediaType: 'application/octet-stream' });
    await this.#requireOpen(file); // L4
    await this.#removeEarlierUploads(names);
    return part;
  }

  /** The parts that are there, in order. */
  async parts(file: StoredFile): Promise<readonly FilePart[]> {
    const found = await partsIn(this.#store.list(payloadKeys.fileParts(file)));
    return found.map(({ number, bytes, sha256 }) => ({ number, bytes, sha256 }));
  }

  /**
   * A URL with which a client puts all bytes of a file into the store itself, before it is completed; null: the store has
   * none. There must be as many bytes as were said.
   */
  async presign(file: Owner, bytes: number): Promise<PresignedUrl | null> {
    return await this.#store.presign(payloadKeys.fileUploaded(file), { method: 'PUT', bytes });
  }

  /**
   * Makes the file of its parts, which must be those from 1 on, or of what was put into the store itself. Throws as
   * `create`.
   */
  async complete(file: StoredFile, limits: StoreLimits): Promise<StoredFile> {
    requireUploading(file);
    const body = await this.#uploaded(file);
    const content = await this.#content(file, body, limits);
    const whole = { ...file, content };
    const bytes = Buffer.from(JSON.stringify(whole));
    const isFirst = await this.#store.create(payloadKeys.file(file), bytes, JSON_PAYLOAD);
    if (!isFirst) await this.#store.delete(content.key); // another one has completed it
    await this.#requireThere(file); // L4
    const { fileParts, fileUpload, fileUploaded } = payloadKeys;
    const leftovers = [fileParts(file), fileUploaded(file), fileUpload(file)];
    // What is left of them goes with the file.
    for (const key of leftovers) await this.#store.delete(key).catch(() => {});
    return isFirst ? whole : await this.get(file.id, file.tenant);
  }

  /** What has come of a file. It is copied, because a client may change what it has put there itself (L2). */
  async #uploaded(file: StoredFile): Promise<AsyncIterable<Uint8Array>> {
    const parts = await partsIn(this.#store.list(payloadKeys.fileParts(file)));
    const missing = parts.findIndex(({ number }, at) => number !== at + 1);
    if (parts.length > 0 && missing === -1) {
      const claims = parts.map((part) => claimOfPart(file, part));
      return joinedParts(this.#store, claims);
    }
    try {
      return (await this.#store.open(payloadKeys.fileUploaded(file))) as AsyncIterable<Uint8Array>;
    } catch (error) {
      if (!(error instanceof PayloadNotFoundError)) throw error;
      const detail = `${file.id} cannot be completed: part ${missing + 1 || 1} is missing`;
      throw new Refusal('invalid_input', detail);
    }
  }

  /** Null: there is none. */
  async find(owner: Owner): Promise<StoredFile | null> {
    if (!isFileId(owner.id)) return null;
    const found =
      (await this.#read(payloadKeys.file(owner))) ??
      (await this.#read(payloadKeys.fileUpload(owner)));
    return found?.id === owner.id && found.tenant === owner.tenant ? found : null;
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

  /** A page of files; those that are for something else, or gone, are left out. */
  async list(
    tenant: string,
    { after, limit, order = 'desc', purpose }: FileListing,
  ): Promise<{ readonly files: readonly StoredFile[]; readonly next: string | null }> {
    const all = new Set<string>();
    for await (const key of this.#store.list(payloadKeys.files(tenant))) {
      const id = ownerOfKey(key)?.id ?? '';
      if (isFileId(id)) all.add(id); // a stranger may have put something there
    }
    // Ids begin with the time.
    const sorted = [...all].toSorted();
    if (order === 'desc') sorted.reverse();
    const isBehind = (id: string) => after === null || (order === 'desc' ? id < after : id > after);
    const left = sorted.filter(isBehind);
    const nowMs = Date.now();
    const files: StoredFile[] = [];
    let looked = 0;
    while (files.length < limit && looked < Math.min(left.length, MAX_LOOKED_AT)) {
      const ids = left.slice(looked, looked + limit - files.length);
      looked += ids.length;
      for (const file of await Promise.all(
        ids.map(async (id) => await this.find({ tenant, id })),
      )) {
        if (file === null || Date.parse(file.expires_at) <= nowMs) continue;
        if (purpose === undefined || file.purpose === purpose) files.push(file);
      }
    }
    return { files, next: looked < left.length ? (left[looked - 1] ?? null) : null };
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
    return await this.#hashed(key, body, sha256, { mediaType: file.media_type, maxBytes });
  }

  /** Stores bytes that are to have this hash; null: any. */
  async #hashed(
    key: string,
    body: AsyncIterable<Uint8Array>,
    wanted: string | null,
    options: PutOptions,
  ): Promise<Claim> {
    const claim = await this.#store.put(key, body, options);
    if (wanted === null || claim.sha256 === wanted) return claim;
    await this.#store.delete(key).catch(() => {}); // the sweep finds it
    throw new WrongHashError(`the bytes that came have the sha256 ${claim.sha256}, not ${wanted}`);
  }

  /** Refuses a file that was deleted meanwhile, and removes what was added to it since. */
  async #requireThere(file: StoredFile): Promise<void> {
    if ((await findTombstone(file.id, this.#store, 'just now')) === null) return;
    await this.#store.delete(payloadKeys.owned(file));
    await refuseRemovedData(file.id, file.tenant, this.#store);
  }

  /** The same, also of one that was completed meanwhile. */
  async #requireOpen(file: StoredFile): Promise<void> {
    await this.#requireThere(file);
    requireUploading((await this.find(file)) ?? file);
  }

  /** Only those: an upload that began later counts, and is not ours to remove. */
  async #removeEarlierUploads({ folder, earlier }: PartNames): Promise<void> {
    try {
      for await (const key of this.#store.list(folder, earlier)) await this.#store.delete(key);
    } catch {
      // They do not count, and the sweep finds them.
    }
  }

  /** Null: there is none, or what lies in its place is none. */
  async #read(key: string): Promise<StoredFile | null> {
    try {
      return fileSchema.parse(JSON.parse((await readSmall(this.#store, key)).toString('utf8')));
    } catch (error) {
      const isNone =
        isPayloadLost(error) || error instanceof SyntaxError || error instanceof z.ZodError;
      if (isNone) return null; // also what somebody else has put there
      throw error;
    }
  }
}

function requireUploading({ id, content }: StoredFile): void {
  if (content === null) return;
  throw new Refusal('invalid_input', `${id} is complete: its bytes do not change any more`);
}

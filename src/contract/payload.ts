/** Any JSON value. */
export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** Points at bytes in the payload store; what a history holds instead of the bytes. */
export interface Claim {
  /** Where the bytes lie in the payload store. Never shown to clients. */
  readonly key: string;
  readonly bytes: number;
  /** Lowercase hex. */
  readonly sha256: string;
  readonly media_type: string;
}

/** An input field or an output as the engine keeps it: the value itself, or a claim on it. */
export type Stored =
  | { readonly kind: 'inline'; readonly value: Json }
  | { readonly kind: 'claim'; readonly claim: Claim };

/** The media type of a claim whose bytes are one JSON value rather than media. */
export const JSON_MEDIA_TYPE = 'application/json';

const encoder = new TextEncoder();

/** How many bytes `value` takes as JSON. */
export const jsonBytes = (value: Json): number => encoder.encode(JSON.stringify(value)).length;

/** The owner of a payload: a prediction of a tenant, by its id, or whatever else has an id. */
export interface Owner {
  readonly tenant: string;
  readonly id: string;
}

/** The folders of what tenants have stored: `<folder>/<tenant>/<id>/…`, by the prefix of the ids. */
const FOLDERS: Readonly<Record<string, string>> = {
  pred: 'predictions',
  batch: 'batches',
  file: 'files',
};
export const OWNED_FOLDERS: readonly string[] = Object.values(FOLDERS);

function folderOf(id: string): string {
  const [prefix = ''] = id.split('_');
  const folder = FOLDERS[prefix];
  if (folder === undefined) throw new TypeError(`${id} owns no payloads`);
  return folder;
}

/** Whose a key is; null when it belongs to nobody. */
export function ownerOfKey(key: string): Owner | null {
  const [folder = '', tenant, id] = key.split('/');
  if (!OWNED_FOLDERS.includes(folder) || tenant === undefined || id === undefined) return null;
  return { tenant, id };
}

/** All keys of the payload store are made here, so that nothing is stored where no sweep would look. */
export const payloadKeys = {
  /** The folders of everything that a tenant has stored. */
  tenantFolders: (tenant: string) => OWNED_FOLDERS.map((folder) => `${folder}/${tenant}`),
  /** Everything that lies in the store for one owner. */
  owned: ({ tenant, id }: Owner) => `${folderOf(id)}/${tenant}/${id}`,
  input: (owner: Owner, field: string, nonce: string) =>
    `${payloadKeys.owned(owner)}/input/${field}.${nonce}`,
  /** Sealed options. */
  secrets: (owner: Owner, nonce: string) => `${payloadKeys.owned(owner)}/secrets.${nonce}`,
  /** An input fetched from its URL. */
  fetchedInput: (owner: Owner, field: string, runId: string, attempt: number) =>
    `${payloadKeys.owned(owner)}/input/${field}.${runId}.${attempt}`,
  /** The run and the attempt are part of the key: neither a zombie nor a reset overwrites. */
  output: (owner: Owner, runId: string, attempt: number) =>
    `${payloadKeys.owned(owner)}/output.${runId}.${attempt}`,
  /** An image that an output tells of. */
  outputImage: (owner: Owner, runId: string, attempt: number, index: number) =>
    `${payloadKeys.output(owner, runId, attempt)}.${index}`,
  tenants: 'tenants',
  /** A small object of a tenant; each change is a new generation. */
  tenantObject: (tenant: string, name: string) => `tenants/${tenant}/${name}`,
  /** What was done of an inference when its attempt stored it for the `count`th time. */
  work: (owner: Owner, runId: string, attempt: number, count: number) =>
    `${payloadKeys.owned(owner)}/work.${runId}.${attempt}.${count}`,
  /** Results of some items of a batch; `part` names the chunk, the attempt and the part. */
  chunkPart: (owner: Owner, runId: string, part: string) =>
    `${payloadKeys.owned(owner)}/chunks/${runId}.${part}`,
  /** All results of chunks. */
  chunks: (owner: Owner) => `${payloadKeys.owned(owner)}/chunks`,
  /** All files of a tenant. */
  files: (tenant: string) => `${FOLDERS['file']}/${tenant}`,
  /** What is kept of a file beside its bytes. */
  file: (owner: Owner) => `${payloadKeys.owned(owner)}/file.json`,
  fileContent: (owner: Owner, nonce: string) => `${payloadKeys.owned(owner)}/content.${nonce}`,
  /** The parts of a file that is being uploaded. */
  fileParts: (owner: Owner) => `${payloadKeys.owned(owner)}/parts`,
  filePart: (owner: Owner, name: string) => `${payloadKeys.owned(owner)}/parts/${name}`,
  /** What a client has put into the bucket itself, until the file is completed. */
  fileUploaded: (owner: Owner) => `${payloadKeys.owned(owner)}/uploaded`,
  /** A file whose bytes have yet to come. */
  fileUpload: (owner: Owner) => `${payloadKeys.owned(owner)}/upload.json`,
  tombstones: 'tombstones',
  /** Says that there was a prediction with this id, and nothing else. */
  tombstone: (id: string) => `tombstones/${id}`,
  /** When everything in the store was last looked at. */
  sweep: 'sweep/latest.json',
  workers: 'workers',
  worker: (workerId: string) => `workers/${workerId}.json`,
} as const;

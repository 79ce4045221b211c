/* Files that a tenant has stored, to be used as inputs later. They are in no workflow. */
import type { Claim } from './payload.ts';

/** What is kept of a file beside its bytes. */
export interface StoredFile {
  readonly id: string;
  readonly tenant: string;
  readonly filename: string;
  /** What OpenAI's clients say it is for; null: it was not said. */
  readonly purpose: string | null;
  /** RFC 3339. */
  readonly created_at: string;
  readonly expires_at: string;
  /** Its bytes; null while they are being uploaded in parts. */
  readonly content: Claim | null;
  /** Its media type while there is no content. */
  readonly media_type: string;
}

/** A part of an upload. */
export interface FilePart {
  readonly number: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** The wire object. */
export interface FileRecord {
  readonly id: string;
  readonly object: 'file';
  readonly status: 'uploading' | 'ready';
  readonly filename: string;
  readonly media_type: string;
  /** Null while it is being uploaded in parts. */
  readonly bytes: number | null;
  readonly sha256: string | null;
  readonly purpose: string | null;
  readonly created_at: string;
  readonly expires_at: string;
  /** The parts that are there, while it is being uploaded in parts. */
  readonly parts: readonly FilePart[] | null;
  /** Where its bytes can be put with one request (`PUT`); null unless it was asked for. Only the first answer has it. */
  readonly upload: { readonly url: string; readonly expires_at: string } | null;
  readonly urls: { readonly get: string; readonly content: string };
}

const fileUrl = (publicUrl: string, id: string): string => `${publicUrl}/v1/files/${id}`;

export function fileRecord(
  file: StoredFile,
  parts: readonly FilePart[] | null,
  publicUrl: string,
  upload: FileRecord['upload'] = null,
): FileRecord {
  const { id, filename, purpose, created_at, expires_at, content } = file;
  const url = fileUrl(publicUrl, id);
  return {
    id,
    object: 'file',
    status: content === null ? 'uploading' : 'ready',
    filename,
    media_type: content?.media_type ?? file.media_type,
    bytes: content?.bytes ?? null,
    sha256: content?.sha256 ?? null,
    purpose,
    created_at,
    expires_at,
    parts,
    upload,
    urls: { get: url, content: `${url}/content` },
  };
}

/* URLs with which clients read and write objects of a bucket themselves. */
import {
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import type { PresignedRequest, PresignedUrl } from './payload-store.ts';

/** How long a URL can be used. */
const USABLE_S = 3600;

export class S3Presigner {
  readonly #client: S3Client;

  constructor(configuration: S3ClientConfig) {
    this.#client = new S3Client({
      ...configuration,
      // Otherwise the checksum of no bytes would be part of the URL.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
  }

  async sign(
    object: { readonly Bucket: string; readonly Key: string },
    wanted: PresignedRequest,
  ): Promise<PresignedUrl> {
    const { getSignedUrl } = await import('@aws-sdk/s3-request-presigner'); // few need it
    const expiresAtMs = Date.now() + USABLE_S * 1000;
    const command =
      wanted.method === 'GET'
        ? new GetObjectCommand({ ...object, ResponseContentType: wanted.mediaType })
        : new PutObjectCommand({ ...object, ContentLength: wanted.bytes });
    const options = { expiresIn: USABLE_S, unhoistableHeaders: new Set(['content-length']) };
    return { url: await getSignedUrl(this.#client, command, options), expiresAtMs };
  }
}

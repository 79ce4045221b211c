/*
 * A model repository of a hub such as Hugging Face's: which commit a revision is, and what files that has
 * (https://huggingface.co/docs/hub/api).
 */
import { z } from 'zod';
import { messageOf } from '../contract/failure.ts';
import { isPlainPath } from '../contract/model.ts';
import { HubError } from './hub-error.ts';
import { type Hub, request } from './request.ts';

/** How the bytes of a file are known: large files by their sha256, others by the hash that git gives them. */
type FileHash =
  | { readonly kind: 'sha256'; readonly hex: string }
  | { readonly kind: 'git'; readonly hex: string };

export interface HubFile {
  /** In the repository. */
  readonly path: string;
  readonly bytes: number;
  readonly hash: FileHash;
}

export interface HubRepository {
  /** `org/name`. */
  readonly name: string;
  /** 40 hexadecimal digits. */
  readonly commit: string;
  /** What the repository says that it is for, such as `text-classification`. */
  readonly task: string | null;
  readonly license: string | null;
  readonly files: readonly HubFile[];
}

const COMMIT = /^[0-9a-f]{40}$/;
const MAX_ANSWER_BYTES = 32 * 1024 ** 2;

const answerSchema = z.object({
  sha: z.string().regex(COMMIT),
  pipeline_tag: z.string().nullish(),
  cardData: z.object({ license: z.unknown() }).nullish(),
  siblings: z.array(
    z.object({
      rfilename: z.string(),
      size: z.int().min(0).nullish(),
      blobId: z.string().regex(COMMIT).nullish(),
      lfs: z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/), size: z.int().min(0) }).nullish(),
    }),
  ),
});

type Sibling = z.infer<typeof answerSchema>['siblings'][number];

/** Null for what cannot be checked, or lies where no file of ours may lie. */
function fileOf({ rfilename: path, size, blobId, lfs }: Sibling): HubFile | null {
  if (!isPlainPath(path)) return null;
  if (lfs) return { path, bytes: lfs.size, hash: { kind: 'sha256', hex: lfs.sha256 } };
  if (typeof size !== 'number' || !blobId) return null;
  return { path, bytes: size, hash: { kind: 'git', hex: blobId } };
}

/** Looks a revision up: a branch, a tag or a commit. Throws `HubError`. */
export async function findRepository(
  hub: Hub,
  name: string,
  revision: string,
): Promise<HubRepository> {
  const url = `${hub.endpoint}/api/models/${name}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const { body } = await request(hub, url);
  const text = await textOf(body, MAX_ANSWER_BYTES);
  const parsed = answerSchema.safeParse(jsonOf(text));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = `${issue?.path.join('.')}: ${issue?.message}`;
    throw new HubError(`${hub.endpoint} does not answer as a hub does (${where})`);
  }
  const { sha, pipeline_tag: task, cardData, siblings } = parsed.data;
  const license = cardData?.license;
  return {
    name,
    commit: sha,
    task: task ?? null,
    license: typeof license === 'string' ? license : null,
    files: siblings.map(fileOf).filter((file) => file !== null),
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HubError(`the hub's answer is no JSON (${messageOf(error)})`, { cause: error });
  }
}

async function textOf(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new HubError('the hub answers without end');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

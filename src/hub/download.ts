/* One file of a hub: resumed where it broke off, and taken only when it has its size and its hash. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolder } from '../disk/make-folder.ts';
import { HubError } from './hub-error.ts';
import type { HubFile, HubRepository } from './repository.ts';
import { type Hub, type HubAnswer, persistently, requestOnce } from './request.ts';

/** Told how many bytes of a file are there. */
export type OnBytes = (bytes: number) => void;

/**
 * Downloads a file to `target`; returns its sha256. What an earlier try has left in `<target>.part` is gone on with.
 * Throws `HubError`; then nothing is at `target`.
 */
export async function download(
  hub: Hub,
  { name, commit }: HubRepository,
  file: HubFile,
  target: string,
  onBytes: OnBytes,
): Promise<string> {
  const url = `${hub.endpoint}/${name}/resolve/${commit}/${file.path}`;
  const part = `${target}.part`;
  await makeFolder(dirname(target));
  await persistently(async () => await fetchRest(hub, url, file, part, onBytes));
  const { sha256, isRight } = await checkFile(part, file);
  if (!isRight) {
    await rm(part);
    throw new HubError(
      `${file.path} is not what the hub says it is: its hash is another. Pull again.`,
    );
  }
  await rename(part, target);
  return sha256;
}

/** Adds what is missing to `part`; throws when it breaks off again. */
async function fetchRest(
  hub: Hub,
  url: string,
  file: HubFile,
  part: string,
  onBytes: OnBytes,
): Promise<void> {
  let have = await stat(part).then(
    ({ size }) => size,
    () => 0,
  );
  if (have > file.bytes) {
    await rm(part);
    have = 0;
  }
  onBytes(have);
  if (have === file.bytes && have > 0) return;
  const range: Record<string, string> = have > 0 ? { Range: `bytes=${have}-` } : {};
  const answer = await requestOnce(hub, url, range);
  if (have > 0 && !continues(answer, have)) have = 0; // all of it comes again
  const output = await open(part, have > 0 ? 'a' : 'w');
  try {
    await append(answer, output, { have, file, onBytes });
  } finally {
    await output.close();
  }
}

const continues = ({ status, headers }: HubAnswer, from: number): boolean =>
  status === 206 && (headers.get('Content-Range') ?? '').startsWith(`bytes ${from}-`);

async function append(
  answer: HubAnswer,
  output: FileHandle,
  {
    have,
    file,
    onBytes,
  }: { readonly have: number; readonly file: HubFile; readonly onBytes: OnBytes },
): Promise<void> {
  let bytes = have;
  for await (const chunk of answer.body) {
    bytes += chunk.length;
    if (bytes > file.bytes) {
      await output.truncate(0);
      throw new Error(`${file.path} is longer than the ${file.bytes} bytes that the hub says`);
    }
    await output.writeFile(chunk);
    onBytes(bytes);
  }
  await output.sync();
  if (bytes < file.bytes)
    throw new Error(`${file.path} broke off at ${bytes} of ${file.bytes} bytes`);
}

/** The sha256 of a file here, and whether it is the file of the hub. */
export async function checkFile(
  path: string,
  { bytes, hash }: HubFile,
): Promise<{ readonly sha256: string; readonly isRight: boolean }> {
  const sha256 = createHash('sha256');
  // https://git-scm.com/book/en/v2/Git-Internals-Git-Objects: git hashes a header, too.
  const git = createHash('sha1').update(`blob ${bytes}\0`);
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    sha256.update(chunk);
    git.update(chunk);
  }
  const found = { sha256: sha256.digest('hex'), git: git.digest('hex') };
  return { sha256: found.sha256, isRight: found[hash.kind] === hash.hex };
}

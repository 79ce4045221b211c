/* The file that holds the API keys (BUZZER_KEYS_FILE): read by the API, changed by `npm run keys`. */
import type { Stats } from 'node:fs';
import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { z } from 'zod';
import { messageOf } from '../contract/failure.ts';
import { readSmallFile } from '../disk/small-file.ts';
import { type ApiKey, apiKeySchema } from './api-key.ts';

const MAX_FILE_BYTES = 4 * 1024 ** 2; // some 15,000 keys

const fileSchema = z.strictObject({ keys: z.array(apiKeySchema) });

/** The file is missing, or is not a keys file. The message is for a person and shows nothing of its content. */
export class KeysFileError extends Error {
  override readonly name = 'KeysFileError';
}

/** The keys in a file; throws `KeysFileError`. */
export async function readKeys(path: string): Promise<readonly ApiKey[]> {
  const text = await readSmallFile(path, MAX_FILE_BYTES).catch((error: unknown) => {
    throw new KeysFileError(`the keys file ${path} ${messageOf(error)}`, { cause: error });
  });
  if (text === null) {
    const advice = 'make the first key with npm run keys -- create --tenant <name>';
    throw new KeysFileError(`the keys file ${path} does not exist: ${advice}`);
  }
  const parsed = fileSchema.safeParse(jsonOf(text));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = `${issue?.path.join('.') || 'the file'}: ${issue?.message}`;
    throw new KeysFileError(`the keys file ${path} is not what npm run keys writes (${where})`);
  }
  const { keys } = parsed.data;
  const double = keys.find(({ id }, index) => keys.findIndex((each) => each.id === id) < index);
  if (double === undefined) return keys;
  throw new KeysFileError(`the keys file ${path} has two keys ${double.id}`);
}

/**
 * Writes what `change` makes of the keys; a file that does not exist has none. Readers see the old
 * file or the new one. Throws `KeysFileError`, also when another change is under way.
 */
export async function changeKeys(
  path: string,
  change: (keys: readonly ApiKey[]) => readonly ApiKey[],
): Promise<void> {
  const real = await realpath(path).catch(() => path); // it may be a link
  const next = `${real}.new`; // its existence also tells a second change to stay away
  const file = await open(next, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    const isBusy = error.code === 'EEXIST';
    const why = isBusy ? `another change is under way; if none is, delete ${next}` : error.message;
    throw new KeysFileError(`the keys file ${path} cannot be changed: ${why}`, { cause: error });
  });
  try {
    const before = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw new KeysFileError(`the keys file ${path} cannot be read: ${error.message}`);
    });
    if (before !== null) await keepReadable(file, before, path);
    const keys = change(before === null ? [] : await readKeys(path));
    await file.writeFile(`${JSON.stringify({ keys }, null, 2)}\n`);
    await file.sync();
    await rename(next, real);
  } catch (error) {
    await rm(next, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** Whoever could read the old file must be able to read the new one: the API may run as another user. */
async function keepReadable(file: FileHandle, { uid, gid, mode }: Stats, path: string) {
  const mine = await file.stat();
  try {
    if (mine.uid !== uid || mine.gid !== gid) await file.chown(uid, gid);
    await file.chmod(mode & 0o777);
  } catch (error) {
    const detail = `the keys file ${path} belongs to another user (${uid}): change it as that user`;
    throw new KeysFileError(detail, { cause: error });
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

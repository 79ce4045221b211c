/*
 * The hashes of a model's files. Hashing a gigabyte takes seconds, which a process that takes the place of a dead one
 * does not have. So a file is hashed again only when it may have changed.
 */
import { stat } from 'node:fs/promises';
import type { Manifest } from '../contract/model.ts';
import { sha256OfFile } from '../disk/hash-file.ts';

/**
 * Throws when a file has not the hash that the manifest says. `known` is what earlier checks have returned, each
 * entry a file as it was when its hash was right: such files are not read again. Returns the entries of all files.
 */
export async function checkFiles(
  { files }: Pick<Manifest, 'files'>,
  paths: Readonly<Record<string, string>>,
  known: ReadonlySet<string>,
): Promise<readonly string[]> {
  const checked: string[] = [];
  for (const [role, { sha256 }] of Object.entries(files)) {
    if (sha256 === undefined) continue;
    const path = paths[role] ?? '';
    // Whoever changes a file can set its time of modification, but not that of its change (ctime).
    const { ino, size, mtimeMs, ctimeMs } = await stat(path);
    const entry = [path, ino, size, mtimeMs, ctimeMs, sha256].join(' ');
    if (!known.has(entry)) {
      const found = await sha256OfFile(path);
      if (found !== sha256) {
        throw new Error(`files.${role}: sha256 is ${found}, but the manifest says ${sha256}`);
      }
    }
    checked.push(entry);
  }
  return checked;
}

import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder, and those above it, for its owner only; no error when it is there. (Not with
 * `recursive`: on file systems such as /proc, Node would try for ever.) Throws what the system says.
 */
export async function makeFolder(path: string): Promise<void> {
  const missing: string[] = [];
  let folder = resolve(path);
  for (;;) {
    const found = await stat(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (found?.isDirectory() === false) {
      const what = { code: 'ENOTDIR', syscall: 'mkdir', path: folder };
      throw Object.assign(new Error(`${folder} is not a folder`), what);
    }
    if (found !== null) break;
    missing.unshift(folder);
    folder = dirname(folder);
  }
  for (const each of missing) {
    await mkdir(each, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error; // somebody else was faster
    });
    await stat(each); // throws when there is a link that leads nowhere
  }
}

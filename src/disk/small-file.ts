/* Reads small files that people or other processes write. There may be a pipe, or an endless file, in their place. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/** Without O_NONBLOCK, opening a pipe that nobody writes to never returns. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK;

/** Something is there but cannot be read. The message continues a sentence about the file: "is not a file". */
export class SmallFileError extends Error {
  override readonly name = 'SmallFileError';
}

/** The text of a file of at most `maxBytes`; null when there is none. Throws `SmallFileError`. */
export async function readSmallFile(path: string, maxBytes: number): Promise<string | null> {
  try {
    const file = await open(path, READ);
    try {
      const found = await file.stat();
      if (!found.isFile()) throw new SmallFileError('is not a file');
      if (found.size > maxBytes) {
        throw new SmallFileError(`has ${found.size} bytes, at most ${maxBytes} are read`);
      }
      return await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof SmallFileError) throw error;
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    if (code === 'ENXIO') throw new SmallFileError('is not a file', { cause: error }); // a socket
    throw new SmallFileError(`cannot be read (${code})`, { cause: error });
  }
}

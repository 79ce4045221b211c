import type { Request } from 'express';
import type { StoredFile } from '../../contract/file.ts';
import type { Files, NewFile, ReceivedFile } from '../../files/files.ts';
import { plainMediaType, plainName } from './file-labels.ts';
import { readForm } from './multipart.ts';

interface FormOfFile {
  /** What is known of the file before the form says its name and its media type. */
  readonly file: Omit<NewFile, 'filename' | 'media_type'>;
  readonly maxBytes: number;
  /** The names of the texts that may stand beside it. */
  readonly texts: readonly string[];
}

/**
 * Stores the file of a form. `describe` says what is kept of it, when all of the form was read; null: there is none.
 * Whatever fails, nothing of it is left.
 */
export async function fileInForm(
  request: Request,
  { file, maxBytes, texts }: FormOfFile,
  files: Files,
  describe: (found: ReceivedFile | null, texts: ReadonlyMap<string, string>) => ReceivedFile,
): Promise<StoredFile> {
  const received: ReceivedFile[] = [];
  try {
    const found = await readForm(request, { maxFiles: 1, texts }, async (part) => {
      const { filename, mediaType, body } = part;
      const labels = { filename: plainName(filename), media_type: plainMediaType(mediaType) };
      const storing = { maxBytes, sha256: null };
      received.push(await files.receive({ ...file, ...labels }, body, storing));
    });
    return await files.record(describe(received[0] ?? null, found));
  } catch (error) {
    for (const each of received) await files.drop(each).catch(() => {}); // the sweep finds it
    throw error;
  }
}

/* Writes examples/models/babble: its files are named in its manifest with their hashes, so all are written together. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { languageModelFiles } from '../onnx/language-model.ts';

const CONTEXT = 1024;
/** A small language model takes about as long for a token. */
const TOKEN_DELAY_MS = 10;

/** Writes the version into its folder. */
export async function writeBabble(folder: string): Promise<void> {
  const files: Record<string, { path: string; sha256: string }> = {};
  for (const [path, content] of Object.entries(languageModelFiles({ context: CONTEXT, work: 0 }))) {
    const bytes = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content));
    files[path] = { path, sha256: createHash('sha256').update(bytes).digest('hex') };
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), bytes);
  }
  const manifest = {
    pipeline: 'transformers',
    description:
      'Writes nonsense as a language model writes: for trying out streams, cancels and crashes',
    options: { task: 'text-generation', token_delay_ms: TOKEN_DELAY_MS },
    files,
    resources: { memory_mb: 1024 },
    timeouts: { run_s: 300 },
  };
  await writeFile(join(folder, 'model.json'), `${JSON.stringify(manifest, null, 2)}\n`);
}

/* The model `digits`, which takes its time for each step. */
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Adds it to a folder of models as `slow-digits`. */
export async function addSlowDigits(models: string, stepDelayMs: number): Promise<void> {
  const folder = join(models, 'slow-digits', '1');
  await cp('models/digits/1', folder, { recursive: true });
  const path = join(folder, 'model.json');
  const manifest = JSON.parse(await readFile(path, 'utf8')) as { options: object };
  const options = { ...manifest.options, step_delay_ms: stepDelayMs };
  await writeFile(path, JSON.stringify({ ...manifest, options }));
}

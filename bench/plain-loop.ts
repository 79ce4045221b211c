/* OCR without Buzzer: the same pipeline, called in a loop in one process. Prints pages a second. */
import { readFile } from 'node:fs/promises';
import { ModelRepository } from '../src/models/repository.ts';
import { ItemContext } from '../src/runtime/item-context.ts';
import { openOcr } from '../src/pipelines/ocr/pipeline.ts';

const pages = Number(process.argv[2]);
const version = (await ModelRepository.open(['models'])).find('ocr', null);
if (version === undefined) throw new Error('no OCR model');
const limits = { maxPixels: 100_000_000 };
const pipeline = await openOcr({ ...version, device: 'cpu', limits, maxOutputBytes: 1024 ** 2 });
const context = new ItemContext(0, null, () => {});
const image = await readFile('examples/page.png');
const read = async () =>
  await pipeline.infer({ input: { image }, options: { min_confidence: 0.5 } }, context);
await read();
process.on('message', () => {
  void (async () => {
    const startedAt = performance.now();
    for (let page = 0; page < pages; page++) await read();
    process.send?.(pages / ((performance.now() - startedAt) / 1000));
  })();
});
process.send?.('ready');

/*
 * Sentiment without Buzzer: the same pipeline, called in a process of its own. Asked for `one`, it answers with the
 * median milliseconds of a text; asked for `many`, with texts a second in batches of 32.
 */
import { ModelRepository } from '../src/models/repository.ts';
import { openTransformers } from '../src/pipelines/transformers/pipeline.ts';
import { ItemContext } from '../src/runtime/item-context.ts';
import { latencyMs } from './pairs.ts';

const version = (await ModelRepository.open(['models'])).find('sentiment', null);
if (version === undefined) throw new Error('no sentiment model');
const limits = { maxPixels: 1 };
const pipeline = await openTransformers({
  ...version,
  device: 'cpu',
  limits,
  maxOutputBytes: 1024 ** 2,
});
const item = {
  input: { inputs: 'The room was clean, but the staff could have been friendlier.' },
  options: { top_k: 5 },
};
const batch = Array.from({ length: 32 }, () => item);
const context = new ItemContext(0, null, () => {});
const contexts = batch.map(() => context);
const BATCHES = 60;

process.on('message', (question) => {
  void (async () => {
    if (question === 'one') {
      const one = async () => await pipeline.infer(item, context);
      process.send?.(await latencyMs(300, one));
      return;
    }
    const startedAt = performance.now();
    for (let count = 0; count < BATCHES; count++) await pipeline.inferBatch?.(batch, contexts);
    process.send?.((BATCHES * batch.length) / ((performance.now() - startedAt) / 1000));
  })();
});
process.send?.('ready');

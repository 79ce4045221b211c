/*
 * How much of the time of a run its graphs take, in a process of its own: the rest is what Buzzer adds, checkpoints and
 * previews included. Asked `<steps> <guidance> <pixels>`, it answers with that share.
 */
import { InferenceSession } from 'onnxruntime-node';
import { readVersionFolder } from '../src/models/manifest.ts';
import { openDiffusion } from '../src/pipelines/diffusion/pipeline.ts';

let inGraphsMs = 0;
/** Of several decodings in a run only the last is that of the image; the others are previews. */
let lastDecodedMs = 0;

interface Runs {
  run(feeds: object, ...more: readonly unknown[]): Promise<unknown>;
}
const sessions = (InferenceSession as unknown as { prototype: Runs }).prototype;
const run = Reflect.get(sessions, 'run') as (this: Runs, ...given: unknown[]) => Promise<unknown>;
sessions.run = async function timed(this: Runs, feeds, ...more) {
  const beganAtMs = performance.now();
  const result = await run.call(this, feeds, ...more);
  const tookMs = performance.now() - beganAtMs;
  if ('latent_sample' in feeds) lastDecodedMs = tookMs;
  else inGraphsMs += tookMs;
  return result;
};
const [folder = ''] = process.argv.slice(2);
const content = await readVersionFolder(folder);
const pipeline = await openDiffusion({
  ...content,
  device: 'cpu',
  limits: { maxPixels: 1 },
  maxOutputBytes: 1024 ** 3,
});

process.on('message', (question) => {
  void (async () => {
    const [steps, guidance, side] = String(question).split(' ').map(Number);
    const options = content.schema.options.parse({
      seed: 1,
      scheduler: 'euler',
      num_inference_steps: steps,
      guidance_scale: guidance,
      width: side,
      height: side,
    });
    const context = {
      signal: new AbortController().signal,
      before: null,
      report: () => {},
      emit: (part: object) => void JSON.stringify(part),
      count: () => {},
    };
    inGraphsMs = 0;
    const beganAtMs = performance.now();
    await pipeline.infer({ input: { prompt: 'a handwritten seven' }, options }, context);
    process.send?.((inGraphsMs + lastDecodedMs) / (performance.now() - beganAtMs));
  })();
});
process.send?.('ready');

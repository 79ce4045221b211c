/*
 * Images without Buzzer: the same graphs in a loop that somebody would write by hand (Euler, guidance, PNG), in a
 * process of its own. Asked `<images> <steps> <guidance> <size of the latents>`, it answers with images a second.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import sharp from 'sharp';

const [folder = '', tokens = ''] = process.argv.slice(2);
const options = { intraOpNumThreads: 1, interOpNumThreads: 1 } as const;
const open = async (name: string) =>
  await InferenceSession.create(join(folder, name, 'model.onnx'), options);
const [encoder, unet, decoder] = await Promise.all(
  ['text_encoder', 'unet', 'vae_decoder'].map(open),
);
const config = JSON.parse(readFileSync(join(folder, 'unet/config.json'), 'utf8')) as {
  in_channels: number;
};
const scale = (
  JSON.parse(readFileSync(join(folder, 'vae_decoder/config.json'), 'utf8')) as {
    scaling_factor: number;
  }
).scaling_factor;
const scheduler = JSON.parse(
  readFileSync(join(folder, 'scheduler/scheduler_config.json'), 'utf8'),
) as { prediction_type?: string };
const isVelocity = scheduler.prediction_type === 'v_prediction';
const ids = BigInt64Array.from(tokens.split(','), BigInt);
const timestep = unet?.inputMetadata.find(({ name }) => name === 'timestep');
const isWhole = timestep?.isTensor === true && timestep.type === 'int64';
const isScalar = timestep?.isTensor === true && timestep.shape.length === 0;

const trained = (() => {
  let left = 1;
  return Array.from({ length: 1000 }, (_, step) => {
    const root = Math.sqrt(0.00085) + ((Math.sqrt(0.012) - Math.sqrt(0.00085)) * step) / 999;
    left *= 1 - root * root;
    return Math.sqrt((1 - left) / left);
  });
})();

const normal = () =>
  Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

const at = (time: number) =>
  isWhole
    ? new Tensor('int64', BigInt64Array.of(BigInt(Math.round(time))), isScalar ? [] : [1])
    : new Tensor('float32', Float32Array.of(time), isScalar ? [] : [1]);

async function image(steps: number, guidance: number, side: number): Promise<Buffer> {
  const runs = guidance > 1 ? 2 : 1;
  const text = await encoder?.run({
    input_ids: new Tensor(
      'int64',
      BigInt64Array.from([...ids, ...ids].slice(0, runs * ids.length)),
      [runs, ids.length],
    ),
  });
  const states = text?.['last_hidden_state'] as Tensor;
  const times = Array.from(
    { length: steps },
    (_, step) => Math.round(1000 - (step * 1000) / steps) - 1,
  );
  const sigmas = [...times.map((time) => trained[time] ?? 0), 0];
  const size = config.in_channels * side * side;
  const latents = Float32Array.from({ length: size }, () => normal() * (sigmas[0] ?? 1));
  const input = new Float32Array(runs * size);
  for (const [step, time] of times.entries()) {
    const [sigma = 1, next = 0] = [sigmas[step], sigmas[step + 1]];
    const norm = Math.sqrt(sigma * sigma + 1);
    for (let index = 0; index < size; index++) {
      const value = (latents[index] as number) / norm;
      for (let run = 0; run < runs; run++) input[run * size + index] = value;
    }
    const output = await unet?.run({
      sample: new Tensor('float32', input, [runs, config.in_channels, side, side]),
      timestep: at(time),
      encoder_hidden_states: states,
    });
    const predicted = output?.['out_sample']?.data as Float32Array;
    for (let index = 0; index < size; index++) {
      const first = predicted[index] as number;
      const value =
        runs === 1 ? first : first + guidance * ((predicted[size + index] as number) - first);
      const latent = latents[index] as number;
      const original = isVelocity
        ? latent / (norm * norm) - (sigma / norm) * value
        : latent - sigma * value;
      latents[index] = latent + ((latent - original) / sigma) * (next - sigma);
    }
  }
  const decoded = await decoder?.run({
    latent_sample: new Tensor(
      'float32',
      latents.map((value) => value / scale),
      [1, config.in_channels, side, side],
    ),
  });
  const sample = decoded?.['sample'] as Tensor;
  const [, , height = 0, width = 0] = sample.dims;
  const planes = sample.data as Float32Array;
  const pixels = Buffer.alloc(3 * height * width);
  for (let channel = 0; channel < 3; channel++) {
    for (let index = 0; index < height * width; index++) {
      const value = ((planes[channel * height * width + index] as number) / 2 + 0.5) * 255;
      pixels[index * 3 + channel] = Math.max(0, Math.min(255, Math.round(value)));
    }
  }
  return await sharp(pixels, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

process.on('message', (question) => {
  void (async () => {
    const [images = 1, steps = 1, guidance = 1, side = 8] = String(question).split(' ').map(Number);
    const startedAt = performance.now();
    for (let count = 0; count < images; count += 1) await image(steps, guidance, side);
    process.send?.(images / ((performance.now() - startedAt) / 1000));
  })();
});
process.send?.('ready');

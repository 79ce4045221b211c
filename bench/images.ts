/* What Buzzer adds to the making of an image, how good the digits are, memory, and what kills cost. */
import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ClipTokenizer } from '../src/pipelines/diffusion/clip-tokenizer.ts';
import { modelProcesses, Service } from '../test/support/service.ts';
import { addSlowDigits } from '../test/support/slow-digits.ts';
import { pythonWith } from '../test/support/python.ts';
import { ask, residentMegabytes, startChild } from './children.ts';
import { inPairs, median, print } from './pairs.ts';
import { infer, openRuntime, versionOf } from './port.ts';

const PAIRS = 7;
const PROMPT = 'a handwritten seven';
const NAMES = 'zero one two three four five six seven eight nine'.split(' ');
const PER_DIGIT = 50;
const LATENTS = 64; // those of Stable Diffusion at 512 × 512
const GUIDANCE = 7.5;
const LONG_PAIRS = 11;
const KILLS = 10;

export async function measureImages(): Promise<void> {
  const models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await measureShort();
  await measureTiny(models);
  await measureDigits();
  await measureKills(models);
  await rm(models, { recursive: true });
}

const inputOf = (prompt: string) => ({ prompt: { kind: 'value' as const, value: prompt } });

async function tokensIn(folder: string): Promise<string> {
  const tokenizer = await ClipTokenizer.open({
    config: join(folder, 'tokenizer/tokenizer_config.json'),
    whole: undefined,
    vocabulary: join(folder, 'tokenizer/vocab.json'),
    merges: join(folder, 'tokenizer/merges.txt'),
  });
  return tokenizer.encode(PROMPT).join(',');
}

/** Digits at their defaults: too short for a checkpoint or a preview. */
async function measureShort(): Promise<void> {
  const folder = resolve('models/digits/1');
  const runtime = openRuntime();
  const version = await versionOf('digits');
  await runtime.serve(version);
  const plain = await startChild('bench/plain-diffusion.ts', folder, await tokensIn(folder));
  const images = 100;
  const speed = await inPairs(
    PAIRS,
    async () => {
      const startedAt = performance.now();
      for (let seed = 0; seed < images; seed += 1) {
        await infer(runtime, version, inputOf(PROMPT), { seed });
      }
      return images / ((performance.now() - startedAt) / 1000);
    },
    async () => await ask(plain, `${images} 20 1 8`),
  );
  print('digits of 20 steps, at the port against the same graphs in a loop', speed, 'images/s');
  plain.kill('SIGKILL');
  await runtime.close();
}

/** The tiny model in two sizes: runs that are over before there is a checkpoint, and longer ones. */
async function measureTiny(models: string): Promise<void> {
  const folder = join(models, 'tiny', '1');
  await cp('test/fixtures/diffusion/tiny', folder, { recursive: true });
  const options = { max_size: 2 * LATENTS, max_pixel_steps: 10 ** 9 };
  const manifest = { pipeline: 'diffusion', options, timeouts: { run_s: 600 } };
  await writeFile(join(folder, 'model.json'), JSON.stringify(manifest));
  const runtime = openRuntime();
  const version = await versionOf('tiny', { folder: models });
  await runtime.serve(version);
  const plain = await startChild('bench/plain-diffusion.ts', folder, await tokensIn(folder));
  const own = await startChild('bench/diffusion-share.ts', folder);
  for (const [latents, steps, images] of [
    [LATENTS / 2, 20, 5],
    [LATENTS, 30, 1],
  ] as const) {
    const parts = { checkpoints: 0, previews: 0 };
    const side = 2 * latents;
    const asked = { width: side, height: side, num_inference_steps: steps };
    const more = { seed: 1, scheduler: 'euler', guidance_scale: GUIDANCE };
    const speed = await inPairs(
      LONG_PAIRS,
      async () => {
        const startedAt = performance.now();
        for (let image = 0; image < images; image += 1) {
          await infer(runtime, version, inputOf(PROMPT), { ...asked, ...more }, (part) => {
            parts.checkpoints += Number('checkpoint' in part);
            parts.previews += Number('preview' in part);
          });
        }
        return images / ((performance.now() - startedAt) / 1000);
      },
      async () => await ask(plain, `${images} ${steps} ${GUIDANCE} ${latents}`),
    );
    print(`tiny, ${steps} steps at ${latents} × ${latents} latents, the same`, speed, 'images/s');
    const shares: number[] = [];
    for (let count = 0; count < LONG_PAIRS; count += 1) {
      shares.push(await ask(own, `${steps} ${GUIDANCE} ${side}`));
    }
    const share = Math.round(1000 * median(shares)) / 10;
    console.log(`  of the time of a run, its graphs take ${share} % (p50 of ${LONG_PAIRS})`);
    const runs = images * (LONG_PAIRS + 1);
    console.log(
      `  ${parts.checkpoints} checkpoints and ${parts.previews} previews in ${runs} runs`,
    );
  }
  plain.kill('SIGKILL');
  own.kill('SIGKILL');
  await runtime.close();
}

/** 500 digits: whether they are what was asked for, how different, how fast; and the memory meanwhile. */
async function measureDigits(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'buzzer-digits-'));
  const runtime = openRuntime();
  const version = await versionOf('digits');
  await runtime.serve(version);
  const times: number[] = [];
  const make = async (digit: number, number: number) => {
    const prompt = `a handwritten ${NAMES[digit]}`;
    const seed = digit * 1000 + number;
    const { files, inferenceMs } = await infer(runtime, version, inputOf(prompt), { seed });
    times.push(inferenceMs);
    await writeFile(join(folder, `${digit}-${number}.png`), files[0]?.bytes ?? '');
  };
  await mkdir(folder, { recursive: true });
  for (let number = 0; number < 5; number += 1) await make(0, number);
  const [pid = 0] = modelProcesses(process.pid);
  const memory = [residentMegabytes(pid)];
  for (let digit = 0; digit < NAMES.length; digit += 1) {
    for (let number = 0; number < PER_DIGIT; number += 1) await make(digit, number);
    memory.push(residentMegabytes(pid));
  }
  console.log(`a digit takes ${median(times)} ms in the model process (p50 of ${times.length})`);
  console.log(`memory of the model process over 500 images, in MB: ${memory.join(', ')}`);
  await runtime.close();
  const python = await pythonWith('digits-score', 'models/digits/requirements.txt');
  console.log(
    execFileSync(python, ['models/digits/score.py', folder], { encoding: 'utf8' }).trim(),
  );
  await rm(folder, { recursive: true });
}

/** kill -9 of the model process and of the worker by turns, at steps by chance. */
async function measureKills(models: string): Promise<void> {
  await addSlowDigits(models, 300);
  const service = await Service.startAlone({
    BUZZER_MODELS: models,
    BUZZER_LOG_LEVEL: 'warn',
    BUZZER_HEARTBEAT_TIMEOUT: '4s',
  });
  try {
    const hashOf = async (id: string) => {
      const { output } = await service.ended(id, 120_000);
      return (output as unknown as { images: { sha256: string }[] }).images[0]?.sha256;
    };
    const submit = async () => {
      const body = { model: 'slow-digits', input: { prompt: PROMPT }, options: { seed: 9 } };
      return ((await (await service.post(body)).json()) as { id: string }).id;
    };
    const whole = await hashOf(await submit());
    for (let count = 0; count < KILLS; count += 1) {
      const id = await submit();
      const at = 2 + Math.floor(Math.random() * 16);
      await service.readUntil(id, `step ${at}`, ({ progress }) => stepIn(progress) >= at);
      const isWorker = count % 2 === 1;
      if (isWorker) {
        await service.inference.signal('SIGKILL');
        await service.inference.start();
      } else {
        for (const pid of modelProcesses(service.inference.pid)) process.kill(pid, 'SIGKILL');
      }
      const again = await service.readUntil(id, 'the next attempt', (record) => {
        return record.completed_at !== null || (record.attempt > 1 && record.progress !== null);
      });
      const isSame = (await hashOf(id)) === whole;
      const victim = isWorker ? 'worker' : 'model process';
      console.log(
        `killed its ${victim} at step ${at}: went on at step ${stepIn(again.progress)}, same bytes: ${isSame}`,
      );
    }
  } finally {
    await service.close();
  }
}

const stepIn = (progress: { readonly message: string } | null): number =>
  Number(/step (\d+)/.exec(progress?.message ?? '')?.[1] ?? 0);

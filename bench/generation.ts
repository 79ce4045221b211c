/* What streaming costs a text, how soon it is seen, what a crash costs it, and memory over many texts. */
import { readFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Prediction } from '../src/contract/prediction.ts';
import { addLanguageModel } from '../test/support/language-model.ts';
import { modelProcesses, Service } from '../test/support/service.ts';
import { followText } from '../test/support/text-stream.ts';
import { ask, residentMegabytes, startChild } from './children.ts';
import { inPairs, median, percentile, print } from './pairs.ts';
import { infer, openRuntime, versionOf } from './port.ts';

const PAIRS = 7;
const TOKENS = 200;
/** A matrix is multiplied so often for each token: 5 ms or more. */
const WORK = 500;
const STREAMS = 20;
/** With 20 texts at once, the two cores are needed for what is measured, so the network waits instead of working. */
const STREAM_DELAY_MS = 50;
const STREAM_TOKENS = 120;
const LEAK_TEXTS = 300;
const INPUT = { inputs: 'Once upon a time' };

export async function measureGeneration(): Promise<void> {
  const models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addLanguageModel(models, 'working', { work: WORK });
  await addLanguageModel(models, 'quick');
  await addLanguageModel(models, 'waiting', {
    tokenDelayMs: STREAM_DELAY_MS,
    manifest: { resources: { replicas: STREAMS, memory_mb: 512, preload: true } },
  });
  await measureSpeed(models);
  await measureMemory(models);
  const service = await Service.startAlone({
    BUZZER_MODELS: `${models},examples/models`,
    BUZZER_LOG_LEVEL: 'warn',
  });
  try {
    await measureStreams(service);
    await measureCrashes(service);
    await measureCancels(service);
  } finally {
    await service.close();
  }
}

async function measureSpeed(models: string): Promise<void> {
  const runtime = openRuntime();
  const version = await versionOf('working', { folder: models });
  await runtime.serve(version);
  const input = { inputs: { kind: 'value' as const, value: INPUT.inputs } };
  const plain = await startChild('bench/plain-generation.ts', join(models, 'working', '1'));
  const options = { temperature: 0, max_new_tokens: TOKENS };
  const speed = await inPairs(
    PAIRS,
    async () => {
      const startedAt = performance.now();
      await infer(runtime, version, input, options);
      return TOKENS / ((performance.now() - startedAt) / 1000);
    },
    async () => await ask(plain, TOKENS),
  );
  print('a text of 200 tokens, at the port against the library with a streamer', speed, 'tokens/s');
  plain.kill('SIGKILL');
  await runtime.close();
}

async function measureMemory(models: string): Promise<void> {
  const runtime = openRuntime();
  const version = await versionOf('quick', { folder: models });
  await runtime.serve(version);
  const input = { inputs: { kind: 'value' as const, value: INPUT.inputs } };
  const several = async (count: number) => {
    for (let index = 0; index < count; index += 1) {
      await infer(runtime, version, input, { max_new_tokens: 60, seed: index });
    }
  };
  await several(LEAK_TEXTS / 10);
  const [pid = 0] = modelProcesses(process.pid);
  const before = residentMegabytes(pid);
  await several(LEAK_TEXTS);
  console.log(
    `memory of its process over ${LEAK_TEXTS} texts: ${before} MB, ${residentMegabytes(pid)} MB`,
  );
  await runtime.close();
}

async function submit(service: Service, model: string, options: object): Promise<Prediction> {
  const response = await service.post({ model, input: INPUT, options });
  return (await response.json()) as Prediction;
}

const eventsOf = (service: Service, { id }: Prediction) =>
  `${service.url}/v1/predictions/${id}/events`;

const cpuSeconds = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
};

/** From the first token, which comes a delay after the attempt has begun, to the first event of the text. */
async function measureStreams(service: Service): Promise<void> {
  const options = { max_new_tokens: STREAM_TOKENS };
  const one = async () => {
    const prediction = await submit(service, 'waiting', options);
    let firstAtMs = 0;
    const followed = await followText(eventsOf(service, prediction), {
      onText: () => {
        if (firstAtMs === 0) firstAtMs = Date.now();
      },
    });
    const record = followed.records.at(-1);
    const firstTokenMs = Date.parse(record?.started_at ?? '') + STREAM_DELAY_MS;
    return firstAtMs - firstTokenMs;
  };
  await Promise.all(Array.from({ length: STREAMS }, one)); // every process has run once
  const lates: number[] = [];
  const before = cpuSeconds(service.api.pid);
  const startedAt = Date.now();
  for (let round = 0; round < 3; round += 1) {
    lates.push(...(await Promise.all(Array.from({ length: STREAMS }, one))));
  }
  const cores = (cpuSeconds(service.api.pid) - before) / ((Date.now() - startedAt) / 1000);
  console.log(
    `${STREAMS} streams at once: the first event ${median(lates)} ms after the first token (p50), ` +
      `${percentile(lates, 95)} ms (p95); the API took ${cores.toFixed(2)} of a core`,
  );
}

/** Killed at token 40 of 80: the same text, and how much of it was written twice. */
async function measureCrashes(service: Service): Promise<void> {
  const options = { max_new_tokens: 80, seed: 42 };
  const uncut = await submit(service, 'babble', options);
  const { text } = await followText(eventsOf(service, uncut));
  const victims = {
    'model process': async () => {
      for (const pid of modelProcesses(service.inference.pid)) process.kill(pid, 'SIGKILL');
      await Promise.resolve();
    },
    worker: async () => {
      await service.inference.signal('SIGKILL');
      await service.inference.start();
    },
  };
  for (const [name, kill] of Object.entries(victims)) {
    const prediction = await submit(service, 'babble', options);
    let killing: Promise<void> | undefined;
    const followed = await followText(eventsOf(service, prediction), {
      onText: (seen) => {
        if (seen.text.length >= text.length / 2) killing ??= kill();
      },
    });
    await killing;
    const { attempt } = await service.read(prediction.id);
    const isSame = followed.text === text;
    console.log(
      `killed its ${name} at half of 80 tokens: attempt ${attempt}, same text: ${isSame}`,
    );
  }
}

/** From the answer to a cancel to the end of the run. */
async function measureCancels(service: Service): Promise<void> {
  const times: number[] = [];
  for (let count = 0; count < 20; count += 1) {
    const { id } = await submit(service, 'babble', { max_new_tokens: 900 });
    await service.readUntil(id, 'to have text', (record) => record.partial_output !== null);
    await service.cancel(id);
    const canceledAtMs = Date.now();
    const record = await service.ended(id);
    times.push(Date.parse(record.completed_at ?? '') - canceledAtMs);
  }
  console.log(
    `from a cancel to its end: ${median(times)} ms (p50), ${percentile(times, 95)} ms (p95)`,
  );
}

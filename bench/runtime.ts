/* What the model runtime costs and gives, measured at its port: Temporal is out of the way. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { burnGraph } from '../src/onnx/example-graphs.ts';
import type { ProcessModelRuntime } from '../src/runtime/process-runtime.ts';
import { addModel } from '../test/support/runtimes.ts';
import { burn, Service } from '../test/support/service.ts';
import { ask, startChild } from './children.ts';
import { inPairs, median, print, throughput } from './pairs.ts';
import { infer, openRuntime, packed, versionOf } from './port.ts';

const PAIRS = 7;
const MIB = 1024 ** 2;

export async function measureBatching(): Promise<void> {
  const [together, alone] = [openRuntime(), openRuntime()];
  const version = await versionOf('mlp', { batching: { max_size: 64 } });
  const single = await versionOf('mlp', { batching: { max_size: 1 } });
  await together.serve(version);
  await alone.serve(single);
  const x = packed('x', [1, 784], new Float32Array(784).fill(0.5));
  const rate = await inPairs(
    PAIRS,
    async () => await throughput(8000, 64, async () => await infer(together, version, x, BINARY)),
    async () => await throughput(1500, 64, async () => await infer(alone, single, x, BINARY)),
  );
  print('mlp, 64 callers, batches of up to 64 against max_size 1', rate, '/s');
  await together.close();
  await alone.close();
}

const BINARY = { binary: true };

export async function measureReplicas(): Promise<void> {
  const image = { image: { kind: 'media' as const, bytes: await readFile('examples/page.png') } };
  const [one, two] = [openRuntime(), openRuntime()];
  const version = await versionOf('ocr');
  const doubled = await versionOf('ocr', { resources: { replicas: 2 } });
  await one.serve(version);
  await two.serve(doubled);
  const pages = 12;
  const ofTwo = async () =>
    await throughput(pages, 4, async () => await infer(two, doubled, image));
  const scaling = await inPairs(
    PAIRS,
    ofTwo,
    async () => await throughput(pages, 4, async () => await infer(one, version, image)),
  );
  print('ocr, 2 replicas against 1', scaling, 'pages/s');
  const loops = await Promise.all(
    [1, 2].map(async () => await startChild('bench/plain-loop.ts', String(pages / 2))),
  );
  const loop = await inPairs(PAIRS, ofTwo, async () => {
    const rates = await Promise.all(loops.map(async (child) => await ask(child, 'go')));
    return rates.reduce((sum, rate) => sum + rate, 0);
  });
  print('ocr, 2 replicas against 2 plain loops', loop, 'pages/s');
  for (const child of loops) child.kill('SIGKILL');
  await one.close();
  await two.close();
}

export async function measureBoundary(): Promise<void> {
  const runtime = openRuntime();
  const version = await versionOf('affine');
  await runtime.serve(version);
  const bare = await startChild('bench/bare-run.ts');
  for (const [label, count] of [
    ['600 KB', 150_000],
    ['12 MB', 3_000_000],
  ] as const) {
    const x = packed('x', [1, count], new Float32Array(count));
    const { ours, floor } = await inPairs(
      PAIRS,
      async () => {
        const times: number[] = [];
        for (let time = 0; time < 50; time++) {
          const startedAt = performance.now();
          await infer(runtime, version, x, BINARY);
          times.push(performance.now() - startedAt);
        }
        return median(times);
      },
      async () => await ask(bare, count),
    );
    const over = (ours - floor).toFixed(2);
    console.log(
      `boundary, ${label} in and out: ${ours.toFixed(2)} ms against ${floor.toFixed(2)} ms, ${over} ms over it`,
    );
  }
  bare.kill('SIGKILL');
  await runtime.close();
}

export async function measureLeaks(): Promise<void> {
  const runtime = openRuntime();
  const affine = await versionOf('affine');
  await runtime.serve(affine);
  const x = packed('x', [1, 16], new Float32Array(16));
  await watchMemory('affine, 10,000 inferences', runtime, 10_000, async () => {
    await infer(runtime, affine, x, BINARY);
  });
  await runtime.retire(affine.ref);
  const ocr = await versionOf('ocr');
  await runtime.serve(ocr);
  const { default: sharp } = await import('sharp');
  const page = await readFile('examples/page.png');
  await watchMemory('ocr, 500 pages of varying size', runtime, 500, async (index) => {
    const width = 200 + ((index * 97) % 600);
    await infer(runtime, ocr, {
      image: { kind: 'media' as const, bytes: await sharp(page).resize(width).png().toBuffer() },
    });
  });
  await runtime.close();
}

async function watchMemory(
  what: string,
  runtime: ProcessModelRuntime,
  count: number,
  run: (index: number) => Promise<void>,
): Promise<void> {
  const megabytes: number[] = [];
  for (let index = 0; index < count; index++) {
    await run(index);
    const rss = runtime.states()[0]?.rss_bytes ?? 0;
    if (index >= count / 10 && index % Math.ceil(count / 200) === 0) megabytes.push(rss / MIB);
  }
  const [first = 0, ...rest] = megabytes;
  const tenth = Math.ceil(rest.length / 10);
  const [early, late] = [median(megabytes.slice(0, tenth)), median(rest.slice(-tenth))];
  const range = `${Math.min(first, ...rest).toFixed(0)} to ${Math.max(first, ...rest).toFixed(0)} MB`;
  console.log(
    `${what}: ${early.toFixed(0)} MB after the first tenth, ${late.toFixed(0)} MB at the end (${range})`,
  );
}

/** How long a heartbeat was away at most, while both cores are busy. */
export async function measureHeartbeats(): Promise<void> {
  const models = await mkdtemp(join(tmpdir(), 'buzzer-bench-'));
  await addModel(models, 'burn', burnGraph(), {
    resources: { replicas: 2 },
    timeouts: { run_s: 120 },
  });
  const service = await Service.startAlone({ BUZZER_LOG_LEVEL: 'warn', BUZZER_MODELS: models });
  const seconds = 10;
  const records = await Promise.all(
    [1, 2, 3, 4].map(async () => await service.submit('burn', burn(seconds))),
  );
  const latest = new Map<string, number>();
  let longestMs = 0;
  const untilMs = Date.now() + 1.5 * seconds * 1000;
  while (Date.now() < untilMs) {
    for (const { id } of records) {
      const text = await service.temporalCli('workflow', 'describe', '-w', id, '-o', 'json');
      const [activity] = (JSON.parse(text) as Described).pendingActivities ?? [];
      const beat = Date.parse(activity?.lastHeartbeatTime ?? '');
      const before = latest.get(id);
      if (Number.isNaN(beat)) continue;
      if (before !== undefined && beat > before) longestMs = Math.max(longestMs, beat - before);
      latest.set(id, beat);
    }
  }
  console.log(
    `heartbeats, sent every second by 4 runs of ${seconds} s on 2 cores: at most ${longestMs} ms apart`,
  );
  await service.close();
  await rm(models, { recursive: true });
}

interface Described {
  readonly pendingActivities?: readonly { readonly lastHeartbeatTime?: string }[];
}

/* What a batch costs: against single predictions, against plain loops, and for the single predictions beside it. */
import type { Batch } from '../src/contract/batch.ts';
import type { FileRecord } from '../src/contract/file.ts';
import { readFile } from 'node:fs/promises';
import { burn, modelProcesses, Service } from '../test/support/service.ts';
import { ask, peakMegabytes, startChild } from './children.ts';
import { call } from './http-client.ts';
import { median, percentile, throughput } from './pairs.ts';

const JSON_TYPE = { 'Content-Type': 'application/json' };
const WAIT = { ...JSON_TYPE, Prefer: 'wait' };
const affine = (n: number) => ({ x: [[n]] });
const REVIEW = 'The room was clean, but the staff could have been friendlier.';
const PAGES = 200;

export async function measureBatches(): Promise<void> {
  const service = await Service.startAlone({ BUZZER_LOG_LEVEL: 'warn' });
  try {
    await againstSinglePredictions(service);
    await aMillion(service);
    await reviewsAgainstALoop(service);
    await pagesAgainstALoop(service);
    for (const model of ['affine', 'burn'] as const) await besideSinglePredictions(service, model);
  } finally {
    await service.close();
  }
}

function* lines(total: number, input: (n: number) => unknown): Generator<string> {
  for (let n = 0; n < total; n += 1000) {
    let text = '';
    for (let at = n; at < Math.min(total, n + 1000); at++) {
      text += `${JSON.stringify({ custom_id: `n${at}`, input: input(at) })}\n`;
    }
    yield text;
  }
}

async function submit(service: Service, model: string, body: Iterable<string>): Promise<Batch> {
  const response = await fetch(`${service.url}/v1/batches?model=${model}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/jsonl' },
    body: ReadableStream.from(encoded(body)),
    duplex: 'half',
  });
  const text = await response.text();
  if (response.status !== 202) throw new Error(`${response.status}: ${text}`);
  return JSON.parse(text) as Batch;
}

const encoder = new TextEncoder();
function* encoded(body: Iterable<string>): Generator<Uint8Array> {
  for (const text of body) yield encoder.encode(text);
}

async function end(service: Service, { id }: Batch): Promise<Batch> {
  for (;;) {
    const batch = (await call('GET', `${service.url}/v1/batches/${id}?wait=60`)) as Batch;
    if (batch.completed_at === null) continue;
    if (batch.status === 'succeeded' && batch.request_counts.failed === 0) return batch;
    throw new Error(`${id}: ${batch.status} ${JSON.stringify(batch.request_counts)}`);
  }
}

/** Items a second, from the first byte of the upload to the end. */
async function run(
  service: Service,
  model: string,
  [...body]: Iterable<string>,
  total: number,
): Promise<{ readonly rate: number; readonly batch: Batch }> {
  const startedAt = performance.now();
  const batch = await end(service, await submit(service, model, body));
  return { rate: total / ((performance.now() - startedAt) / 1000), batch };
}

async function eventsOf(service: Service, { id }: Batch): Promise<number> {
  const shown = await service.temporalCli('workflow', 'describe', '-w', id, '-o', 'json');
  const { workflowExecutionInfo: info } = JSON.parse(shown) as {
    workflowExecutionInfo: { historyLength: string };
  };
  return Number(info.historyLength);
}

async function againstSinglePredictions(service: Service): Promise<void> {
  const total = 10_000;
  const body = JSON.stringify({ model: 'affine', input: affine(20) });
  const single = async () => await call('POST', `${service.url}/v1/predictions`, WAIT, body);
  await throughput(64, 64, single);
  await run(service, 'affine', lines(total, affine), total);
  const rates: number[] = [];
  const ratios: number[] = [];
  const events: number[] = [];
  for (let time = 0; time < 5; time++) {
    const { rate, batch } = await run(service, 'affine', lines(total, affine), total);
    rates.push(rate);
    ratios.push(rate / (await throughput(256, 64, single)));
    events.push(await eventsOf(service, batch));
  }
  console.log(
    `a batch of ${total} affine items: ${median(rates).toFixed(0)} /s, ` +
      `${median(ratios).toFixed(0)} × single predictions, ${median(events) / 10} events for each 1,000`,
  );
}

async function aMillion(service: Service): Promise<void> {
  const total = 1_000_000;
  const startedAt = performance.now();
  const batch = await end(service, await submit(service, 'affine', lines(total, affine)));
  const seconds = (performance.now() - startedAt) / 1000;
  let found = 0;
  const output = await fetch(batch.urls.output);
  for await (const bytes of output.body ?? []) {
    for (const byte of bytes as Uint8Array) if (byte === 10) found += 1;
  }
  const peaks = ['api', 'orchestration', 'inference'] as const;
  const memory = peaks.map((part) => `${part} ${peakMegabytes(service[part].pid)} MB`).join(', ');
  const models = modelProcesses(service.inference.pid).map(peakMegabytes);
  console.log(
    `${total} items: ${seconds.toFixed(0)} s, ${(total / seconds).toFixed(0)} /s, ${found} results, ` +
      `${await eventsOf(service, batch)} events; peaks so far: ${memory}, model processes ${models.join(', ')} MB`,
  );
}

async function reviewsAgainstALoop(service: Service): Promise<void> {
  const total = 10_000;
  const loop = await startChild('bench/plain-sentiment.ts');
  const ratios: number[] = [];
  const both: number[][] = [];
  const text = { inputs: REVIEW };
  for (let pair = 0; pair < 5; pair++) {
    const { rate } = await run(
      service,
      'sentiment',
      lines(total, () => text),
      total,
    );
    const floor = await ask(loop, 'many');
    both.push([rate, floor]);
    ratios.push(rate / floor);
  }
  loop.kill('SIGKILL');
  const [ours, floor] = [0, 1].map((at) => median(both.map((pair) => pair[at] ?? 0)).toFixed(0));
  console.log(
    `${total} texts through sentiment: ${ours} against ${floor} /s, ratio ${median(ratios).toFixed(2)}`,
  );
}

async function pagesAgainstALoop(service: Service): Promise<void> {
  const half = PAGES / 2;
  const loop = await startChild('bench/plain-loop.ts', String(half));
  const page = await readFile('examples/page.png');
  const stored = await call(
    'POST',
    `${service.url}/v1/files`,
    { 'Content-Type': 'image/png' },
    page,
  );
  const image = (stored as FileRecord).id;
  const items = () => lines(PAGES, () => ({ image }));
  const before = await ask(loop, 'go');
  const { rate } = await run(service, 'ocr', items(), PAGES);
  const after = await ask(loop, 'go');
  loop.kill('SIGKILL');
  const floor = 2 / (1 / before + 1 / after); // half of the pages before ours, half after them
  console.log(
    `${PAGES} pages through ocr: ${rate.toFixed(2)} against ${floor.toFixed(2)} /s, ratio ${(rate / floor).toFixed(2)}`,
  );
}

async function besideSinglePredictions(service: Service, model: 'affine' | 'burn'): Promise<void> {
  const input = model === 'affine' ? affine(1) : burn(0.2);
  const body = JSON.stringify({ model, input });
  const times = async () => {
    const all: number[] = [];
    for (let time = 0; time < 40; time++) {
      const startedAt = performance.now();
      await call('POST', `${service.url}/v1/predictions`, WAIT, body);
      all.push(performance.now() - startedAt);
    }
    return percentile(all, 95);
  };
  const without = await times();
  const batch = await submit(
    service,
    'burn',
    lines(2000, () => burn(0.2)),
  );
  for (;;) {
    const found = (await call('GET', `${service.url}/v1/batches/${batch.id}`)) as Batch;
    if (found.status === 'processing') break;
  }
  const beside = await times();
  const now = (await call('GET', `${service.url}/v1/batches/${batch.id}`)) as Batch;
  if (now.completed_at !== null) throw new Error(`${batch.id} ended too early`);
  await fetch(`${service.url}/v1/batches/${batch.id}/cancel`, { method: 'POST' });
  console.log(
    `single ${model}, p95: ${without.toFixed(0)} ms alone, ${beside.toFixed(0)} ms beside a batch of burn ` +
      `that had done ${now.request_counts.succeeded} items`,
  );
}

/* Model files that go wrong, change and come back while the service runs. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { affineGraph, burnGraph, mlpGraph } from '../../src/onnx/example-graphs.ts';
import { until } from '../support/conditions.ts';
import { futureGraph } from '../support/graphs.ts';
import { addModel } from '../support/runtimes.ts';
import { affine, burn, isAlive, modelProcesses, Service } from '../support/service.ts';

let service: Service;
let models: string;

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  await addModel(models, 'affine', affineGraph());
  await addModel(models, 'burn', burnGraph());
  const unreadable = join(models, 'unreadable');
  await symlink('unreadable', unreadable); // whose reading fails, for root as well
  service = await Service.start({
    BUZZER_MODELS: `${models},${unreadable},models`,
    BUZZER_SHUTDOWN_GRACE: '2s', // shorter than the runs below: only a stopped worker has to keep it
  });
});
afterAll(async () => {
  await service.close();
  await rm(models, { recursive: true });
});

/** Another model is served as if nothing were the matter. */
const bystander = async () => {
  const { id } = await service.submit('affine', affine(1));
  expect(await service.ended(id)).toMatchObject({ status: 'succeeded', attempt: 1 });
};
const isUnavailable = async (name: string, reason: string) =>
  await until(`${name} to be unavailable`, async () => {
    const model = await service.model(name);
    const isSo = model.state === 'unavailable' && (model.reason ?? '').includes(reason);
    return isSo ? true : undefined;
  });
/** The model processes, once those of versions that were replaced are gone. */
const settledProcesses = async () =>
  await until('a process for each loaded model, and no other', async () => {
    const { data } = (await (await fetch(`${service.url}/v1/models`)).json()) as {
      data: readonly { state: string }[];
    };
    const pids = modelProcesses(service.inference.pid);
    const loaded = data.filter(({ state }) => state === 'ready' || state === 'loading');
    return pids.length === loaded.length ? pids : undefined;
  });
const half = (graph: Uint8Array) => graph.subarray(0, graph.length / 2);

test.each([
  ['corrupt', Buffer.from('no graph at all'), 'files.model'],
  ['truncated', half(mlpGraph()), 'files.model'],
])(
  'a %s file is refused with its reason, and served once it is repaired',
  async (name, bytes, reason) => {
    await addModel(models, name, bytes);
    await isUnavailable(name, reason);
    const refused = await service.post({ model: name, input: affine() });
    await bystander();
    await addModel(models, name, affineGraph());
    await until('it to be served', async () =>
      (await service.model(name)).state === 'idle' ? true : undefined,
    );
    const { id } = await service.submit(name, affine(3));

    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: 'model_unavailable' });
    expect(await service.ended(id)).toMatchObject({ status: 'succeeded' });
  },
);

test('a file that is missing is refused with its reason, and served once it is there', async () => {
  await addModel(models, 'missing', affineGraph(), { files: { model: { path: 'other.onnx' } } });
  await isUnavailable('missing', 'other.onnx does not exist');
  await writeFile(join(models, 'missing', '1', 'other.onnx'), affineGraph());
  await until('it to be served', async () =>
    (await service.model('missing')).state === 'idle' ? true : undefined,
  );
  const { id } = await service.submit('missing', affine(3));

  expect(await service.ended(id)).toMatchObject({ status: 'succeeded' });
});

test.each([
  [
    'swapped',
    affineGraph(),
    { files: { model: { path: 'model.onnx', sha256: '0'.repeat(64) } } },
    'sha256',
  ],
  ['future', futureGraph(), {}, 'opset'],
])(
  'a %s file is found out when it is loaded: its predictions wait, and succeed once it is repaired',
  async (name, graph, manifest, reason) => {
    await addModel(models, name, graph, manifest);
    await until('it to be known', async () =>
      (await service.model(name)).state === 'idle' ? true : undefined,
    );
    const { id } = await service.submit(name, affine(3));
    await isUnavailable(name, reason);
    const waiting = await service.readUntil(id, 'to say why it waits', ({ queue }) => {
      return queue?.reason === 'model_unavailable';
    });
    await bystander();
    await addModel(models, name, affineGraph());

    expect(waiting.status).toBe('queued');
    expect(await service.ended(id)).toMatchObject({ status: 'succeeded' });
  },
);

test('a new version is served without a restart; what was accepted for the old one finishes on it', async () => {
  const running = await service.submit('burn', burn(3));
  const waiting = await service.submit('burn', burn(0.2));
  const pid = service.inference.pid;
  await addModel(join(models, 'burn'), '.incoming', Buffer.from('')); // no version: not looked at
  await addModel(models, 'incoming', burnGraph());
  await rename(join(models, 'incoming', '1'), join(models, 'burn', '2'));
  await until('version 2', async () =>
    (await service.model('burn')).version === 2 ? true : undefined,
  );
  const next = await service.submit('burn', burn(0.1));
  await rename(join(models, 'burn', '1'), join(models, 'burn', 'old'));

  expect(next.version).toBe(2);
  expect(await service.ended(next.id)).toMatchObject({ status: 'succeeded', version: 2 });
  for (const { id } of [running, waiting]) {
    expect(await service.ended(id)).toMatchObject({ status: 'succeeded', version: 1, attempt: 1 });
  }
  expect(service.inference.pid).toBe(pid);
  const gone = await until('version 1 to be gone', async () => {
    const response = await service.post({ model: 'burn@1', input: burn(0.1) });
    return response.status === 404 ? response.status : undefined;
  });
  expect(gone).toBe(404);
});

test('broken and repaired while it runs, a version lets the run end and is served again', async () => {
  const { id } = await service.submit('burn', burn(7));
  await service.busyModelProcess();
  const { version } = await service.model('burn');
  const file = join(models, 'burn', String(version), 'model.onnx');
  await rename(file, `${file}.away`);
  await isUnavailable('burn', 'does not exist');
  await rename(`${file}.away`, file);
  const next = await until('it to be accepted again', async () =>
    service.submit('burn', burn(0.1)).catch(() => undefined),
  );

  expect(await service.ended(id)).toMatchObject({ status: 'succeeded', attempt: 1 });
  expect(await service.ended(next.id)).toMatchObject({ status: 'succeeded', attempt: 1 });
});

test('changed while it runs, a version lets the run end', async () => {
  const { id } = await service.submit('burn', burn(6));
  await service.busyModelProcess();
  const { version } = await service.model('burn');
  const manifest = { pipeline: 'tensor', description: 'changed' };
  const path = join(models, 'burn', String(version), 'model.json');
  await writeFile(path, JSON.stringify(manifest));
  const next = await service.submit('burn', burn(0.1));

  expect(await service.ended(id)).toMatchObject({ status: 'succeeded', attempt: 1 });
  expect(await service.ended(next.id)).toMatchObject({ status: 'succeeded' });
});

test('a version whose file is replaced is loaded anew; others keep their process', async () => {
  await bystander();
  const before = await settledProcesses();
  await addModel(models, 'changing', affineGraph());
  await until('it to be known', async () =>
    (await service.model('changing')).state === 'idle' ? true : undefined,
  );
  const first = await service.submit('changing', affine(1));
  await service.ended(first.id);
  await addModel(models, 'changing', affineGraph(), { description: 'changed' });
  const second = await until('its new manifest', async () => {
    const model = (await service.model('changing')) as { description?: string };
    return model.description === 'changed'
      ? await service.submit('changing', affine(2))
      : undefined;
  });

  expect(await service.ended(second.id)).toMatchObject({ status: 'succeeded' });
  for (const pid of before) expect(isAlive(pid)).toBe(true);
});

test('a full disk while an output is stored costs attempts, not the prediction', async () => {
  const limit = (soft: string) =>
    execFileSync('prlimit', ['--pid', String(service.inference.pid), `--fsize=${soft}:unlimited`]);
  limit('4096');
  const values = Array.from({ length: 3000 }, (_, index) => index);
  const x = { name: 'x', datatype: 'FP32', shape: [1, values.length], data: values };
  const { id } = await service.submit('affine', { inputs: [x] });
  const waiting = await service.readUntil(id, 'to be tried again', ({ attempt }) => attempt >= 2);
  limit('unlimited');
  const record = await service.ended(id);

  expect(waiting.error).toBeNull();
  expect(record.status).toBe('succeeded');
});

test('stopped while it loads a model, the worker ends in order and leaves no process', async () => {
  const { id } = await service.submit('ocr', {
    image: `data:image/png;base64,${(await readFile('examples/page.png')).toString('base64')}`,
  });
  const pids = await until('a process that loads', () => {
    const found = modelProcesses(service.inference.pid);
    return found.length > 0 ? found : undefined;
  });
  await service.inference.signal('SIGTERM');
  const left = pids.filter(isAlive);
  const { exitCode } = service.inference;
  await service.inference.start();

  expect(exitCode).toBe(0);
  expect(left).toEqual([]);
  expect(await service.ended(id)).toMatchObject({ status: 'succeeded' });
});

test('the worker tells Prometheus how its models are doing', async () => {
  await bystander();
  const urls = service.inference.output.matchAll(/http:[^"]*\/metrics/g);
  const url = [...urls].at(-1)?.[0] ?? '';
  const text = await (await fetch(url)).text();
  const ready = await fetch(url.replace('metrics', 'readyz'));

  expect(ready.status).toBe(200);
  expect(text).toContain('buzzer_device_info{requested="cpu",device="cpu"} 1');
  expect(text).toMatch(/buzzer_model_state\{model="affine",version="1",state="ready"\} 1/);
  expect(text).toMatch(/buzzer_model_memory_bytes\{model="affine",version="1"\} \d{8}/);
  expect(text).toMatch(
    /buzzer_attempts_total\{model="affine",version="1",outcome="succeeded"\} \d/,
  );
  expect(text).toMatch(/buzzer_inference_duration_seconds_count\{model="affine",version="1"\} \d/);
});

/* `npm run pull`, against a hub that cuts, shortens, corrupts, refuses and stalls. */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { installFromHub } from '../../../src/hub/install.ts';
import { findRepository } from '../../../src/hub/repository.ts';
import { ModelRepository } from '../../../src/models/repository.ts';
import { COMMIT, type FakeHub, type HubFault, startHub } from '../../support/hub.ts';
import { inferOn, openRuntime, outputOf } from '../../support/runtimes.ts';

const NAMES = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'onnx/model.onnx'];
let files: Record<string, Buffer>;
let models: string;
let hub: FakeHub;

beforeAll(async () => {
  const read = async (name: string) => [name, await readFile(join('models/sentiment/1', name))];
  files = {
    ...(Object.fromEntries(await Promise.all(NAMES.map(read))) as typeof files),
    'README.md': Buffer.from('# Tiny'),
    'onnx/model_fp16.onnx': Buffer.from('not asked for'),
  };
});
beforeEach(async () => {
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  hub = await startHub(files);
});
afterEach(async () => {
  await hub.close();
  await rm(models, { recursive: true });
});

/** Runs the command; its exit status and what it prints. */
async function pull(...args: readonly string[]): Promise<{ status: number; text: string }> {
  return await new Promise((resolve) => {
    execFile(
      process.execPath,
      ['dist/cli/pull.js', ...args, '--models', models],
      { env: { PATH: process.env['PATH'], HF_ENDPOINT: hub.url, HF_TOKEN: 'hf_secret' } },
      (error, stdout, stderr) => {
        resolve({ status: error === null ? 0 : Number(error.code), text: stdout + stderr });
      },
    );
  });
}

const install = async (fault: HubFault, maxSilenceMs = 5000) => {
  hub.fault = fault;
  const own = { endpoint: hub.url, token: null, maxSilenceMs };
  const repository = await findRepository(own, 'org/tiny', 'main');
  const options = {
    models,
    name: 'tiny',
    title: 'tiny',
    task: 'text-classification',
    dtype: 'fp32',
  } as const;
  return await installFromHub(own, repository, { ...options, onProgress: () => {} });
};

/** What is served of it. */
const served = async () => (await ModelRepository.open([models])).all().map(({ ref }) => ref);

test('a model is pulled by one command, and says the same as where it comes from', async () => {
  const { status, text } = await pull('org/tiny@main');
  const manifest = JSON.parse(await readFile(join(models, 'tiny/1/model.json'), 'utf8')) as object;

  expect(text).toContain(`org/tiny at ${COMMIT}, licence apache-2.0`);
  expect(text).toContain(`${models}/tiny/1 is version 1.`);
  expect(status).toBe(0);
  expect(manifest).toMatchObject({
    pipeline: 'transformers',
    options: { task: 'text-classification', dtype: 'fp32' },
    license: 'apache-2.0',
    source: `${hub.url}/org/tiny/tree/${COMMIT}`,
  });
  const found = await readdir(join(models, 'tiny/1'), { recursive: true });
  expect(found.toSorted()).toEqual([...NAMES, 'model.json', 'onnx'].toSorted());
  const runtime = await openRuntime([models]);
  try {
    const options = { options: { top_k: 1 } };
    const output = outputOf(await inferOn(runtime, 'tiny', { inputs: 'I love it' }, options));
    expect(output).toMatchObject([{ label: 'POSITIVE' }]);
  } finally {
    await runtime.close();
  }
});

test('pulled again, it is there already; of other files it is the next version', async () => {
  await pull('org/tiny');
  await mkdir(join(models, 'tiny/7'));
  await writeFile(join(models, 'tiny/7/model.json'), '{ damaged');
  const again = await pull('org/tiny');
  const left = await readdir(join(models, 'tiny'));
  await rm(join(models, 'tiny/7'), { recursive: true });
  const config = Buffer.concat([files['config.json'] ?? Buffer.alloc(0), Buffer.from(' ')]);
  await hub.close();
  hub = await startHub({ ...files, 'config.json': config });
  const changed = await pull('org/tiny');

  expect(again.text).toContain(`${models}/tiny/1 is this very model already.`);
  expect(left.toSorted()).toEqual(['1', '7']); // no second copy
  expect(changed.text).toContain(`${models}/tiny/2 is version 2.`);
  expect(await served()).toEqual([
    { name: 'tiny', version: 2 },
    { name: 'tiny', version: 1 },
  ]);
});

test('the token is for the hub alone, not for those who keep its files', async () => {
  await hub.close();
  hub = await startHub(files, { elsewhere: true });
  expect((await pull('org/tiny')).status).toBe(0);
  const tokens = new Map(hub.requests.map(({ path, token }, index) => [`${index} ${path}`, token]));

  expect([...tokens.values()].filter((token) => token === 'Bearer hf_secret')).toHaveLength(5);
  expect([...tokens.values()].filter((token) => token === undefined)).toHaveLength(4);
});

describe('faults', () => {
  test.each<[string, HubFault]>([
    ['a connection that breaks again and again', { cutAfter: 200_000 }],
    ['a refusal that passes', { status: { code: 503, times: 2 } }],
    ['too many requests', { status: { code: 429, times: 1 } }],
    ['a hub that falls silent', { stalls: { times: 1 } }],
  ])(
    '%s costs nothing but time',
    async (_what, fault) => {
      const { version } = await install(fault, 1000);
      expect(version).toBe(1);
      expect(await served()).toHaveLength(1);
      for (const name of NAMES) {
        expect(
          (await readFile(join(models, 'tiny/1', name))).equals(files[name] ?? Buffer.alloc(0)),
        ).toBe(true);
      }
    },
    30_000,
  );

  test('what has come is not fetched again', async () => {
    await install({ cutAfter: 200_000 });
    const asked = hub.requests.filter(({ path }) => path.endsWith('tokenizer.json'));
    const starts = asked.map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0));

    expect(starts.length).toBeGreaterThan(3);
    expect(starts[0]).toBe(0);
    expect(starts).toEqual(starts.toSorted((a, b) => a - b)); // always further on
    expect(new Set(starts).size).toBe(starts.length);
  }, 30_000);

  test.each<[string, HubFault, string]>([
    ['shortened files', { endsAt: 100 }, 'broke off at 100 of'],
    ['files of another content', { isCorrupt: true }, 'its hash is another'],
    ['files that go on', { isLong: true }, 'is longer than'],
    ['a forbidden one', { status: { code: 403, times: 99 } }, 'set HF_TOKEN'],
    ['a hub that is down', { status: { code: 500, times: 99 } }, '(tried 5 times)'],
    ['a hub that starts anew each time', { ignoresRange: true, cutAfter: 50 }, '(tried 5 times)'],
  ])(
    '%s are taken for nothing',
    async (_what, fault, message) => {
      await expect(install(fault)).rejects.toThrow(message);
      expect(await served()).toEqual([]);
      expect(await readdir(join(models, 'tiny'))).toEqual(['.1.partial']); // which is gone on with

      expect((await install({})).version).toBe(1);
      expect(await served()).toHaveLength(1);
    },
    30_000,
  );
});

test.each([
  [['org/other'], 'answers 404 Not Found: check the names of repository and revision'],
  [['tiny'], 'tiny is neither org/name nor a folder'],
  [['org/tiny', '--dtype', 'fp8'], '--dtype must be one of fp32'],
  [
    ['org/tiny', '--dtype', 'q8'],
    'no onnx/model_quantized.onnx (q8): it has onnx/model.onnx, onnx/model_fp16.onnx',
  ],
  [['org/tiny', '--task', 'poetry'], 'it is for poetry: give --task'],
  [
    ['org/tiny', '--task', 'image-classification'],
    'the repository has no preprocessor_config.json',
  ],
  [['org/tiny', '--name', '../up'], 'cannot be the name of a model'],
  [['./nowhere', '--task', 'text-classification'], 'nowhere is not a folder'],
  [['org/tiny', '--colour', 'red'], "Unknown option '--colour'"],
])('%p is refused with a line that says why', async (args, message) => {
  const { status, text } = await pull(...args);

  expect(text).toContain(message);
  expect(text).not.toContain('hf_secret');
  expect(text).not.toContain('    at ');
  expect(status).toBe(1);
});

test('what an earlier try has left of another purpose or commit is not in the version', async () => {
  const left = join(models, 'tiny/.1.partial');
  await mkdir(join(left, 'onnx'), { recursive: true });
  await writeFile(join(left, 'preprocessor_config.json'), '{}');
  await writeFile(join(left, 'onnx/model_fp16.onnx.part'), 'half');
  await writeFile(
    join(left, 'tokenizer_config.json'),
    Buffer.alloc(files['tokenizer_config.json']?.length ?? 0),
  );
  await install({});
  const folder = join(models, 'tiny/1');

  expect((await readdir(folder)).toSorted()).toEqual(
    [...NAMES.slice(0, 3), 'model.json', 'onnx'].toSorted(),
  );
  expect(await readdir(join(folder, 'onnx'))).toEqual(['model.onnx']);
  expect(await readFile(join(folder, 'tokenizer_config.json'))).toEqual(
    files['tokenizer_config.json'],
  );
});

test('a folder is taken as a hub is', async () => {
  const folder = join(models, 'elsewhere');
  for (const [name, bytes] of Object.entries(files)) {
    await mkdir(join(folder, name, '..'), { recursive: true });
    await writeFile(join(folder, name), bytes);
  }
  const { text } = await pull(folder, '--task', 'text-classification', '--name', 'mine');

  expect(text).toContain(`${models}/mine/1 is version 1.`);
  expect((await ModelRepository.open([models])).find('mine', 1)).toBeDefined();
});

describe('a model for images', () => {
  const layout = async (rename: (path: string) => string = (path) => path) => {
    const folder = 'test/fixtures/diffusion/tiny';
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const paths = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    const read = async (path: string) =>
      [rename(path.slice(folder.length + 1)), await readFile(path)] as const;
    return Object.fromEntries(await Promise.all(paths.map(read)));
  };

  test('is pulled in the layout of diffusers, one variant only and no code', async () => {
    await hub.close();
    hub = await startHub(
      {
        ...(await layout()),
        'unet/model_fp16.onnx': Buffer.from('not asked for'),
        'unet/diffusion_pytorch_model.safetensors': Buffer.from('not asked for'),
        'pipeline.py': Buffer.from('raise SystemExit'),
      },
      { task: 'text-to-image' },
    );
    const { status, text } = await pull('org/tiny', '--name', 'a-turbo');
    const folder = join(models, 'a-turbo/1');
    const manifest = JSON.parse(await readFile(join(folder, 'model.json'), 'utf8')) as object;
    const found = await readdir(folder, { recursive: true });

    expect(text).toContain('a-turbo/1 is version 1.');
    expect(status).toBe(0);
    expect(manifest).toMatchObject({
      pipeline: 'diffusion',
      options: {}, // what it is called here says nothing of it
      files: { 'unet/model.onnx': { path: 'unet/model.onnx' } },
    });
    expect(found.filter((path) => /fp16|safetensors|\.py$/.test(path))).toEqual([]);
    const runtime = await openRuntime([models]);
    try {
      const inference = await inferOn(runtime, 'a-turbo', { prompt: 'a house' });
      expect(inference.files).toHaveLength(1);
    } finally {
      await runtime.close();
    }
  });

  test('is pulled as fp16 where all of its graphs are there as such', async () => {
    await hub.close();
    hub = await startHub(await layout((path) => path.replace('.onnx', '_fp16.onnx')));
    const refused = await pull('org/tiny');
    const { status } = await pull('org/tiny', '--dtype', 'fp16');

    expect(refused.text).toMatch(/has no unet\/model\.onnx, .*: it has .*unet\/model_fp16\.onnx/);
    expect(status).toBe(0);
    expect(await served()).toEqual([{ name: 'tiny', version: 1 }]);
  });

  test('takes one step when its name says that it was distilled to that', async () => {
    const folder = join(models, '..', `${basename(models)}-from`, 'SD-Turbo');
    await cp('test/fixtures/diffusion/tiny', folder, { recursive: true });
    await pull(folder);
    const path = join(models, 'sd-turbo/1/model.json');
    const { options } = JSON.parse(await readFile(path, 'utf8')) as { options: object };
    await rm(join(folder, '..'), { recursive: true });

    expect(options).toEqual({ num_inference_steps: 1, guidance_scale: 0 });
  });

  test('keeps its safety checker, also where that has no fp16', async () => {
    await hub.close();
    const checker = { 'safety_checker/model.onnx': Buffer.from('a graph') };
    const graphs = await layout((path) => path.replace('.onnx', '_fp16.onnx'));
    hub = await startHub({ ...graphs, ...checker });
    await pull('org/tiny', '--dtype', 'fp16');
    const found = await readdir(join(models, 'tiny/1'), { recursive: true });

    expect(found).toContain('safety_checker/model.onnx');
  });

  test('is taken from a folder without saying what it is for', async () => {
    const { status, text } = await pull('./test/fixtures/diffusion/tiny');

    expect(text).toContain('tiny/1 is version 1.');
    expect(status).toBe(0);
    expect(await served()).toEqual([{ name: 'tiny', version: 1 }]);
  });
});

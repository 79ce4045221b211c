import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { affineGraph, burnGraph, mlpGraph } from '../../../src/onnx/example-graphs.ts';
import { ModelRepository } from '../../../src/models/repository.ts';
import { complexGraph, zipMapGraph } from '../../support/graphs.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
});
afterEach(async () => await rm(folder, { recursive: true }));

async function write(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(join(folder, path, '..'), { recursive: true });
  await writeFile(join(folder, path), content);
}

test('a folder with only a model.onnx is served by the tensor pipeline', async () => {
  await write('mlp/1/model.onnx', mlpGraph());
  const version = (await ModelRepository.open([folder])).find('mlp', null);

  expect(version).toMatchObject({
    ref: { name: 'mlp', version: 1 },
    manifest: {
      pipeline: 'tensor',
      resources: { threads: 1, replicas: 1 },
      timeouts: { run_s: 120 },
    },
    graphs: {
      model: {
        inputs: [{ name: 'x', datatype: 'FP32', shape: ['batch', 784] }],
        outputs: [{ name: 'y', datatype: 'FP32', shape: ['batch', 10] }],
      },
    },
  });
});

test('versions are numbers: the highest is the default', async () => {
  for (const version of ['2', '10', '9']) await write(`a/${version}/model.onnx`, affineGraph());
  await write('a/latest/model.onnx', affineGraph()); // no version: not served
  const repository = await ModelRepository.open([folder]);

  expect(repository.find('a', null)?.ref.version).toBe(10);
  expect(repository.versionsOf('a').map(({ ref }) => ref.version)).toEqual([10, 9, 2]);
  expect(repository.find('a', 3)).toBeUndefined();
});

test('the OCR model that is shipped resolves its files, whatever the working directory', async () => {
  const models = join(process.cwd(), 'models');
  const before = process.cwd();
  process.chdir(tmpdir());
  const version = (await ModelRepository.open([models])).find('ocr', 1);
  process.chdir(before);

  expect(version?.files['detection']).toMatch(/ch_PP-OCRv4_det_infer\.onnx$/);
  expect(version?.graphs['recognition']?.inputs[0]?.datatype).toBe('FP32');
});

test('a folder that does not exist holds no models', async () => {
  expect((await ModelRepository.open([join(folder, 'nothing')])).all()).toEqual([]);
});

const problemsOf = (repository: ModelRepository, name: string): readonly string[] =>
  repository.findBroken(name, null)?.problems ?? [];

test('every mistake is listed at once, with its path, and what is well is served', async () => {
  await write('json/1/model.json', '{');
  await write(
    'manifest/1/model.json',
    '{"pipeline": "magic", "timeouts": {"run_s": -1}, "x": 1, "files": {"model": {"path": "no.onnx"}}}',
  );
  await write('missing/1/model.json', '{"pipeline": "tensor"}');
  await write('corrupt/1/model.onnx', Buffer.from('this is no graph'));
  await write('role/1/model.json', '{"pipeline": "ocr", "files": {}}');
  await write('batch/1/model.onnx', burnGraph());
  await write('batch/1/model.json', '{"pipeline": "tensor", "batching": {"max_size": 4}}');
  await write('well/1/model.onnx', affineGraph());
  const repository = await ModelRepository.open([folder]);

  expect(problemsOf(repository, 'json')[0]).toContain('model.json cannot be read');
  expect(problemsOf(repository, 'manifest')).toEqual([
    expect.stringContaining('model.json pipeline: must be one of diffusion, document, ocr, tensor'),
    expect.stringContaining('model.json timeouts.run_s'),
    'model.json (whole): x is not known here',
    'files.model: no.onnx does not exist',
  ]);
  expect(problemsOf(repository, 'missing')).toEqual(['files.model: model.onnx does not exist']);
  expect(problemsOf(repository, 'corrupt')[0]).toContain('files.model: ');
  expect(problemsOf(repository, 'role')).toEqual([
    'files: the ocr pipeline also needs detection, recognition, dictionary',
  ]);
  expect(problemsOf(repository, 'batch')[0]).toContain('batching.max_size');
  expect(repository.all().map(({ ref }) => ref.name)).toEqual(['well']);
});

test('a model that is a folder, a pipe or a link to nowhere is a problem, not a hang', async () => {
  await mkdir(join(folder, 'folder', '1', 'model.onnx'), { recursive: true });
  await mkdir(join(folder, 'link', '1'), { recursive: true });
  await symlink('nowhere', join(folder, 'link', '1', 'model.onnx'));
  await mkdir(join(folder, 'pipe', '1'), { recursive: true });
  execFileSync('mkfifo', [join(folder, 'pipe', '1', 'model.onnx')]);
  await mkdir(join(folder, 'manifest', '1'), { recursive: true });
  execFileSync('mkfifo', [join(folder, 'manifest', '1', 'model.json')]);
  await write('huge/1/model.json', '{}'.padEnd(1024 ** 2 + 1));
  await write('deep/1/model.json', `{"options": {"a": ${'['.repeat(4000)}${']'.repeat(4000)}}}`);
  const repository = await ModelRepository.open([folder]);

  expect(problemsOf(repository, 'folder')).toEqual(['files.model: model.onnx is not a file']);
  expect(problemsOf(repository, 'link')).toEqual(['files.model: model.onnx does not exist']);
  expect(problemsOf(repository, 'pipe')).toEqual(['files.model: model.onnx is not a file']);
  expect(problemsOf(repository, 'manifest')).toEqual([
    'model.json cannot be read: it is not a file',
  ]);
  expect(problemsOf(repository, 'deep')).toEqual([
    'model.json cannot be read: it is nested more than 32 levels deep',
  ]);
  expect(problemsOf(repository, 'huge')).toEqual([
    'model.json cannot be read: it has 1048577 bytes, at most 1048576 are read',
  ]);
});

test('a folder that cannot be read is told, and the others are served', async () => {
  await write('a/1/model.onnx', affineGraph());
  await symlink('loop', join(folder, 'loop')); // a folder whose reading fails, for root as well
  const repository = await ModelRepository.open([folder, join(folder, 'loop')]);

  expect(repository.problems()).toEqual(
    expect.arrayContaining([expect.stringContaining('cannot be read')]),
  );
  expect(repository.find('a', 1)).toBeDefined();
});

test('the same version in two folders is served from the first', async () => {
  await write('one/a/1/model.onnx', affineGraph());
  await write('two/a/1/model.onnx', mlpGraph());
  const repository = await ModelRepository.open([join(folder, 'one'), join(folder, 'two')]);

  expect(repository.find('a', 1)?.folder).toBe(join(folder, 'one', 'a', '1'));
  expect(repository.problems()[0]).toContain(`a@1 is already in ${folder}`);
});

test('what changes is seen: a new version, a repaired one, one that is gone', async () => {
  await write('a/1/model.onnx', affineGraph());
  await write('b/1/model.onnx', Buffer.from('no graph'));
  const repository = await ModelRepository.open([folder]);
  const first = repository.find('a', 1);
  expect(await repository.refresh()).toBe(false);

  await write('a/2/model.onnx', affineGraph());
  await write('b/1/model.onnx', affineGraph());
  expect(await repository.refresh()).toBe(true);
  expect(repository.find('a', null)?.ref.version).toBe(2);
  expect(repository.find('a', 1)).toBe(first); // the very same: nothing of it has changed
  expect(repository.find('b', 1)).toBeDefined();

  await rename(join(folder, 'a', '1'), join(folder, 'a', 'old'));
  await write('b/1/model.onnx', Buffer.from('broken again'));
  expect(await repository.refresh()).toBe(true);
  expect(repository.find('a', 1)).toBeUndefined();
  expect(problemsOf(repository, 'b')).toHaveLength(1);
});

test.each<[string, string, string]>([
  ['beside the versions', 'x/model.onnx', 'put it into {folder}/x/1/model.onnx'],
  ['in no folder', 'My Model.onnx', 'put it into {folder}/my-model/1/model.onnx'],
  ['in a version called v1', 'x/v1/model.onnx', 'so call it {folder}/x/1'],
  ['in a version called latest', 'x/latest/model.onnx', 'versions are whole numbers'],
  ['under a name in capitals', 'Iris/1/model.onnx', 'such as iris'],
  ['as Triton has it', 'x/config.pbtxt', "config.pbtxt is Triton's and is not read"],
  [
    'one folder too deep',
    'x/y/1/model.onnx',
    '{folder}/x/y/1 is not served: it lies one folder too deep',
  ],
  ['below its version', 'x/1/more/model.onnx', '{folder}/x/1 has only folders'],
  ['in no folder, in capitals', 'MINE.ONNX', 'put it into {folder}/mine/1/model.onnx'],
  ['in another format', 'x/1/model.pt', '{folder}/x/1 has no .onnx file: expected model.onnx'],
])('a model %s is named, with what was expected', async (_where, path, expected) => {
  await write(path, affineGraph());
  const problems = (await ModelRepository.open([folder])).problems();
  expect(problems.join('\n')).toContain(expected.replace('{folder}', folder));
  expect(problems.join('\n')).toContain(folder);
});

test('an empty version, an empty model and two graphs in one version are named', async () => {
  await mkdir(join(folder, 'empty', '1'), { recursive: true });
  await mkdir(join(folder, 'bare'));
  await write('two/1/a.onnx', affineGraph());
  await write('two/1/b.onnx', affineGraph());
  await mkdir(join(folder, '.git', '1'), { recursive: true }); // nobody's model
  expect((await ModelRepository.open([folder])).problems()).toEqual([
    `${folder}/bare has no version: expected ${folder}/bare/1/model.onnx`,
    `${folder}/empty/1 is empty: expected model.onnx, model.json or model_index.json in it`,
    expect.stringContaining('two/1 has several .onnx files (a.onnx, b.onnx)'),
  ]);
});

test('a single graph of another name in a version is simply taken', async () => {
  await write('x/1/iris-v3.onnx', affineGraph());
  await write('x/config.pbtxt', 'name: "x"');
  const version = (await ModelRepository.open([folder])).find('x', 1);
  expect(version?.manifest.files).toEqual({ model: { path: 'iris-v3.onnx' } });
});

test('a single graph is taken also beside a model.json that names no files, and in capitals', async () => {
  await write('x/1/iris.onnx', affineGraph());
  await write('x/1/model.json', '{"pipeline": "tensor", "description": "flowers"}');
  await write('y/1/MODEL.ONNX', affineGraph());
  await write('y/1/Model.json', '{');
  const repository = await ModelRepository.open([folder]);
  expect(repository.find('x', 1)?.manifest).toMatchObject({ description: 'flowers' });
  expect(repository.find('y', 1)?.manifest.files).toEqual({ model: { path: 'MODEL.ONNX' } });
  expect(repository.problems()).toEqual([
    `${folder}/y/1/Model.json is not read: call it model.json`,
  ]);
});

test('a tensor of complex numbers is not supported, and said to be one', async () => {
  await write('wave/1/model.onnx', complexGraph());
  expect((await ModelRepository.open([folder])).findBroken('wave', 1)?.problems).toEqual([
    'files.model: model.onnx: x is a tensor of complex64, which is not supported',
  ]);
});

test('clients are told of paths that begin in the folder of models', async () => {
  await write('Iris/1/model.onnx', affineGraph());
  const repository = await ModelRepository.open([folder]);
  const [problem = ''] = repository.problems();
  expect(problem).toContain(`${folder}/Iris is not served`);
  expect(repository.withoutFolders(problem)).toMatch(/^Iris is not served/);
});

test('outputs that are no tensors are left out, or the whole graph is refused with what it gives', async () => {
  await write('both/1/model.onnx', zipMapGraph());
  await write('maps/1/model.onnx', zipMapGraph(true));
  const repository = await ModelRepository.open([folder]);
  expect(repository.find('both', 1)?.graphs['model']).toMatchObject({
    outputs: [{ name: 'probabilities', datatype: 'FP32' }],
    skipped: [expect.stringContaining('sequence<map<int64,float>>')],
  });
  expect(repository.findBroken('maps', 1)?.problems).toEqual([
    'files.model: model.onnx: output_probability is sequence<map<int64,float>>, and only tensors are served: export with zipmap=False (skl2onnx)',
  ]);
});

test('of very many versions those that were known are served on, and the rest is told', async () => {
  await write('z/1/model.onnx', affineGraph());
  const repository = await ModelRepository.open([folder]);
  for (let version = 1; version <= 505; version++) {
    await write(`a/${version}/model.onnx`, affineGraph());
  }
  await repository.refresh();

  expect(repository.all()).toHaveLength(500);
  expect(repository.find('z', 1)).toBeDefined();
  expect(repository.problems()).toEqual([
    '6 versions are not served: 500 are the most that can be',
  ]);
});

test('a version among very many files is named, and the others are served', async () => {
  await write('a/1/model.onnx', affineGraph());
  await write('b/1/model.onnx', affineGraph());
  for (let count = 0; count < 1000; count++) await write(`b/1/checkpoint-${count}`, '');
  const repository = await ModelRepository.open([folder]);

  expect(repository.all().map(({ ref }) => ref.name)).toEqual(['a']);
  expect(repository.problems()).toEqual([
    `${folder}/b/1 is not served: it has more than 1000 files, and only those of the model belong there`,
  ]);
});

test('a manifest that names very many files is refused', async () => {
  await write('a/1/model.onnx', affineGraph());
  const names = Array.from({ length: 20_000 }, (_, index) => [`r${index}`, { path: 'model.onnx' }]);
  const manifest = { pipeline: 'tensor', files: Object.fromEntries(names) as object };
  await write('a/1/model.json', JSON.stringify(manifest));

  expect(problemsOf(await ModelRepository.open([folder]), 'a')).toEqual([
    'model.json files: must be at most 100',
  ]);
});

test('a folder of diffusers is a version as it is; one that lies too high is named, and its parts are not', async () => {
  const tiny = 'test/fixtures/diffusion/tiny';
  await cp(tiny, join(folder, 'right', '1'), { recursive: true });
  await cp(tiny, join(folder, 'high'), { recursive: true });
  const repository = await ModelRepository.open([folder]);

  expect(repository.all().map(({ ref }) => ref)).toEqual([{ name: 'right', version: 1 }]);
  expect(repository.problems()).toEqual([
    `${join(folder, 'high', 'model_index.json')} is not in the folder of a version: put all that lies beside it into ${join(folder, 'high', '1')}`,
  ]);
});

test('a folder of diffusers that is still being copied is served when it is whole', async () => {
  const [from, to] = ['test/fixtures/diffusion/tiny', join(folder, 'slow', '1')];
  await mkdir(to, { recursive: true });
  await cp(join(from, 'model_index.json'), join(to, 'model_index.json'));
  const repository = await ModelRepository.open([folder]);
  const before = problemsOf(repository, 'slow');
  for (const part of ['scheduler', 'text_encoder', 'tokenizer', 'unet', 'vae_decoder']) {
    await cp(join(from, part), join(to, part), { recursive: true });
    await repository.refresh();
  }

  expect(before).toContain('files.unet/model.onnx: unet/model.onnx does not exist');
  expect(repository.all().map(({ ref }) => ref)).toEqual([{ name: 'slow', version: 1 }]);
});

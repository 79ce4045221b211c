import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { affineGraph, mlpGraph } from '../../../src/model/onnx-writer.ts';
import { ModelRepository, RepositoryError } from '../../../src/model/repository.ts';

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
  await write('a/latest/model.onnx', affineGraph()); // no version: ignored
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

test('every mistake is listed at once, with its path', async () => {
  await write('json/1/model.json', '{');
  await write('manifest/1/model.json', '{"pipeline": "magic", "timeouts": {"run_s": -1}, "x": 1}');
  await write('missing/1/model.json', '{"pipeline": "tensor"}');
  await write('corrupt/1/model.onnx', Buffer.from('this is no graph'));
  await write('role/1/model.json', '{"pipeline": "ocr", "files": {}}');
  const error = await ModelRepository.open([folder]).catch((problem: unknown) => problem);

  expect(error).toBeInstanceOf(RepositoryError);
  const { message } = error as Error;
  expect(message).toContain('json/1: model.json is not JSON');
  expect(message).toContain('model.json pipeline: must be one of ocr, tensor');
  expect(message).toContain('model.json timeouts.run_s');
  expect(message).toContain('Unrecognized key: "x"');
  expect(message).toContain('missing/1: files.model: model.onnx does not exist');
  expect(message).toContain('corrupt/1: files.model');
  expect(message).toContain(
    'role/1: files: the ocr pipeline also needs detection, recognition, dictionary',
  );
});

test('the same version in two folders is refused', async () => {
  await write('one/a/1/model.onnx', affineGraph());
  await write('two/a/1/model.onnx', affineGraph());
  const open = ModelRepository.open([join(folder, 'one'), join(folder, 'two')]);

  await expect(open).rejects.toThrow('already is this version');
});

/* Models in the layout of Hugging Face's hub, with random weights: what they answer is nonsense, in the right shape. */
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { randomWeights } from '../../src/onnx/example-graphs.ts';
import { ELEMENT, floats, integers, integersAttribute, modelBytes } from '../../src/onnx/writer.ts';

const VOCABULARY = 30_522;
const TOKENIZER = ['tokenizer.json', 'tokenizer_config.json'];

const tokens = ['input_ids', 'attention_mask'].map((name) => ({
  name,
  type: ELEMENT.INT64,
  shape: ['batch', 'length'],
}));
const weights = (width: number) =>
  floats('w', [VOCABULARY, width], randomWeights(VOCABULARY * width, 1, 1));

/** Tokens → a vector for each of them. */
const embeddingGraph = (): Uint8Array =>
  modelBytes({
    name: 'embedding',
    nodes: [{ op: 'Gather', inputs: ['w', 'input_ids'], outputs: ['last_hidden_state'] }],
    inputs: tokens,
    outputs: [{ name: 'last_hidden_state', type: ELEMENT.FP32, shape: ['batch', 'length', 8] }],
    weights: [weights(8)],
  });

/** Tokens → the scores of three classes. */
const entailmentGraph = (): Uint8Array =>
  modelBytes({
    name: 'entailment',
    nodes: [
      { op: 'Gather', inputs: ['w', 'input_ids'], outputs: ['vectors'] },
      {
        op: 'ReduceMean',
        inputs: ['vectors'],
        outputs: ['mean'],
        attributes: [integersAttribute('axes', 1)],
      },
      { op: 'Identity', inputs: ['mean'], outputs: ['logits'] },
    ],
    inputs: tokens,
    outputs: [{ name: 'logits', type: ELEMENT.FP32, shape: ['batch', 3] }],
    weights: [weights(3)],
  });

const LETTERS = ['<pad>', '|', ...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'.split('')];
const FRAME = 320; // 20 ms

/** Samples → the scores of letters, one for each 20 ms, by how loud it is there. */
const lettersGraph = (): Uint8Array =>
  modelBytes({
    name: 'letters',
    nodes: [
      { op: 'Reshape', inputs: ['input_values', 'one_channel'], outputs: ['channel'] },
      { op: 'Mul', inputs: ['channel', 'channel'], outputs: ['power'] },
      {
        op: 'AveragePool',
        inputs: ['power'],
        outputs: ['frames'],
        attributes: [integersAttribute('kernel_shape', FRAME), integersAttribute('strides', FRAME)],
      },
      {
        op: 'Transpose',
        inputs: ['frames'],
        outputs: ['column'],
        attributes: [integersAttribute('perm', 0, 2, 1)],
      },
      { op: 'MatMul', inputs: ['column', 'w'], outputs: ['scaled'] },
      { op: 'Add', inputs: ['scaled', 'b'], outputs: ['logits'] },
    ],
    inputs: [{ name: 'input_values', type: ELEMENT.FP32, shape: ['batch', 'samples'] }],
    outputs: [{ name: 'logits', type: ELEMENT.FP32, shape: ['batch', 'frames', LETTERS.length] }],
    weights: [
      integers('one_channel', [3], 1, 1, -1),
      floats('w', [1, LETTERS.length], randomWeights(LETTERS.length, 1, 3)),
      floats('b', [LETTERS.length], randomWeights(LETTERS.length, 1, 4)),
    ],
  });

const lettersTokenizer = {
  version: '1.0',
  added_tokens: [
    {
      id: 0,
      content: '<pad>',
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    },
  ],
  normalizer: null,
  pre_tokenizer: { type: 'Split', pattern: { Regex: '' }, behavior: 'Isolated', invert: false },
  post_processor: null,
  decoder: { type: 'CTC', pad_token: '<pad>', word_delimiter_token: '|', cleanup: true },
  model: {
    type: 'WordLevel',
    vocab: Object.fromEntries(LETTERS.map((letter, id) => [letter, id])),
    unk_token: '<pad>',
  },
};

const bert = (more: object) => ({ model_type: 'bert', vocab_size: VOCABULARY, ...more });

/** Makes a version of a model from its files; those of the tokenizer are those of `models/sentiment`. */
export async function addTransformersModel(
  folder: string,
  name: string,
  options: object,
  files: Readonly<Record<string, Uint8Array | object | string>>,
  more: object = {},
): Promise<void> {
  const path = join(folder, name, '1');
  const named: Record<string, { path: string; sha256: string }> = {};
  for (const [file, content] of Object.entries(files)) {
    const target = join(path, file);
    await mkdir(dirname(target), { recursive: true });
    if (typeof content === 'string') await cp(content, target);
    else if (content instanceof Uint8Array) await writeFile(target, content);
    else await writeFile(target, JSON.stringify(content));
    const hash = createHash('sha256').update(await readFile(target));
    named[file] = { path: file, sha256: hash.digest('hex') };
  }
  const manifest = { pipeline: 'transformers', options, files: named, ...more };
  await writeFile(join(path, 'model.json'), JSON.stringify(manifest));
}

const tokenizer = Object.fromEntries(
  TOKENIZER.map((file) => [file, join('models/sentiment/1', file)]),
);

/** One model of each task, named as its task. */
export async function addTransformersModels(folder: string): Promise<void> {
  const graph = 'onnx/model.onnx';
  await addTransformersModel(
    folder,
    'feature-extraction',
    { task: 'feature-extraction' },
    {
      ...tokenizer,
      'config.json': bert({ architectures: ['BertModel'] }),
      [graph]: embeddingGraph(),
    },
    { batching: { max_size: 8 } },
  );
  const classes = { 0: 'contradiction', 1: 'neutral', 2: 'entailment' };
  await addTransformersModel(
    folder,
    'zero-shot-classification',
    { task: 'zero-shot-classification' },
    {
      ...tokenizer,
      'config.json': bert({
        architectures: ['BertForSequenceClassification'],
        id2label: classes,
        label2id: Object.fromEntries(Object.entries(classes).map(([id, label]) => [label, id])),
      }),
      [graph]: entailmentGraph(),
    },
  );
  await addTransformersModel(
    folder,
    'automatic-speech-recognition',
    { task: 'automatic-speech-recognition' },
    {
      'config.json': { model_type: 'wav2vec2', architectures: ['Wav2Vec2ForCTC'] },
      'preprocessor_config.json': {
        feature_extractor_type: 'Wav2Vec2FeatureExtractor',
        sampling_rate: 16_000,
        do_normalize: true,
        return_attention_mask: false,
      },
      'tokenizer.json': lettersTokenizer,
      'tokenizer_config.json': { tokenizer_class: 'Wav2Vec2CTCTokenizer', pad_token: '<pad>' },
      [graph]: lettersGraph(),
    },
  );
  const image = 'test/fixtures/tiny-image-classifier';
  await addTransformersModel(
    folder,
    'image-classification',
    { task: 'image-classification' },
    Object.fromEntries(
      ['config.json', 'preprocessor_config.json', graph].map((file) => [file, join(image, file)]),
    ),
  );
}

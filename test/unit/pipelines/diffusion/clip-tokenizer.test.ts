/* Prompts against transformers' CLIPTokenizer. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ClipTokenizer } from '../../../../src/pipelines/diffusion/clip-tokenizer.ts';

const FOLDER = 'test/fixtures/diffusion/tiny/tokenizer';
const { fuzz } = JSON.parse(
  gunzipSync(readFileSync('test/fixtures/diffusion/pipeline.json.gz')).toString(),
) as { readonly fuzz: readonly (readonly [string, readonly number[]])[] };

const open = async (): Promise<ClipTokenizer> =>
  await ClipTokenizer.open({
    config: join(FOLDER, 'tokenizer_config.json'),
    whole: undefined,
    vocabulary: join(FOLDER, 'vocab.json'),
    merges: join(FOLDER, 'merges.txt'),
  });

test(`${fuzz.length} strings have the same tokens`, async () => {
  const tokenizer = await open();
  const others = fuzz.filter(([text, ids]) => String(tokenizer.encode(text)) !== String(ids));

  expect(fuzz).toHaveLength(606);
  expect(others).toEqual([]);
});

test.each([
  ['one long word', 'a'.repeat(4000)],
  ['words', 'word '.repeat(800)],
  ['signs', '!'.repeat(4000)],
  ['emoji', '🙂'.repeat(2000)],
])('a prompt of %s is read within a second', async (_what, text) => {
  const tokenizer = await open();
  const startedAtMs = performance.now();
  const ids = tokenizer.encode(text);

  expect(ids).toHaveLength(tokenizer.length);
  expect(performance.now() - startedAtMs).toBeLessThan(4000); // four times the bound
});

import { sampleToken, uniform } from '../../../src/pipelines/transformers/generation/sampling.ts';

const ALL = { temperature: 1, topK: 0, topP: 1, seed: 42 };
/** How often each token comes at so many positions. */
function counts(logits: readonly number[], sampling: Partial<typeof ALL>, positions = 5000) {
  const found = logits.map(() => 0);
  for (let position = 0; position < positions; position += 1) {
    const token = sampleToken(Float32Array.from(logits), position, { ...ALL, ...sampling });
    found[token] = (found[token] ?? 0) + 1;
  }
  return found.map((count) => count / positions);
}
const LOGITS = [0.7, 0.1, 0.15, 0.05].map(Math.log);

test('each token comes as often as its probability says', () => {
  const found = counts(LOGITS, {});

  for (const [token, share] of [0.7, 0.1, 0.15, 0.05].entries()) {
    expect(found[token]).toBeCloseTo(share, 1.7);
  }
});

test.each<[string, object, readonly number[]]>([
  ['top_k keeps the most probable', { topK: 2 }, [0.7 / 0.85, 0, 0.15 / 0.85, 0]],
  ['top_p keeps as many as have the share', { topP: 0.8 }, [0.7 / 0.85, 0, 0.15 / 0.85, 0]],
  ['top_p keeps at least one', { topP: 0.01 }, [1, 0, 0, 0]],
  ['top_p counts among what top_k keeps', { topK: 2, topP: 0.8 }, [1, 0, 0, 0]],
  ['top_k beyond the vocabulary keeps all', { topK: 9 }, [0.7, 0.1, 0.15, 0.05]],
  ['a high temperature makes all alike', { temperature: 1000 }, [0.25, 0.25, 0.25, 0.25]],
  ['a low one leaves the most probable', { temperature: 0.01 }, [1, 0, 0, 0]],
])('%s', (_what, sampling, expected) => {
  const found = counts(LOGITS, sampling);

  for (const [token, share] of expected.entries()) expect(found[token]).toBeCloseTo(share, 1.5);
});

test('a nucleus far below the most probable token is whole', () => {
  const logits = [0, ...Array.from({ length: 5000 }, () => -30)];
  const found = counts(logits, { topP: 0.999_999_999_999, temperature: 1 }, 100);

  expect(found[0]).toBe(1);
  const flat = counts(
    Array.from({ length: 1000 }, () => 0),
    { topP: 0.5 },
    1000,
  );
  expect(flat.findLastIndex((share) => share > 0)).toBeLessThan(500);
});

test('the same seed and position give the same number; another of either another one', () => {
  const numbers = new Set<number>();
  for (const seed of [0, 1, 42, 2 ** 31, 2 ** 32, 2 ** 53 - 1]) {
    for (let position = 0; position < 100; position += 1) {
      const number = uniform(seed, position);
      expect(number).toBe(uniform(seed, position));
      expect(number >= 0 && number < 1).toBe(true);
      numbers.add(number);
    }
  }
  expect(numbers.size).toBe(600);
});

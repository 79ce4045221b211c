import { type PageFacts, sourceOf } from '../../../src/pipelines/document/page-source.ts';

const facts = (more: Partial<PageFacts>): PageFacts => ({
  characters: 1000,
  unmapped: 0,
  hidden: 0,
  imageCoverage: 0,
  ink: () => {
    throw new Error('a page with text is not rendered');
  },
  ...more,
});

test.each<[string, Partial<PageFacts>, string]>([
  ['with text', {}, 'text'],
  ['with text on a picture', { imageCoverage: 1 }, 'text'],
  ['with a stamp on a picture', { imageCoverage: 1, characters: 30 }, 'ocr'],
  ['with a caption under a small picture', { imageCoverage: 0.3, characters: 30 }, 'text'],
  ['whose characters nobody knows', { unmapped: 200 }, 'ocr'],
  ['with a few unknown characters', { unmapped: 50 }, 'text'],
  ['that was read before', { hidden: 990, imageCoverage: 1 }, 'hidden_text'],
  ['without text, but with ink', { characters: 0, ink: () => 0.01 }, 'ocr'],
  ['without anything', { characters: 0, ink: () => 0 }, 'blank'],
])('a page %s', (_what, more, source) => {
  expect(sourceOf(facts(more))).toBe(source);
});

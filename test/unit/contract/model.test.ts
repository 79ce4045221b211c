import { parseModelRef } from '../../../src/contract/model.ts';
import { isPredictionId } from '../../../src/contract/ids.ts';
import { newId } from '../../../src/submission/new-id.ts';

test.each([
  ['ocr', { name: 'ocr', version: null }],
  ['ocr@12', { name: 'ocr', version: 12 }],
  ['voice-activity.v2@1', { name: 'voice-activity.v2', version: 1 }],
])('%s is a model', (text, ref) => {
  expect(parseModelRef(text)).toEqual(ref);
});

test.each(['', 'OCR', 'ocr@', 'ocr@0', 'ocr@01', 'ocr@1@2', '../ocr', "o'cr", 'ocr@1.5'])(
  '%j is no model',
  (text) => {
    expect(parseModelRef(text)).toBeNull();
  },
);

test('prediction ids are well-formed, unique and sort by time', () => {
  const ids = Array.from({ length: 1000 }, (_, index) => newId('pred', 1_700_000_000_000 + index));

  expect(ids.every(isPredictionId)).toBe(true);
  expect(new Set(ids).size).toBe(1000);
  expect(ids.toSorted()).toEqual(ids);
});

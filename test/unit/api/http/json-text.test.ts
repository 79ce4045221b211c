import { parseJson } from '../../../../src/api/http/json-text.ts';
import { Problem } from '../../../../src/api/http/problems.ts';

const parse = (text: string) => parseJson(Buffer.from(text), 'the body');
const codeOf = (text: string): string => {
  try {
    parse(text);
    return 'parsed';
  } catch (error) {
    return error instanceof Problem ? error.code : String(error);
  }
};

test('what people send is parsed, whatever lies in its strings', () => {
  const value = { a: [1, { b: 'x:[{' }], 'c"\\': '\\"]:', d: '\\\\', é: '\ud83d\ude00' };
  expect(parse(JSON.stringify(value))).toEqual(value);
  expect(parse(`\ufeff${JSON.stringify(value)}`)).toEqual(value);
  expect(parse(`"${'[{:'.repeat(200_000)}"`)).toHaveLength(600_000);
  expect(parse(JSON.stringify(Array.from({ length: 200_000 }, () => [1])))).toHaveLength(200_000);
});

test.each([
  ['101 levels', '['.repeat(101) + ']'.repeat(101), 'invalid_input'],
  ['100 levels', '['.repeat(100) + ']'.repeat(100), 'parsed'],
  ['levels that are never closed', '['.repeat(5_000_000), 'invalid_input'],
  ['too many members', `{"a":${'{"b":0},'.repeat(50_001)}`, 'invalid_input'],
  ['too many arrays', `[${'[],'.repeat(250_000)}[]]`, 'invalid_input'],
  ['too many elements', `[${'0,'.repeat(1_000_001)}0]`, 'invalid_input'],
  ['a string that never ends', '"abc', 'malformed_request'],
  ['a string that ends in its escape', '"abc\\"', 'malformed_request'],
  ['no JSON', 'nothing', 'malformed_request'],
])('%s', (_what, text, code) => {
  expect(codeOf(text)).toBe(code);
});

test('bytes that are no UTF-8 are refused, not replaced', () => {
  expect(() => parseJson(Buffer.from([0x22, 0xff, 0x22]), 'the body')).toThrow('is not UTF-8');
});

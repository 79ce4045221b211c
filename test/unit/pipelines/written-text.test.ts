import { StopStrings } from '../../../src/pipelines/transformers/generation/stop-strings.ts';
import { TokenText } from '../../../src/pipelines/transformers/generation/token-text.ts';
import { WrittenText } from '../../../src/pipelines/transformers/generation/written-text.ts';

/** Each byte is a token, as byte-level tokenizers have it in the worst case. */
const bytesToText = (ids: readonly number[]) => Buffer.from(ids).toString('utf8');
const WORDS = ['Hello', ' world', '!', ' And'];
/** A tokenizer that drops the space before the first word, as those of SentencePiece do. */
const wordsToText = (ids: readonly number[]) =>
  ids
    .map((id) => WORDS[id] ?? '')
    .join('')
    .trimStart();

test('a character whose bytes are several tokens comes when it is whole', () => {
  const text = new TokenText(bytesToText);
  const pieces = [...Buffer.from('aé€😀b')].map((byte) => text.push(byte));

  expect(pieces).toEqual(['a', '', 'é', '', '', '€', '', '', '', '😀', 'b']);
  expect(text.flush()).toBe('');
});

test('bytes that never become a character come at the end', () => {
  const text = new TokenText(bytesToText);

  expect([text.push(0x61), text.push(0xf0), text.push(0x9f)]).toEqual(['a', '', '']);
  expect(text.flush()).toBe('\u{FFFD}');
});

test('tokens without a text do not make those behind them wait', () => {
  const silent = new TokenText((ids) => ids.map((id) => (id === 0 ? '' : 'a')).join(''));
  for (let count = 0; count < 1000; count += 1) silent.push(0);

  expect(silent.push(1)).toBe('a');
});

test('the spaces between words are kept', () => {
  const text = new TokenText(wordsToText);

  expect([0, 1, 2, 3].map((id) => text.push(id)).join('')).toBe('Hello world! And');
});

test.each<[string, readonly string[], readonly string[], string, boolean]>([
  ['in one piece', ['END'], ['one END two'], 'one ', true],
  ['in several pieces', ['END'], ['one E', 'N', 'D two'], 'one ', true],
  ['that only begins', ['END'], ['one E', 'N', 'T two'], 'one ENT two', false],
  ['whose beginning comes twice', ['aab'], ['a', 'a', 'a', 'b'], 'a', true],
  ['the first of several', ['two', 'one'], ['0 one two'], '0 ', true],
  ['at the very end, half', ['END'], ['one EN'], 'one EN', false],
  ['none', [], ['one'], 'one', false],
])('a stop string %s', (_what, stops, pieces, text, isFound) => {
  const search = new StopStrings(stops);
  const found = pieces.map((piece) => search.push(piece)).join('') + search.flush();

  expect([found, search.isFound]).toEqual([text, isFound]);
  expect(search.push('more')).toBe(isFound ? '' : 'more');
});

test('what may begin a stop string is told late', () => {
  const search = new StopStrings(['END']);

  expect([search.push('one E'), search.push('asy')]).toEqual(['one ', 'Easy']);
});

test('the same tokens give the same text, wherever they are cut', () => {
  const ids = [...Buffer.from('Grüße 😀 aus STO STOP nicht')];
  const whole = new WrittenText(bytesToText, ['STOP']);
  for (const id of ids) whole.push(id);
  for (let cut = 0; cut <= ids.length; cut += 1) {
    const first = new WrittenText(bytesToText, ['STOP']);
    for (const id of ids.slice(0, cut)) first.push(id);
    const second = new WrittenText(bytesToText, ['STOP']);
    for (const id of [...first.ids, ...ids.slice(cut)]) second.push(id);
    expect(second.text).toBe(whole.text);
    expect(second.text.startsWith(first.text)).toBe(true);
  }
  whole.end();
  expect(whole.text).toBe('Grüße 😀 aus STO ');
});

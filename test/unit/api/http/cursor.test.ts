import { randomBytes } from 'node:crypto';
import { Cursors } from '../../../../src/api/http/cursor.ts';
import { createSecretBox } from '../../../../src/secrets/secret-box.ts';

const [key, other] = [randomBytes(32), randomBytes(32)];
const list = ['predictions', 'a', { status: 'active' }];
const token = Buffer.from('the server’s own');

test('a cursor leads on in the list that gave it, also after the key has changed', () => {
  const cursor = new Cursors(createSecretBox([key])).write(list, token);
  const later = new Cursors(createSecretBox([other, key]));
  expect(later.read(list, cursor).equals(token)).toBe(true);
});

test.each<[string, readonly unknown[], (cursor: string) => string]>([
  ['another tenant', ['predictions', 'b', { status: 'active' }], (cursor) => cursor],
  ['other filters', ['predictions', 'a', {}], (cursor) => cursor],
  ['another list', ['deliveries', 'a', { status: 'active' }], (cursor) => cursor],
  ['a changed one', list, (cursor) => `${cursor.slice(0, -2)}AA`],
  ['a cut one', list, (cursor) => cursor.slice(0, 10)],
  ['none', list, () => ''],
])('%s is refused', (_what, asked, change) => {
  const cursors = new Cursors(createSecretBox([key]));
  const cursor = change(cursors.write(list, token));
  expect(() => cursors.read(asked, cursor)).toThrow('not one that this list gave');
});

test('a cursor of a service with another key is refused', () => {
  const cursor = new Cursors(createSecretBox([other])).write(list, token);
  expect(() => new Cursors(createSecretBox([key])).read(list, cursor)).toThrow('cursor');
});

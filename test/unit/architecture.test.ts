/* ARCHITECTURE.md leads to files that are there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const text = readFileSync('ARCHITECTURE.md', 'utf8');
const paths = [...text.matchAll(/`([\w.-]+(?:\/[\w.*-]+)+\.(?:ts|js|md|json))`/g)].map(
  ([, path = '']) => path,
);

test('it names files', () => {
  expect(paths.length).toBeGreaterThan(50);
});

test.each([...new Set(paths)].filter((path) => !path.includes('*')))('%s is there', (path) => {
  expect(['', 'src'].some((folder) => existsSync(join(folder, path)))).toBe(true);
});

test('it lists every folder of src, and none that is not there', () => {
  const listed = [...text.matchAll(/^src\/(\w+)\/ /gm)].map(([, name]) => name);
  const folders = readdirSync('src', { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  expect(new Set(listed)).toEqual(new Set(folders.map(({ name }) => name)));
});

/* Files that are large, damaged or hostile: what is read of them, and what it costs. */
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { affineGraph } from '../../../src/onnx/example-graphs.ts';
import { readGraphSignature } from '../../../src/onnx/signature.ts';
import { Turns } from '../../support/turns.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-onnx-'));
  path = join(folder, 'model.onnx');
});
afterEach(async () => await rm(folder, { recursive: true }));

/** A field with a length, of the wire format of protobuf. */
function field(number: number, length: number, content: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = [number * 8 + 2];
  let rest = length;
  for (; rest > 127; rest = Math.floor(rest / 128)) head.push((rest % 128) + 128);
  return Buffer.concat([Buffer.from([...head, rest]), content]);
}
const whole = (number: number, content: Uint8Array) => field(number, content.length, content);
/** Several graphs in one file are one graph, says protobuf. */
const withGraph = (content: Uint8Array) => Buffer.concat([affineGraph(), whole(7, content)]);
const named = (name: string) => Buffer.concat([whole(8, Buffer.from(name))]);

const AFFINE = {
  inputs: [{ name: 'x', datatype: 'FP32', shape: ['batch', 'n'] }],
  outputs: [{ name: 'y', datatype: 'FP32', shape: ['batch', 'n'] }],
};

test('weights of a gigabyte are passed over, not read', async () => {
  const weights = 1024 ** 3;
  const raw = field(9, weights);
  const initializer = field(5, raw.length + weights);
  const graph = field(7, initializer.length + raw.length + weights);
  const head = Buffer.concat([affineGraph(), graph, initializer, raw]);
  const file = await open(path, 'w');
  await file.write(head);
  await file.truncate(head.length + weights); // a hole: it takes no room on the disk
  await file.close();
  const before = process.memoryUsage().rss;

  expect(await readGraphSignature(path)).toEqual(AFFINE);
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 ** 2);
});

test('a million weights are walked through in many turns', async () => {
  await writeFile(path, withGraph(Buffer.alloc(2_000_000, Buffer.from([5 * 8 + 2, 0]))));
  const turns = new Turns();
  const signature = await readGraphSignature(path);
  turns.stop();

  expect(signature).toEqual(AFFINE);
  expect(turns.count).toBeGreaterThan(2 * (2_000_000 / (64 * 1024))); // two walks, in pieces of 64 KiB
});

test('an input that is a weight is none', async () => {
  await writeFile(path, withGraph(whole(5, named('x'))));
  expect(await readGraphSignature(path)).toEqual({ ...AFFINE, inputs: [] });
});

test.each([
  ['more inputs than anybody has', withGraph(Buffer.alloc(4000, Buffer.from([11 * 8 + 2, 0])))],
  ['more fields than anybody has', withGraph(Buffer.alloc(5_000_000, Buffer.from([10, 0])))],
  ['an input of a megabyte', withGraph(whole(11, Buffer.alloc(1024 ** 2)))],
  ['a graph that breaks off', affineGraph().subarray(0, -3)],
  ['text', Buffer.from('not a model at all')],
  ['nothing', Buffer.alloc(0)],
])('%s is refused', async (_what, bytes) => {
  await writeFile(path, bytes);
  await expect(readGraphSignature(path)).rejects.toThrow(
    /has more than|larger than|breaks off|no /,
  );
});

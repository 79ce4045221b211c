import { readdirSync } from 'node:fs';
import { Lane } from '../../../src/runtime/lane.ts';

const bytes = (length: number, value: number) => new Uint8Array(length).fill(value);
const plain = (parts: readonly Uint8Array[]) => parts.map((part) => Array.from(part));

test('what is laid down is taken up again, small parts and empty ones beside large ones', () => {
  const lane = Lane.open();
  const parts = [bytes(40_000, 1), bytes(0, 2), bytes(3, 3), bytes(40_001, 4)];
  const laid = lane.put(parts.map((part) => [part]));
  const taken = lane.take(laid);

  expect(laid.some((each) => each instanceof Uint8Array)).toBe(false);
  expect(plain(taken)).toEqual(plain(parts));
  for (const part of taken) expect(part.byteOffset % 8).toBe(0);
  lane.close();
});

test('a second message overwrites the first one, which was taken before', () => {
  const lane = Lane.open();
  const [first] = lane.take(lane.put([[bytes(50_000, 1)]]));
  const [second] = lane.take(lane.put([[bytes(20_000, 2), bytes(20_000, 2)]]));

  expect(first?.[0]).toBe(1);
  expect(second).toHaveLength(40_000);
  expect(second?.[0]).toBe(2);
  lane.close();
});

test('few bytes stay in the message, and so does everything without a lane', () => {
  const lane = Lane.open();
  const small = [bytes(10, 1)];
  const large = [bytes(100_000, 1)];

  expect(lane.put([small])).toEqual(small);
  expect(new Lane(null).put([large])).toEqual(large);
  expect(plain(lane.put([[bytes(2, 1), bytes(1, 2)]]) as Uint8Array[])).toEqual([[1, 1, 2]]);
  expect(lane.take(small)).toBe(small);
  lane.close();
});

test('a lane has no name that could be left behind', () => {
  const lane = Lane.open();
  const left = readdirSync('/dev/shm').filter((name) => name.startsWith('buzzer-'));
  lane.close();

  expect(lane.isOpen).toBe(true);
  expect(left).toEqual([]);
});

/** The value that `percent` of the values do not exceed. */
export const percentile = (values: readonly number[], percent: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return (
    sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN
  );
};

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

/**
 * Measures ours and the floor in turn, `pairs` times, after one of each that does not count. The
 * medians of each, and of the ratios pair by pair: the machine's speed drifts, the ratio less so.
 */
export async function inPairs(
  pairs: number,
  ours: () => Promise<number>,
  floor: () => Promise<number>,
): Promise<{ ours: number; floor: number; ratio: number }> {
  await ours();
  await floor();
  const measured: { ours: number; floor: number }[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    measured.push({ ours: await ours(), floor: await floor() });
  }
  return {
    ours: median(measured.map((pair) => pair.ours)),
    floor: median(measured.map((pair) => pair.floor)),
    ratio: median(measured.map((pair) => pair.ours / pair.floor)),
  };
}

/** Median milliseconds of `count` calls, one at a time. */
export async function latencyMs(count: number, call: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let index = 0; index < count; index++) {
    const startedAt = performance.now();
    await call();
    times.push(performance.now() - startedAt);
  }
  return median(times);
}

/** Calls a second, of `count` calls of which `atOnce` are under way. */
export async function throughput(
  count: number,
  atOnce: number,
  call: () => Promise<unknown>,
): Promise<number> {
  const startedAt = performance.now();
  let left = count;
  const one = async () => {
    while (left > 0) {
      left -= 1;
      await call();
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  return count / ((performance.now() - startedAt) / 1000);
}

/** One line with both medians and their ratio. */
export function print(
  what: string,
  { ours, floor, ratio }: { ours: number; floor: number; ratio: number },
  unit: string,
): void {
  const numbers = [ours, floor].map((value) => value.toFixed(1)).join(` against `);
  console.log(`${what}: ${numbers} ${unit}, ratio ${ratio.toFixed(2)}`);
}

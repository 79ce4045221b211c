const FIRST_DELAY_MS = 100;
const LAST_DELAY_MS = 30_000;

/** How long to wait after the `failures`th failure in a row: 100 ms, doubling, at most 30 s. */
export const backoffDelayMs = (failures: number): number =>
  Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures - 1, 20));
